"""Pictures, and what a pretrained network sees in them, as arrays for models of your own."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from silverprint.api.inputs import Data, dataset_of, needing, plain
from silverprint.data.table import Split
from silverprint.training.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from silverprint.backbones.networks import Backbone
    from silverprint.runtime.preprocessing import Fit


def pixels(
    data: Data,
    split: Split | None = None,
    *,
    size: int | None = None,
    fit: "Fit" = "pad",
) -> "tuple[NDArray[np.uint8], NDArray[Any]]":
    """Read pictures and their labels as two arrays, for a network of your own.

    Args:
        data: what `read` gives, or what it takes.
        split: "train", "validation" or "test"; None for all pictures.
        size: side of the pictures in pixels; None for their own, at most 64.
        fit: how a picture becomes square: "pad", "crop" or "squash".

    Returns:
        (n, C, S, S) values of 0 to 255, C being 1 where no picture has colour, else 3; and the
        labels, (n,) or, of several a picture, (n, classes) of 0 and 1. Pictures that cannot be read
        are left out, and a warning names them.

    Raises:
        SilverprintError: an input is wrong, or no picture can be read.
    """
    with needing("pixels"):
        from silverprint.workflows.networks import read_pixels
    return read_pixels(dataset_of(data), split, plain(size), fit)


def features(
    data: Data,
    split: Split | None = None,
    *,
    quiet: bool = False,
    **settings: Any,
) -> "tuple[NDArray[np.float32], NDArray[Any]]":
    """Look at pictures once and return what the frozen network sees, for a classifier of your own.

    Args:
        data: what `read` gives, or what it takes.
        split: "train", "validation" or "test"; None for all pictures.
        quiet: show no progress.
        **settings: backbone, size, fit, engine or cache_limit, as for `train`.

    Returns:
        (n, d) features and the labels, in the order of the pictures. Pictures that cannot be read
        are left out, and a warning names them.

    Raises:
        SilverprintError: an input is wrong, or no picture can be read.
    """
    with needing("features"):
        from silverprint.workflows.networks import read_features
    from silverprint.workflows.settings import TrainSettings

    dataset = dataset_of(data)
    return read_features(dataset, split, TrainSettings.of(**plain(settings)), Progress(quiet))


def load_backbone(
    name: str = "efficientnet-lite0", weights: str | PathLike[str] | None = None
) -> "Backbone":
    """Load a pretrained network as a torch module, for a loop of your own.

    Args:
        name: one that `silverprint backbones` lists.
        weights: a file with its weights, instead of the packaged ones or the hub's.

    Returns:
        The network without its last layer, frozen and in evaluation mode: (n, C, S, S) uint8, as
        `pixels` gives them, to (n, d) features. `size` is the side that it was trained on.

    Raises:
        BackboneError: the name is unknown, or weights are missing or do not fit.
    """
    with needing("load_backbone"):
        from silverprint.backbones.networks import load_backbone as load_network
    from silverprint.backbones.registry import choose_backbone

    return load_network(choose_backbone(name, None if weights is None else Path(weights)))


def list_backbones() -> list[str]:
    """Return the names of the networks whose weights come with pip packages."""
    from silverprint.backbones.registry import PACKAGED

    return list(PACKAGED)
