"""Reading what a network that makes things was saved as: a folder, as a classifier's bundle is.

bundle.json          what follows, and the sha256 of every other file
encoder.onnx         pictures in 0..1 -> codes; not there for a gan
decoder.onnx         codes -> pictures in 0..1
preprocess.onnx      a decoded picture of any size -> pixels as in training; where one is encoded
weights.safetensors  the same weights, for training on
report.html          for people
"""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from silverprint.errors import BundleError, ConfigError
from silverprint.runtime.bundle import need, read_manifest, verify_files
from silverprint.runtime.images import decode
from silverprint.runtime.luma import luma

ENCODER, DECODER, STEP = "encoder.onnx", "decoder.onnx", "step.onnx"
TASKS = {"autoencoder": (ENCODER, DECODER), "vae": (ENCODER, DECODER), "gan": (DECODER,),
         "text": (STEP,)}  # fmt: skip
PREPROCESS = "preprocess.onnx"
TOGETHER = 64  # pictures

Pictures = NDArray[np.float32]  # (n, C, S, S), 0..1
Labels = NDArray[np.int64] | None


@dataclass(frozen=True)
class GenerativeBundle:
    """A verified folder that holds a network that makes things.

    Attributes:
        path: the folder.
        manifest: the content of bundle.json.
    """

    path: Path
    manifest: dict[str, Any]
    _sessions: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def task(self) -> str:
        """One of TASKS."""
        return str(self.manifest["task"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by label; of a network that is not told the class too."""
        return tuple(self.manifest.get("classes", ()))

    @cached_property
    def conditional(self) -> bool:
        """Whether the network is told which class to make."""
        return any(one.name == "labels" for one in self.session(DECODER).get_inputs())

    @property
    def code_size(self) -> int:
        """How many numbers a picture is made from."""
        return int(self.session(DECODER).get_inputs()[0].shape[1])

    def session(self, file: str) -> Any:
        """Return ONNX Runtime's session of one of the files, loaded once."""
        if file not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4  # what goes wrong is raised, and told once
            self._sessions[file] = onnxruntime.InferenceSession(
                str(self.path / file), options, ["CPUExecutionProvider"]
            )
        return self._sessions[file]

    def decode(self, codes: NDArray[np.float32], labels: Labels = None) -> Pictures:
        """Return pictures (n, C, S, S) in 0..1 of codes (n, k), and labels (n,) if conditional.

        Raises:
            ConfigError: codes or labels have another shape, or a label is unknown.
        """
        return self._run(DECODER, "codes", codes, labels)

    def encode(self, pictures: Pictures, labels: Labels = None) -> NDArray[np.float32]:
        """Return codes (n, k) of pictures (n, C, S, S) in 0..1; a vae's are the means.

        Raises:
            BundleError: it has no encoder, as a gan has not.
            ConfigError: pictures or labels have another shape, or a label is unknown.
        """
        return self._run(ENCODER, "pictures", pictures, labels)

    def read(
        self, source: str | os.PathLike[str] | bytes | NDArray[Any], name: str | None = None
    ) -> Pictures:
        """Return one picture as the encoder takes it, (C, S, S) in 0..1, prepared as in training.

        Raises:
            ImageError: it cannot be decoded.
            BundleError: the bundle does not say how pictures are prepared.
        """
        need(self.path, self.manifest["files"], [PREPROCESS])
        image = decode(source, name=name)
        pixels = self.session(PREPROCESS).run(None, {"images": image[None]})[0][0]
        if self.session(ENCODER).get_inputs()[0].shape[1] == 1:
            pixels = luma(pixels)
        picture: Pictures = pixels.astype(np.float32) / np.float32(255)
        return picture

    def _run(
        self, file: str, name: str, values: NDArray[np.float32], labels: Labels
    ) -> NDArray[np.float32]:
        if not (self.path / file).is_file():
            raise BundleError(f"{self.path} has no {file}: {_a(self.task)} only makes pictures.")
        session = self.session(file)
        row = tuple(session.get_inputs()[0].shape[1:])
        values = np.asarray(values, np.float32)
        if values.shape[1:] != row or values.size == 0:
            shape = ", ".join(map(str, row))
            raise ConfigError(f"{name} must have the shape (n, {shape}); got {values.shape}.")
        given: dict[str, NDArray[Any]] = {name: values}
        if any(one.name == "labels" for one in session.get_inputs()):
            given["labels"] = self._checked(labels, len(values))
        found = []
        for start in range(0, len(values), TOGETHER):
            part = slice(start, start + TOGETHER)
            found.append(session.run(None, {key: value[part] for key, value in given.items()})[0])
        return np.concatenate(found)

    def _checked(self, labels: Labels, count: int) -> NDArray[np.int64]:
        """Return the labels that a network which is told the class needs."""
        given, most = np.asarray(() if labels is None else labels), len(self.classes) - 1
        if (
            given.shape != (count,)
            or given.dtype.kind not in "iu"
            or not 0 <= given.min() <= given.max() <= most
        ):
            got = "none" if labels is None else np.array2string(given, threshold=8)
            raise ConfigError(
                f"{self.path} is told the class: give a label of 0..{most} for each of "
                f"{count}; got {got}."
            )
        return given.astype(np.int64)


def read_generative(
    path: str | os.PathLike[str], tasks: Collection[str] = tuple(TASKS)
) -> GenerativeBundle:
    """Read and verify the folder of a network that makes things.

    Args:
        path: the folder.
        tasks: which kinds will do, of TASKS.

    Raises:
        BundleError: it is missing, of another kind or format version, or a file is missing or
            changed.
    """
    folder = Path(path)
    if not folder.exists():
        raise BundleError(
            f"bundle {folder} does not exist; `silverprint generate` and `silverprint write` make "
            "such bundles."
        )
    manifest = read_manifest(folder)
    need(folder, manifest, ("task", "files"))
    task = manifest["task"]
    if task not in tasks:
        raise BundleError(f"{folder} holds {_a(task)}; what is asked here needs {_any_of(tasks)}.")
    need(folder, manifest["files"], TASKS[task])
    verify_files(folder, manifest)
    return GenerativeBundle(folder, manifest)


def _a(task: object) -> str:
    if task in ("single-label", "multi-label"):
        return "a classifier"
    return "a text model" if task == "text" else f"{'an' if task == 'autoencoder' else 'a'} {task}"


def _any_of(tasks: Collection[str]) -> str:
    return " or ".join(map(_a, tasks))
