"""Reading a bundle: a folder that holds a model and everything said of it.

bundle.json          what follows, and the sha256 of every other file
model.onnx           decoded RGB in, calibrated probabilities out
weights.safetensors  the same weights, for training on
report.html          for people
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from silverprint.errors import BundleError, ConfigError

FORMAT = 1
MANIFEST = "bundle.json"
MODEL = "model.onnx"
WEIGHTS = "weights.safetensors"
REPORT = "report.html"

# What a bundle may have besides: names of numbers (0), or of lists of at least so many numbers.
OPTIONAL: dict[str, dict[str, int]] = {
    "calibration": {"temperature": 0},
    "unknown": {"accept": 0, "distances": 2},
    "sets": {"pictures": 0, "probabilities": 1},
}

Task = Literal["single-label", "multi-label"]
OTHER_TASKS = {"autoencoder": "generate", "vae": "generate", "gan": "generate", "text": "write"}


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: its folder.
        manifest: the content of bundle.json.
    """

    path: Path
    manifest: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return tuple(self.manifest["classes"])

    @property
    def task(self) -> Task:
        """Either "single-label" or "multi-label"."""
        task: Task = self.manifest["task"]
        return task

    @property
    def decode_side(self) -> int:
        """The shorter side that a decoded picture must keep."""
        return int(self.manifest["preprocessing"]["decode_side"])

    def farthest(self, accept: float | None = None) -> float:
        """Return the distance beyond which a picture is unknown; infinite if none is.

        Args:
            accept: share of known pictures that should be answered, 0..1; None for the bundle's
                own. 1 answers every picture.

        Raises:
            ConfigError: the share is outside its range, or the bundle knows no distances.
        """
        if accept is not None and not 0 < accept <= 1:
            raise ConfigError(f"accept must lie within 0..1, 0 excluded; got {accept:g}.")
        told: Any = self.manifest.get("unknown")
        if not told:
            if accept is None or accept == 1:
                return math.inf
            raise ConfigError(
                f"{self.path} does not know which pictures are unknown to it; {self._way_out}, or "
                "leave out accept."
            )
        share = float(told["accept"]) if accept is None else accept
        if share == 1:
            return math.inf
        steps = np.linspace(0, 1, len(told["distances"]))
        return float(np.interp(share, steps, told["distances"]))

    def least_likely(self, coverage: float) -> float:
        """Return the probability from which on a class belongs to a picture's set.

        Args:
            coverage: share of pictures whose set should hold the truth, 0..1, both excluded.

        Raises:
            ConfigError: the share is outside its range or more than the held-out pictures can
                promise, the bundle may answer with several classes anyway, or it knows no lines.
        """
        if not 0 < coverage < 1:
            raise ConfigError(f"coverage must lie within 0..1, both excluded; got {coverage:g}.")
        if self.task == "multi-label":
            raise ConfigError(
                f"coverage is for pictures of one class each; {self.path} is multi-label and names "
                "every class at 0.5 and above. Leave out coverage."
            )
        told: Any = self.manifest.get("sets")
        if not told:
            raise ConfigError(
                f"{self.path} does not know which sets hold the truth how often; {self._way_out}, "
                "or leave out coverage."
            )
        lines = told["probabilities"]
        rank = math.ceil(coverage * (len(lines) + 1) - 1e-9)
        if rank > len(lines):
            most = math.floor(1000 * len(lines) / (len(lines) + 1)) / 1000
            raise ConfigError(
                f"coverage {coverage:g} is more than the {told['pictures']:,} held-out pictures of "
                f"{self.path} can promise; ask for {most:g} or less, or train it with more."
            )
        return float(lines[rank - 1])

    @property
    def _way_out(self) -> str:
        again = "training" in self.manifest  # else it was made from a pretrained network as it is
        return "train it again with this release" if again else "train one on pictures of your own"

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.path / MODEL


def read_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read and verify a bundle.

    Raises:
        BundleError: it is missing, of another format version, or a file is missing or changed.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    if verb := OTHER_TASKS.get(str(manifest.get("task"))):
        raise BundleError(
            f"{folder} holds no classifier ({manifest['task']}); `silverprint {verb}` takes it."
        )
    need(folder, manifest, ("classes", "task", "preprocessing", "files"))
    _check_kinds(folder / MANIFEST, manifest)
    verify_files(folder, manifest)
    return Bundle(folder, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read bundle.json, of whatever kind of bundle.

    Raises:
        BundleError: it is missing, cannot be read, or is of another format version.
    """
    try:
        manifest: Any = json.loads((folder / MANIFEST).read_text("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(_not_found(folder)) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(
            f"{folder / MANIFEST} cannot be read: {error}; get the bundle again."
        ) from None
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise BundleError(f"{folder / MANIFEST} is not a Silverprint bundle's: no format version.")
    if manifest["format"] != FORMAT:
        raise BundleError(
            f"{folder}: bundle format {manifest['format']}, but this release reads {FORMAT}; "
            "use the release that wrote it, or train again."
        )
    return manifest


def need(folder: Path, manifest: Mapping[str, Any], keys: Iterable[str]) -> None:
    """Make sure that bundle.json holds these keys.

    Raises:
        BundleError: it does not.
    """
    missing = [key for key in keys if key not in manifest]
    if missing:
        raise BundleError(f"{folder / MANIFEST} lacks {', '.join(missing)}; get the bundle again.")


def verify_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Make sure that every file is there and as it was written.

    Raises:
        BundleError: one is missing, or was changed.
    """
    for name, digest in manifest["files"].items():
        _verify(folder / name, digest)


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_kinds(path: Path, manifest: dict[str, Any]) -> None:
    """Check what a hand may have edited; bundle.json has no digest of its own."""
    classes, preprocessing, files = (manifest[k] for k in ("classes", "preprocessing", "files"))
    fits = {
        "classes": isinstance(classes, list)
        and all(isinstance(name, str) for name in classes)
        and len(set(classes)) == len(classes),
        "task": manifest["task"] in get_args(Task),
        "preprocessing": isinstance(preprocessing, dict)
        and isinstance(preprocessing.get("decode_side"), int),
        "files": isinstance(files, dict) and MODEL in files,
        **{key: _fits(manifest.get(key), kinds) for key, kinds in OPTIONAL.items()},
    }
    wrong = [key for key, right in fits.items() if not right]
    if wrong:
        raise BundleError(
            f"{path}: {', '.join(wrong)} is not what a bundle holds; get the bundle again."
        )


def _fits(told: Any, kinds: Mapping[str, int]) -> bool:
    """Say whether what a bundle may have is left out, empty, or of these kinds; see OPTIONAL."""
    if not told:
        return True
    return isinstance(told, dict) and all(
        _are_numbers(told.get(key) if least else [told.get(key)], least or 1)
        for key, least in kinds.items()
    )


def _are_numbers(values: Any, least: int) -> bool:
    kinds = isinstance(values, list) and {type(value) for value in values} <= {int, float}
    return kinds and len(values) >= least


def _verify(path: Path, expected: str) -> None:
    try:
        found = file_digest(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BundleError(f"{path}: {reason}; the bundle is incomplete, get it again.") from None
    if found != expected:
        raise BundleError(
            f"{path} was changed or damaged: its sha256 is {found[:12]}..., bundle.json says "
            f"{expected[:12]}...; get the bundle again."
        )


def _not_found(folder: Path) -> str:
    if not folder.exists():
        return f"bundle {folder} does not exist; `silverprint train` makes bundles."
    kind = "a folder without" if folder.is_dir() else "a file, not a folder with"
    return f"{folder} is {kind} {MANIFEST}, so it is not a bundle."
