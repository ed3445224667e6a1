"""What the workflows of networks that make things share: read pictures, keep a run, ship."""

import datetime
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
from safetensors.torch import save_file
from torch import Tensor, nn

from silverprint import __version__
from silverprint.backbones.graphs import preprocess_graph
from silverprint.data.audit.unlabelled import without_labels
from silverprint.data.conventions import counted
from silverprint.data.table import SPLITS, Dataset
from silverprint.errors import DataError
from silverprint.export.bundle import write_manifest, writing_bundle
from silverprint.recipes.scratch_settings import ScratchSettings
from silverprint.runtime.bundle import REPORT, WEIGHTS
from silverprint.runtime.generative import PREPROCESS, TASKS
from silverprint.runtime.preprocessing import Fit, Preprocessing
from silverprint.training.journal import METRICS, read_journal
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Progress
from silverprint.workflows.networks import LARGEST_SIDE, longest_side, read_small
from silverprint.workflows.run_folders import forget_old_runs, hold_run, leave
from silverprint.workflows.settings import TrainSettings

FEWEST = 2  # pictures: one to learn from, one to judge by
ENOUGH_STEPS = 300  # with fewer, all pictures come out as one grey mist
LIBRARIES = ("silverprint", "torch", "onnx", "onnxruntime", "numpy", "pillow")


@dataclass(frozen=True)
class Material:
    """Pictures to learn from, in memory.

    Attributes:
        dataset: those that could be read, with their splits.
        preprocessing: how a file became pixels.
        train: to learn from; targets are labels, (n,) int64, of classes, as in all splits.
        validation: to judge by.
        test: to report on; empty where the dataset has no test split.
        digests: sha256 of each file's bytes.
        refused: name and reason of each file that could not be read.
        notices: what the user should know.
    """

    dataset: Dataset
    preprocessing: Preprocessing
    train: PixelData
    validation: PixelData
    test: PixelData
    digests: list[bytes]
    refused: list[tuple[str, str]]
    notices: list[str]

    @property
    def told(self) -> list[str]:
        """All that the user should know: of the dataset, and of the reading."""
        return [*self.dataset.notices, *self.notices]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, S, S) of a picture; C is 1 where no picture has colour."""
        channels, height, width = self.train.pixels.shape[1:]
        return channels, height, width

    def tell_few_steps(self, settings: Any) -> None:
        """Add a notice where so few pictures make too few steps of training.

        Args:
            settings: of the training; it has epochs and batch_size.
        """
        each = -(-len(self.train) // settings.batch_size)
        if each * settings.epochs < ENOUGH_STEPS:
            epochs, steps = -(-ENOUGH_STEPS // each), counted(each * settings.epochs, "step")
            self.notices.append(
                f"{counted(len(self.train), 'picture')} and {counted(settings.epochs, 'epoch')} "
                f"make {steps} of training, which is little; --epochs {epochs} makes "
                f"{each * epochs}. More pictures help more."
            )

    def facts(self, settings: Any) -> dict[str, Any]:
        """Return what bundle.json says of the pictures, and of how was learned from them."""
        channels, side, _ = self.shape
        sizes = {split: len(self.dataset.rows(split)) for split in SPLITS}
        return {
            "picture": {"channels": channels, "size": side},
            "training": asdict(settings),
            "data": {"name": self.dataset.name, "pictures": sizes},
        }

    def run_folder(self, settings: Any, *, fresh: bool = False) -> Path:
        """Return the folder of this very run: same pictures, same settings, same release."""
        dataset = self.dataset
        told = [__version__, type(settings).__name__, repr(settings), dataset.classes,
                self.preprocessing.to_json()]  # fmt: skip
        data = (*self.digests, dataset.labels.tobytes(), dataset.splits.tobytes())
        return hold_run(told, data, fresh=fresh)


def read_material(
    dataset: Dataset, progress: Progress, *, size: int | None = None, fit: Fit = "crop",
    seed: int = 0, labelled: bool = True,
) -> Material:  # fmt: skip
    """Read all pictures into memory, small; a validation split is drawn where there is none.

    Args:
        dataset: labelled or not.
        progress: shows the reading.
        size: side in pixels; None for the pictures' own, at most 64.
        fit: how a picture becomes square: "pad", "crop" or "squash".
        seed: of the drawn split.
        labelled: labels are needed; else they are left aside where something is wrong with them.

    Raises:
        DataError: no picture can be read, or one class each is needed and pictures have several.
        ConfigError: a setting is outside its range.
    """
    if len(dataset) < FEWEST:
        raise DataError(
            f"{dataset.name} has {counted(len(dataset), 'picture')}; at least {FEWEST} are needed, "
            "to learn from and to judge by."
        )
    if dataset.task == "multi-label":
        if labelled:
            raise DataError(
                f"{dataset.name} has several labels a picture; what is asked here takes one or "
                "none."
            )
        dataset = without_labels(dataset, "there are several a picture.")
    settings = TrainSettings(size=size, fit=fit, seed=seed, scratch=ScratchSettings())
    try:
        run, read = read_small(dataset, settings, progress, SPLITS)
    except DataError as error:
        if labelled or len(dataset.classes) == 1:
            raise
        run, read = read_small(without_labels(dataset, str(error)), settings, progress, SPLITS)
    parts = {
        split: PixelData(read[split].pixels, run.dataset.labels[run.dataset.rows(split)])
        for split in SPLITS
    }
    if not len(parts["validation"]):
        raise DataError(f"{dataset.name} has too few pictures to keep some for judging.")
    longest, side = longest_side(run.dataset), run.preprocessing.size
    if longest + 1 < min(side, LARGEST_SIDE):  # an odd side is made even
        run.notices.append(f"Pictures of {longest} pixels are enlarged to {side}.")
    return Material(
        run.dataset, run.preprocessing, parts["train"], parts["validation"], parts["test"],
        list(run.seen.digests), run.seen.refused, run.notices,
    )  # fmt: skip


def count_earlier(progress: Progress, folder: Path, resumed: int, notices: list[str]) -> None:
    """Add the training of stopped processes, which this one took up, to its own.

    Args:
        progress: has the time of this process.
        folder: of the run, with the journal.
        resumed: the epoch after which it was taken up; 0 for the beginning.
        notices: gets a line that says so.
    """
    if not resumed:
        return
    lines = [line for line in read_journal(folder) if line["epoch"] <= resumed]
    earlier = sum(line.get("seconds", 0.0) for line in lines)
    progress.seconds["train"] = progress.seconds.get("train", 0.0) + earlier
    notices.append(
        f"A stopped run was taken up after epoch {resumed}; the time of training is that of both, "
        f"{earlier:,.1f} s of it before."
    )


def provenance(command: str, settings: Any, networks: Mapping[str, nn.Module]) -> dict[str, str]:
    """Return how a network came to be, as the reports tell it.

    Args:
        command: what was typed.
        settings: the dataclass of how it was trained.
        networks: what the number of its weights is called -> a network.
    """
    return {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **{name: f"{sum(p.numel() for p in one.parameters()):,}" for name, one in networks.items()},
        **{
            name: _written(value)
            for name, value in asdict(settings).items()
            if value is not None and value != ()
        },
        **{name: version(name) for name in LIBRARIES},
    }


def _written(value: Any) -> str:
    """Write a setting as it is given on the command line."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def ship(
    out: Path, folder: Path, task: str, tensors: Mapping[str, Tensor], report: str,
    facts: Mapping[str, Any], *, preprocessing: Preprocessing | None = None,
) -> None:  # fmt: skip
    """Write the folder that `runtime.generative` reads, and forget what a stop would have needed.

    Args:
        out: the folder; a bundle that was there is replaced once all is written.
        folder: of the run, with the ONNX files of the task.
        task: one of runtime.generative.TASKS.
        tensors: the weights.
        report: the page, as text.
        facts: what else bundle.json holds, such as settings, classes, metrics; plain JSON types.
        preprocessing: how a picture becomes what the encoder takes; where there is an encoder.
    """
    with writing_bundle(out) as unfinished:
        own = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        save_file(own, unfinished / WEIGHTS)
        for name in TASKS[task]:
            shutil.copy(folder / name, unfinished)
        if preprocessing is not None:
            onnx.save(preprocess_graph(preprocessing), str(unfinished / PREPROCESS))
            facts = {**facts, "preprocessing": preprocessing.to_json()}
        if (folder / METRICS).exists():
            shutil.copy(folder / METRICS, unfinished)
        (unfinished / REPORT).write_text(report, "utf-8")
        libraries = {name: version(name) for name in LIBRARIES}
        told = {"silverprint": __version__, "task": task, **facts, "libraries": libraries}
        write_manifest(unfinished, told)
    leave(folder)
    forget_old_runs()
