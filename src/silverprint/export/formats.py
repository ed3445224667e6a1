"""The formats by name: how each is written, and what then answers as the written file does.

What a format needs is imported when it is asked for.
"""

from pathlib import Path

from silverprint.errors import ConfigError, closest
from silverprint.export.parity import Answer
from silverprint.runtime.bundle import MODEL, Bundle

FORMATS = ("onnx", "torchscript", "openvino", "triton", "web")
FOLDERS = ("openvino", "triton", "web")
ENDINGS = (".bin", ".html", ".onnx", ".pt", ".pth", ".torchscript", ".xml", ".zip")  # of files


def check_format(to: str, out: Path) -> None:
    """Refuse an unknown format, or a file's name for a folder.

    Raises:
        ConfigError: it is one of these.
    """
    if to not in FORMATS:
        raise ConfigError(
            f"--to must be one of {', '.join(FORMATS)}; got {to!r}.{closest(to, FORMATS)}"
        )
    if to in FOLDERS and out.suffix in ENDINGS:
        raise ConfigError(
            f"--to {to} writes a folder, but --out {out} is a file's name; give a folder's."
        )


def write_format(
    to: str, bundle: Bundle, path: Path, *, runtime: str | None = None, mode: str = "classify"
) -> Answer:
    """Write one format, and return what answers as it does.

    Args:
        to: one of FORMATS.
        bundle: the model.
        path: of the new file or folder.
        runtime: of a web page; see write_web.
        mode: likewise.

    Raises:
        ConfigError: the bundle is int8, and the format cannot keep its answers.
        SilverprintError: this bundle cannot be written so; see each format.
    """
    from silverprint.export.onnx_file import is_int8, open_onnx, write_onnx

    if to in ("torchscript", "openvino") and is_int8(bundle):
        raise ConfigError(
            f"{bundle.path} holds an int8 network, and only ONNX Runtime computes it as the bundle "
            f"does; export it to onnx, triton or web, or train without int8 for --to {to}."
        )
    if to == "torchscript":
        from silverprint.export.torchscript import open_torchscript, write_torchscript

        write_torchscript(bundle, path)
        return open_torchscript(path)
    if to == "openvino":
        from silverprint.export.openvino import open_openvino, write_openvino

        write_openvino(bundle, path)
        return open_openvino(path)
    if to == "triton":
        from silverprint.export.triton import open_triton, write_triton

        write_triton(bundle, path)
        return open_triton(path)
    if to == "web":
        from silverprint.export.web import write_web

        write_web(bundle, path, runtime=runtime, mode=mode)
        return open_onnx(path / MODEL)
    write_onnx(bundle, path)
    return open_onnx(path)
