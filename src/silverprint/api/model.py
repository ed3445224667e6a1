"""A trained classifier, and what can be asked of it."""

import math
import shutil
from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from silverprint.api.inputs import Data, dataset_of, listed, needing, plain
from silverprint.errors import ImageError
from silverprint.export.bundle import writing_bundle
from silverprint.runtime.bundle import Bundle
from silverprint.runtime.predictor import Picture, Prediction, Predictor
from silverprint.training.checks import settings_from
from silverprint.training.progress import Progress
from silverprint.workflows.evaluate import evaluate_bundle
from silverprint.workflows.predict import open_bundle

if TYPE_CHECKING:
    from silverprint.workflows.explain import Explanation
    from silverprint.workflows.export import Exported
    from silverprint.workflows.next import Pick


class Model:
    """A trained classifier: a verified bundle, loaded.

    Attributes:
        bundle: where it is and what it says of itself.
    """

    def __init__(
        self, bundle: Bundle, accept: float | None = None, coverage: float | None = None
    ) -> None:
        self.bundle = bundle
        self._accept, self._coverage = accept, coverage
        self._predictor = Predictor(bundle, accept, coverage)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.bundle.classes

    @property
    def metrics(self) -> dict[str, Any]:
        """Measures of the held-out splits, "validation" and "test", as written in the bundle."""
        return cast(dict[str, Any], self.bundle.manifest["metrics"])

    @property
    def curves(self) -> dict[str, list[float]]:
        """Measures by epoch of what ships, such as "validation loss": of each a list.

        Of a cross-validated head they are the first fold's. There are none where it was solved
        exactly, without epochs, and in a bundle that was not trained here.
        """
        training = self.bundle.manifest.get("training", {})
        found = training.get("network") or training.get("chosen") or {}
        return {
            name: [math.nan if value is None else value for value in values]
            for name, values in found.get("curves", {}).items()
        }

    @overload
    def predict(self, pictures: Picture, *, top: int = 3) -> Prediction: ...
    @overload
    def predict(self, pictures: list[Picture], *, top: int = 3) -> list[Prediction]: ...

    def predict(
        self, pictures: Picture | list[Picture], *, top: int = 3
    ) -> Prediction | list[Prediction]:
        """Say what is in a picture, or in each of a list of them.

        Args:
            pictures: a path, a file's bytes or an array (see `decode`), or a list of these.
            top: how many classes to name.

        Raises:
            ImageError: the one picture given cannot be read. In a list, its answer says so instead.
        """
        if isinstance(pictures, list):
            return list(self._predictor.predict(pictures, top=top))
        answer = next(self._predictor.predict([pictures], top=top))
        if answer.error is not None:
            raise ImageError(answer.file, answer.error)
        return answer

    def evaluate(self, data: Data, split: str | None = None) -> dict[str, Any]:
        """Measure the model on labelled pictures with its own file; see `silverprint evaluate`."""
        progress = Progress(quiet=True)
        asked = (self._coverage, self._accept)
        return evaluate_bundle(self.bundle, dataset_of(data), progress, split, *asked).metrics

    def explain(
        self, picture: Picture, out: str | PathLike[str], *,
        pictures: Data | None = None, quiet: bool = False, **settings: Any,
    ) -> "Explanation":  # fmt: skip
        """Show why a picture is answered as it is; see `silverprint explain`.

        Args:
            picture: a path, a file's bytes or an array (see `decode`).
            out: folder for the figure and its parts.
            pictures: what the model was trained on, to show which of it is nearest.
            quiet: show no progress.
            **settings: top, neighbours, cam_layer, occlusion, patch and inside, as on the command
                line; classes and layers, names or lists of names.

        Returns:
            Its `answer` is as of `predict`; its `targets` each have a label, a probability and maps
            over the picture; its `neighbours` each a file, a label and a similarity; its `files`
            are what was written. A notebook shows its figure.

        Raises:
            SilverprintError: the picture, a setting or the folder will not do.
        """
        with needing("explain"):
            from silverprint.workflows.explain import ExplainSettings, explain_picture
        for name in {"classes", "layers"} & set(settings):
            settings[name] = tuple(listed(settings[name]))
        return explain_picture(
            self.bundle, picture, Path(out), settings_from(ExplainSettings, plain(settings)),
            Progress(quiet), None if pictures is None else dataset_of(pictures),
        )  # fmt: skip

    def export(
        self, to: str, out: str | PathLike[str], *, pictures: Data | None = None,
        quiet: bool = False, **settings: Any,
    ) -> "Exported":  # fmt: skip
        """Write the model in another format, and prove that it answers the same.

        Args:
            to: "onnx", "torchscript", "openvino", "triton" or "web".
            out: a new file (onnx, torchscript) or folder (the others).
            pictures: to compare answers on, as for `train`; None for two sample photos.
            quiet: show no progress.
            **settings: int8, max_drop, runtime or mode, as on the command line.

        Returns:
            Its `parity` says how far its answers lie from the model's, its `size` how many bytes
            it has.

        Raises:
            ExportError: it answers otherwise, so nothing was kept.
            SilverprintError: a setting or the place will not do.
        """
        from silverprint.workflows.export import ExportSettings, export_bundle

        chosen = settings_from(ExportSettings, plain({"to": to, **settings}))
        dataset = None if pictures is None else dataset_of(pictures)
        return export_bundle(self.bundle, Path(out), chosen, dataset, Progress(quiet))

    def pick(
        self, folder: str | PathLike[str], n: int = 50, *,
        labelled: Iterable[str | PathLike[str]] = (), seed: int = 0,
    ) -> "list[Pick]":  # fmt: skip
        """Pick the pictures of a folder most worth a label; see `silverprint next`.

        Args:
            folder: pictures without labels; folders in it mean nothing.
            n: how many; all, where there are fewer.
            labelled: pictures that have labels. They, copies of them, and what is much like them
                are not picked.
            seed: of the choice.

        Returns:
            For each its file, source, guesses and uncertainty, the first one drawn first.
        """
        with needing("next"):
            from silverprint.workflows.next import pick_next
        known = [Path(path) for path in labelled]
        return pick_next(self.bundle, Path(folder), n, Progress(quiet=True), known, seed).picks

    def save(self, path: str | PathLike[str]) -> Path:
        """Copy the bundle to a folder, which must be new, empty, or a bundle to be replaced."""
        target = Path(path)
        with writing_bundle(target) as folder:
            shutil.copytree(self.bundle.path, folder, dirs_exist_ok=True)
        return target

    def __repr__(self) -> str:
        return f"Model({fspath(self.bundle.path)!r}, classes={list(self.classes)})"


def load(
    bundle: str | PathLike[str], *, accept: float | None = None, coverage: float | None = None,
    quiet: bool = False,
) -> Model:  # fmt: skip
    """Load a bundle, or "imagenet", or "imagenet:BACKBONE" for another pretrained network.

    Args:
        bundle: its folder, or that name.
        accept: share of known pictures to answer, 0..1; the others, and pictures of something
            else, are "unknown". None for the bundle's own, 0.95.
        coverage: share of pictures, 0..1, for which an answer's `labels` should hold the truth.
            None for answers without them.
        quiet: do not say that a pretrained network is being prepared, as it is the first time.

    Raises:
        BundleError: it is missing, damaged, or of another format version.
        ConfigError: a share is outside its range, or the bundle cannot tell.
    """
    return Model(open_bundle(bundle, quiet=quiet), accept, coverage)
