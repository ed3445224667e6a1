"""A run's diary: one JSON line an epoch, and the same to TensorBoard or MLflow on request."""

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from silverprint.errors import ConfigError, MissingExtraError, closest
from silverprint.runtime.disk import writing_to_cache

METRICS = "metrics.jsonl"
TRACKERS = ("tensorboard", "mlflow")
Tracker = Literal["tensorboard", "mlflow"]


class Journal:
    """Appends a line an epoch to `metrics.jsonl`.

    Attributes:
        path: the file.
        epochs: the lines as they stand, oldest first.
    """

    def __init__(
        self, folder: Path, *, after: int = 0, track: Tracker | None = None, name: str = ""
    ) -> None:
        """Open the diary of a folder.

        Args:
            folder: of the run.
            after: the epoch that the run goes on from; lines of later ones are forgotten, because
                they will be lived through again. 0 begins anew.
            track: mirror to `runs/NAME` for TensorBoard, or to MLflow's own tracking address.
            name: of the run there; else the folder's.

        Raises:
            MissingExtraError: the tracker's package is not installed.
        """
        self.path = folder / METRICS
        self.epochs = [line for line in read_journal(folder) if line["epoch"] <= after]
        # A line that was half written when the process died goes with the later epochs.
        text = "".join(json.dumps(line) + "\n" for line in self.epochs)
        unfinished = self.path.with_name(f"{METRICS}.unfinished")
        with writing_to_cache(folder):
            unfinished.write_text(text, "utf-8")
            unfinished.replace(self.path)
        self._mirror = _mirror(track, name or folder.name, folder, after)

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Note one epoch: "training loss", "validation accuracy", "learning rate", ..."""
        line = {"epoch": epoch, **values}
        self.epochs.append(line)
        with writing_to_cache(self.path.parent), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._mirror.write(epoch, values)

    def close(self) -> None:
        """Let the tracker write what it still holds."""
        self._mirror.close()


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """Return a run's metrics, oldest first, up to a line that is not whole; none without a file."""
    try:
        text = (folder / METRICS).read_text("utf-8", "replace")
    except FileNotFoundError:
        return []
    lines: list[dict[str, Any]] = []
    for line in text.splitlines(keepends=True):
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            found = None
        if not (isinstance(found, dict) and "epoch" in found and line.endswith("\n")):
            break  # half written, or damaged: the checkpoint knows what is lost with it
        lines.append(found)
    return lines


class _Nowhere:
    """No tracker."""

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing is open."""


class _TensorBoard(_Nowhere):
    def __init__(self, name: str, after: int) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("--track tensorboard", "track") from error
        # TensorBoard's own default place; what an earlier process wrote after `after` is hidden.
        self._writer = SummaryWriter(Path("runs") / name, purge_step=after + 1)

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name.replace(" ", "/", 1), value, epoch)

    def close(self) -> None:
        self._writer.close()


class _MLflow(_Nowhere):
    def __init__(self, name: str, folder: Path) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            mlflow: Any = importlib.import_module("mlflow")
        except ImportError as error:
            raise MissingExtraError("--track mlflow", "track") from error
        self._mlflow = mlflow
        kept = folder / "mlflow-run"  # a run that was stopped goes on under its own number
        known = kept.read_text("utf-8") if kept.exists() else None
        run = mlflow.start_run(run_id=known, run_name=name)
        kept.write_text(run.info.run_id, "utf-8")

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        self._mlflow.log_metrics(dict(values), step=epoch)

    def close(self) -> None:
        self._mlflow.end_run()


def _mirror(track: str | None, name: str, folder: Path, after: int) -> _Nowhere:
    if track is None:
        return _Nowhere()
    if track == "tensorboard":
        return _TensorBoard(name, after)
    if track == "mlflow":
        return _MLflow(name, folder)
    raise ConfigError(
        f"track must be one of {', '.join(TRACKERS)}; got {track!r}.{closest(track, TRACKERS)}"
    )
