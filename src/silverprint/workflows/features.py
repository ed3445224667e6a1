"""`features`: what a network sees in each picture, as Parquet for any other tool."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from silverprint import __version__
from silverprint.backbones.cache import trim
from silverprint.backbones.look import Look, look
from silverprint.backbones.prepare import PreparedBackbone
from silverprint.cluster.looking import place_of
from silverprint.data.table import SPLITS, Dataset
from silverprint.errors import ConfigError, DataError, MissingExtraError
from silverprint.runtime.paths import cache_folder
from silverprint.runtime.preprocessing import Preprocessing
from silverprint.training.progress import Progress
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.train import frozen_network

FILE_ROWS = 100_000  # of a folder's files; half a gigabyte of 1,280 features each
GROUP_ROWS = 8192  # that are in memory at a time


@dataclass(frozen=True)
class Features:
    """What was written.

    Attributes:
        files: the Parquet files.
        seen: the look they were written from.
        dimension: features a picture.
    """

    files: list[Path]
    seen: Look
    dimension: int


def write_features(
    dataset: Dataset, out: Path, settings: TrainSettings, progress: Progress, *, exact: bool = False
) -> Features:
    """Look at every picture once and write name, label, split, sha256 and features of each.

    Args:
        dataset: the pictures.
        out: a new file that ends in .parquet, or a new folder for files of FILE_ROWS rows.
        settings: the network, the engine and where to look; as for `train`.
        progress: shows stages, and keeps their times.
        exact: decode in full, as for held-out pictures, instead of large JPEGs at reduced scale.

    Raises:
        SilverprintError: an input is wrong; nothing was written.
    """
    check_new(out)
    try:
        import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtraError("writing Parquet", "cluster") from None
    place = place_of(settings.on)
    engines = place.candidates(settings.engine)
    prepared, preprocessing = frozen_network(settings, progress)
    with progress.stage("look", len(dataset), f"looking at {len(dataset):,} pictures") as advance:
        seen = look(
            prepared, preprocessing, dataset.sources, dataset.names, cache=cache_folder(),
            engine=engines, exact=exact, place=place, advance=advance,
        )  # fmt: skip
    if not len(seen.rows):
        file, reason = seen.refused[0]
        raise DataError(
            f"{dataset.name}: none of {len(dataset):,} pictures can be read; the first: "
            f"{file}: {reason}."
        )
    facts = _facts(prepared, preprocessing, seen, exact)
    with progress.stage("write", len(seen.rows), f"writing {len(seen.rows):,} rows") as advance:
        part = out.with_name(f".{os.getpid()}-{out.name}")
        try:
            for path, positions in _files(part, len(seen.rows)):
                _write(path, dataset, seen, positions, facts, advance)
            part.rename(out)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"--out {out}: cannot be written ({reason}).") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
            part.unlink(missing_ok=True)
    trim(cache_folder(), settings.cache_limit)
    return Features([out] if out.is_file() else sorted(out.iterdir()), seen, prepared.features)


def check_new(out: Path) -> None:
    """Refuse a place that is taken, or that cannot be made.

    Raises:
        ConfigError: it is.
    """
    if os.path.lexists(out):
        raise ConfigError(f"--out {out} exists already and is not overwritten; name a new one.")
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: the folder {out.absolute().parent} does not exist.")


def _files(out: Path, rows: int) -> Iterator[tuple[Path, range]]:
    """Yield each file and the positions that it gets."""
    if out.suffix == ".parquet":
        yield out, range(rows)
        return
    out.mkdir()
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        yield out / f"part-{number:05d}.parquet", range(start, min(start + FILE_ROWS, rows))


def _facts(
    prepared: PreparedBackbone, preprocessing: Preprocessing, seen: Look, exact: bool
) -> dict[str, str]:
    """Return what has to be known to get the same features again."""
    told = {
        "backbone": prepared.choice.name,
        "weights": prepared.key,
        "licence": prepared.choice.licence,
        "engine": seen.engine,
        "decoded": "in full" if exact else "at reduced scale where that is enough",
        "preprocessing": preprocessing.to_json(),
        "version": __version__,
    }
    return {"silverprint": json.dumps(told)}


def _write(
    path: Path, dataset: Dataset, seen: Look, positions: Sequence[int], facts: dict[str, str],
    advance: Any,
) -> None:  # fmt: skip
    """Write one file, a group of rows at a time."""
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    assert seen.cache is not None
    several = dataset.task == "multi-label"
    schema = arrow.schema(
        {
            "name": arrow.string(),
            "label": arrow.list_(arrow.string()) if several else arrow.string(),
            "split": arrow.string(),
            "sha256": arrow.binary(32),
            "features": arrow.list_(arrow.float32(), seen.cache.dimension),
        },
        metadata=facts,
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(positions), GROUP_ROWS):
            group = np.array(positions[start : start + GROUP_ROWS])
            writer.write_table(arrow.table(_columns(arrow, dataset, seen, group), schema))
            advance(len(group))


def _columns(arrow: Any, dataset: Dataset, seen: Look, group: np.ndarray) -> dict[str, Any]:
    rows = seen.rows[group]
    features = seen.features(group)
    if dataset.task == "multi-label":
        labels: list[Any] = [
            [dataset.classes[i] for i in np.flatnonzero(dataset.labels[row])] for row in rows
        ]
    else:
        labels = [dataset.classes[dataset.labels[row]] for row in rows]
    return {
        "name": [dataset.names[row] for row in rows],
        "label": labels,
        "split": [SPLITS[dataset.splits[row]] for row in rows],
        "sha256": [seen.digests[position] for position in group],
        "features": arrow.FixedSizeListArray.from_arrays(
            np.asarray(features).reshape(-1), features.shape[1]
        ),
    }
