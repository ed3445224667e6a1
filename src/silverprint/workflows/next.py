"""`next`: which pictures of a folder are most worth a label, and a page to label them on.

A picture is looked at once, by the network and with the cache that `train` uses: so asking again,
and training with the new labels, costs no further look.
"""

import os
import shlex
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from silverprint.backbones.look import Look
from silverprint.data.audit.unlabelled import read_unlabelled
from silverprint.data.conventions import counted, first_few, natural_key
from silverprint.data.labels import LabelFile, check_label, unnameable
from silverprint.data.table import Dataset, Source
from silverprint.errors import ConfigError, DataError
from silverprint.export.network import BundleNetwork, load_network
from silverprint.runtime.bundle import Bundle
from silverprint.serving import labelling
from silverprint.serving.server import make_server
from silverprint.serving.settings import Settings
from silverprint.training.metrics import sigmoid, softmax
from silverprint.training.progress import Progress
from silverprint.training.selection import choose, uncertainties
from silverprint.workflows.neighbours import look_with_bundle

GUESSES = 10


@dataclass(frozen=True)
class Pick:
    """A picture worth a label.

    Attributes:
        file: its name below the folder.
        source: where it is.
        guesses: the likeliest classes with their probabilities, highest first.
        uncertainty: 0 for a sure answer, 1 where two classes are equally likely.
    """

    file: str
    source: Path
    guesses: tuple[tuple[str, float], ...]
    uncertainty: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        label, probability = self.guesses[0]
        return {
            "file": self.file,
            "label": label,
            "probability": round(probability, 6),
            "uncertainty": round(self.uncertainty, 6),
            "top": [[name, round(share, 6)] for name, share in self.guesses[:3]],
        }


@dataclass(frozen=True)
class Picks:
    """What was picked, the most useful first.

    Attributes:
        picks: the pictures.
        refused: name and reason of each picture that cannot be used.
        pool: how many pictures there were to pick from.
        looked: how many went through the network now; the others were in the cache.
        notices: what the user should know.
    """

    picks: list[Pick]
    refused: list[tuple[str, str]]
    pool: int
    looked: int
    notices: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "pictures": [pick.to_json() for pick in self.picks],
            "pool": self.pool,
            "refused": [{"file": name, "error": reason} for name, reason in self.refused],
        }


def pick_next(
    bundle: Bundle, folder: Path, count: int, progress: Progress,
    labelled: Iterable[Path] = (), seed: int = 0,
) -> Picks:  # fmt: skip
    """Pick the pictures of a folder whose labels would teach a bundle the most.

    Args:
        bundle: a model that gives each picture one of several classes.
        folder: pictures without labels; folders in it mean nothing.
        count: how many to pick; all, where there are fewer.
        progress: shows what takes a while.
        labelled: pictures that have labels; neither they nor their copies are picked, nor what is
            much like them.
        seed: of the choice.

    Raises:
        SilverprintError: the bundle or the folder does not serve.
    """
    check(bundle, count, seed)
    everything = read_unlabelled(folder.absolute())
    # Path.is_file raises where a name is too long.
    known = [path.absolute() for path in labelled if os.path.isfile(path)]  # noqa: PTH113
    pool, notices = _without(everything, known)
    network = load_network(bundle)
    seen = look_with_bundle(bundle, network, pool, np.arange(len(pool)), progress, "picture")
    taught = _look_at(known, bundle, network, progress)
    refused = list(seen.refused)
    rows, features = _unlike(seen, pool, set(taught.digests) if taught else set(), refused, notices)
    if not len(rows):
        raise DataError(_nothing(folder, everything, refused))
    if len(rows) <= count:
        notices.append(f"Only {counted(len(rows), 'picture')} to pick from, so all are picked.")
    with progress.stage("pick"):
        probabilities = probabilities_of(bundle, network, features)
        near = taught.features() if taught else None
        chosen = choose(probabilities, features, count, near, seed)
        unsure = uncertainties(probabilities)
    picks = [
        Pick(pool.names[row], _path(pool.sources[row]), _guesses(bundle, probabilities[position]),
             float(unsure[position]))
        for position, row in zip(chosen, rows[chosen], strict=True)
    ]  # fmt: skip
    return Picks(picks, refused, len(rows), seen.looked, notices)


def check(bundle: Bundle, count: int, seed: int = 0) -> None:
    """Refuse what cannot be done, before any work.

    Raises:
        ConfigError: pictures have several labels, fewer than one is asked for, or the seed is
            negative.
    """
    if bundle.task == "multi-label":
        raise ConfigError(
            f"{bundle.path} gives a picture several labels, and next takes one for each; label "
            "such pictures in a CSV with '|' between labels."
        )
    if count < 1:
        raise ConfigError(f"n must be at least 1; got {count}.")
    if seed < 0:
        raise ConfigError(f"seed must be at least 0; got {seed}.")


def probabilities_of(
    bundle: Bundle, network: BundleNetwork, features: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return calibrated probabilities (n, classes) of features (n, d)."""
    temperature = bundle.manifest.get("calibration", {}).get("temperature", 1.0)
    with torch.no_grad():
        logits = network.head(torch.from_numpy(np.ascontiguousarray(features))).numpy()
    if logits.shape[1] == 1:  # one of two
        second = sigmoid(logits / np.float32(temperature))
        return np.concatenate([1 - second, second], axis=1)
    return softmax(logits / np.float32(temperature))


def label_on_page(
    picks: Picks, bundle: Bundle, labels: LabelFile, listening: socket.socket,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Serve a page on which a person labels what was picked, until the program is stopped.

    Args:
        picks: what to label.
        bundle: whose classes there are; those of `labels` join them.
        labels: where labels go.
        listening: a socket of this computer.
        say: tells the person at the terminal a line.
    """
    command = next_command(bundle, labels)
    classes = list(bundle.classes)
    classes += sorted(set(labels.labelled.values()) - set(classes), key=natural_key)
    for name in classes:
        check_label(name)
    session = labelling.Session(
        pictures=[labelling.Offered(one.file, one.source, one.guesses) for one in picks.picks],
        classes=classes, labels=labels, file=_readable(labels.path),
        advice=lambda: (command, _readable(labels.trouble()) if labels.given else ""),
    )  # fmt: skip
    port = listening.getsockname()[1]
    app = labelling.create_app(session, [f"127.0.0.1:{port}", f"localhost:{port}"])
    address = f"{counted(len(picks.picks), 'picture')} to label at http://127.0.0.1:{port}"
    ready = partial(say, f"{address}; Ctrl-C stops, and nothing is lost")
    make_server(app, Settings(timeout=1), ready).run(sockets=[listening])
    given = counted(len(labels.given), "new label")
    say(f"{given} in {session.file}" + (f"; next: {command}" if labels.given else ""))
    if labels.given and not labels.labelled:
        say("note: that learns from these labels alone; --with PHOTOS adds what the bundle saw")
    if labels.given and (trouble := labels.trouble()):
        say(f"note: before that: {_readable(trouble)}")


def next_command(bundle: Bundle, labels: LabelFile) -> str:
    """Return the command that trains on the labels."""
    out = f"{bundle.path}-next" if "training" in bundle.manifest else "bundle"
    here = Path(os.path.realpath("."))
    path = labels.path.relative_to(here) if labels.path.is_relative_to(here) else labels.path
    return _readable(shlex.join(["silverprint", "train", str(path), "--out", out]))


def _without(everything: Dataset, known: list[Path]) -> tuple[Dataset, list[str]]:
    """Leave out labelled pictures by their paths; copies are found once they are read."""
    labelled = set(known)
    rows = [row for row, source in enumerate(everything.sources) if source not in labelled]
    notices = list(everything.notices)
    if len(rows) < len(everything):
        notices.append(f"{counted(len(everything) - len(rows), 'picture')} labelled already.")
    return everything.take(np.array(rows, np.int64)), notices


def _look_at(
    known: list[Path], bundle: Bundle, network: BundleNetwork, progress: Progress
) -> Look | None:
    if not known:
        return None
    sources: list[Source] = list(known)
    table = Dataset(
        "labelled pictures", (), sources, [str(path) for path in known],
        np.zeros(len(known), np.int64), np.zeros(len(known), np.int8),
    )  # fmt: skip
    seen = look_with_bundle(
        bundle, network, table, np.arange(len(known)), progress, "labelled picture"
    )
    return seen if len(seen.rows) else None


def _unlike(
    seen: Look, pool: Dataset, labelled: set[bytes], refused: list[tuple[str, str]],
    notices: list[str],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:  # fmt: skip
    """Return rows and features of pictures that are no copies, and that a CSV can name."""
    positions, met, copies = [], set(labelled), 0
    for position, (row, digest) in enumerate(zip(seen.rows, seen.digests, strict=True)):
        if reason := unnameable(_path(pool.sources[row])):
            refused.append((pool.names[row], reason))
        elif digest in met:
            copies += 1
        else:
            met.add(digest)
            positions.append(position)
    if copies:
        notices.append(f"{counted(copies, 'exact copy', 'exact copies')} left out.")
    kept = np.array(positions, np.int64)
    return seen.rows[kept], seen.features(kept) if len(kept) else np.zeros((0, 1), np.float32)


def _nothing(folder: Path, everything: Dataset, refused: list[tuple[str, str]]) -> str:
    if refused:
        some = first_few(f"{name} {reason}" for name, reason in refused[:2])
        return f"{folder}: none of its pictures can be used: {some}."
    return f"{folder}: all {counted(len(everything), 'picture')} in it are labelled already."


def _guesses(bundle: Bundle, probabilities: NDArray[Any]) -> tuple[tuple[str, float], ...]:
    order = np.argsort(-probabilities, kind="stable")[:GUESSES]
    return tuple((bundle.classes[i], float(probabilities[i])) for i in order)


def _readable(path: str | Path) -> str:
    """Return text that can be shown, also of a path that is not valid text."""
    return os.fsencode(path).decode("utf-8", "replace")


def _path(source: Source) -> Path:
    assert isinstance(source, Path)
    return source
