"""`export`: write a bundle in another format, and prove that it still answers the same."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silverprint.data.table import Dataset
from silverprint.errors import ConfigError, MissingExtraError
from silverprint.export.formats import check_format, write_format
from silverprint.export.output import check_place, writing
from silverprint.export.parity import Parity, check, compare, photos, samples_of
from silverprint.runtime.bundle import Bundle
from silverprint.runtime.predictor import Predictor
from silverprint.training.progress import Progress
from silverprint.workflows.int8 import Cost, write_judged

PHOTOS = "two photos that come with scikit-learn"


@dataclass(frozen=True)
class ExportSettings:
    """How to write.

    Attributes:
        to: the format.
        int8: whether the network is quantised; onnx only.
        max_drop: the largest loss of accuracy that int8 may cost.
        runtime: where onnxruntime-web comes from; web only.
        mode: what the page does; web only.
    """

    to: str
    int8: bool = False
    max_drop: float = 0.01
    runtime: str | None = None
    mode: str = "classify"

    def check(self, out: Path, pictures: bool) -> None:
        """Refuse what cannot be, before any work is done.

        Args:
            out: where the export goes.
            pictures: whether there are any.

        Raises:
            ConfigError: settings are wrong or do not fit each other, or something is there already.
        """
        check_format(self.to, out)
        if self.int8 and self.to != "onnx":
            raise ConfigError(f"--int8 is for --to onnx; --to {self.to} keeps the bundle's f32.")
        if self.int8 and not pictures:
            raise ConfigError("--int8 is calibrated and judged on pictures; give --pictures DATA.")
        if not 0 <= self.max_drop <= 1:
            raise ConfigError(f"--max-drop is a share from 0 to 1; got {self.max_drop}.")
        if self.to != "web" and (self.runtime is not None or self.mode != "classify"):
            raise ConfigError(f"--runtime and --mode are for --to web, not --to {self.to}.")
        check_place(out)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        to: the format.
        out: where it is.
        size: bytes of all files.
        parity: how far its answers lie from the bundle's.
        cost: what int8 cost.
    """

    to: str
    out: Path
    size: int
    parity: Parity
    cost: Cost | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "to": self.to,
            "out": str(self.out),
            "bytes": self.size,
            "parity": self.parity.to_json(),
            "accuracy": None if self.cost is None else self.cost.to_json(),
        }


def export_bundle(
    bundle: Bundle, out: Path, settings: ExportSettings, dataset: Dataset | None, progress: Progress
) -> Exported:
    """Write the bundle in another format; nothing is left behind where it answers otherwise.

    Args:
        bundle: the model.
        out: a new file (onnx, torchscript) or folder (openvino, triton, web).
        settings: which format, and how.
        dataset: pictures to compare answers on, and for int8 to calibrate and judge with; None for
            two photos that come with scikit-learn.
        progress: shows stages, and keeps their times.

    Raises:
        ConfigError: a setting or the place is wrong.
        DataError: the pictures cannot be used.
        ExportError: it answers otherwise than the bundle, or int8 costs too much accuracy.
        MissingExtraError: the train extra is not installed.
    """
    settings.check(out, dataset is not None)
    predictor, cost = Predictor(bundle), None
    try:
        samples = photos(bundle.decode_side) if dataset is None else samples_of(predictor, dataset)
        with writing(out) as made:
            if dataset is not None and settings.int8:
                answer, cost = write_judged(bundle, dataset, made, settings.max_drop, progress)
            else:
                with progress.stage("write"):
                    answer = write_format(
                        settings.to, bundle, made, runtime=settings.runtime, mode=settings.mode
                    )
            with progress.stage("compare"):
                source = PHOTOS if dataset is None else dataset.name
                parity = compare(predictor.probabilities, answer, samples, source)
            if cost is None:
                check(parity)
            size = sum(file.stat().st_size for file in (made, *made.rglob("*")) if file.is_file())
    except ImportError as error:
        raise MissingExtraError(f"export --to {settings.to}", "train") from error
    return Exported(settings.to, out, size, parity, cost)
