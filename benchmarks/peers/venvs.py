"""A venv for each peer, with what its own `pip install` brings, and the weights they share.

uv installs, because it links equal files between venvs: six copies of torch take the disk of one.
"""

import ast
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
VENVS = HERE / ".venvs"
HUB = VENVS / "hub"

TORCH = ("torch==2.15.0", "torchvision==0.29.2")
REQUIREMENTS = {
    "silverprint": (f"{ROOT}[train]", *TORCH),
    "fastai": ("fastai==2.8.12", "timm==1.0.31", *TORCH),
    "timm": ("timm==1.0.31", *TORCH),
    "autogluon": ("autogluon.multimodal==1.6.3",),
    "keras": ("keras==3.15.1", "tensorflow-cpu==2.21.0", "pillow==13.0.0"),
    "ultralytics": ("ultralytics==8.4.190", *TORCH),
    "predict only": (str(ROOT),),
}


def python(peer: str) -> Path:
    """Name the peer's interpreter."""
    return VENVS / peer.replace(" ", "-") / "bin" / "python"


def build(peer: str) -> None:
    """Make the peer's venv, unless it is there; ours always gets the code as it is now."""
    VENVS.mkdir(exist_ok=True)
    (VENVS / ".gitignore").write_text("*\n")
    tools = VENVS / "tools"
    if not (tools / "bin" / "uv").exists():
        _run(sys.executable, "-m", "venv", "--clear", tools)
        _run(tools / "bin" / "python", "-m", "pip", "install", "--quiet", "uv")
    home = python(peer).parents[1]
    done = home / "built.txt"
    wanted = "\n".join(REQUIREMENTS[peer])
    ours = str(ROOT) in wanted
    if done.exists() and done.read_text() == wanted and not ours:
        return
    uv = (tools / "bin" / "uv", "--cache-dir", VENVS / "cache", "--quiet")
    if not (done.exists() and done.read_text() == wanted):
        _run(*uv, "venv", "--python", sys.executable, "--clear", home)
    again = ("--reinstall-package", "silverprint") if ours else ()
    _run(*uv, "pip", "install", "--python", python(peer), *again, *REQUIREMENTS[peer])
    done.write_text(wanted)


def versions(peer: str) -> str:
    """Name the versions of what the peer's venv is about."""
    wanted = [item for item in REQUIREMENTS[peer] if not item.startswith(str(ROOT))]
    names = [item.partition("==")[0] for item in wanted]
    names += ["torch"] if peer == "autogluon" else []
    names += ["silverprint"] if len(wanted) < len(REQUIREMENTS[peer]) else []
    code = "import sys, importlib.metadata as m; print([(n, m.version(n)) for n in sys.argv[1:]])"
    found = ast.literal_eval(_run(python(peer), "-c", code, *names))
    return ", ".join(f"{name} {version}" for name, version in found)


def size(peer: str) -> tuple[float, float]:
    """Return the megabytes that were installed, and how many of them are for CUDA.

    Bytecode is left out, and each file counts once.
    """
    whole: dict[int, int] = {}
    cuda: dict[int, int] = {}
    for path in (python(peer).parents[1] / "lib").rglob("*"):
        if path.is_file() and not path.is_symlink() and path.suffix != ".pyc":
            status = path.stat()
            whole[status.st_ino] = status.st_size
            if {"nvidia", "triton"} & set(path.parts) or "cuda" in path.name:
                cuda[status.st_ino] = status.st_size
    return sum(whole.values()) / 1e6, sum(cuda.values()) / 1e6


def share_weights() -> None:
    """Lay the packaged EfficientNet-Lite0 where the hub's client keeps what it downloaded.

    So `pretrained=True` finds the same weights in every tool that builds on timm, with the hub
    switched off, and the newcomer's commands stay as they are.
    """
    revision = "0" * 40
    repository = HUB / "hub" / "models--timm--tf_efficientnet_lite0.in1k"
    snapshot = repository / "snapshots" / revision
    if snapshot.exists():
        return
    from safetensors.torch import save_file

    from silverprint.backbones.networks import load_backbone
    from silverprint.backbones.registry import choose_backbone

    backbone = load_backbone(choose_backbone())
    tensors = dict(backbone.trunk.state_dict())
    assert backbone.classifier is not None
    tensors |= {f"classifier.{key}": v for key, v in backbone.classifier.state_dict().items()}
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    snapshot.mkdir(parents=True)
    save_file(tensors, snapshot / "model.safetensors")


def _run(*command: object) -> str:
    return subprocess.run(
        [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
