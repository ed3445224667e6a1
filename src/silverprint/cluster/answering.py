"""Batch prediction on a cluster: nodes read, decode and answer, one bundle for all."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from silverprint.cluster.files import Files, placed, taken
from silverprint.cluster.session import run
from silverprint.runtime.bundle import MODEL, Bundle
from silverprint.runtime.groups import Group, answers
from silverprint.runtime.predictor import Picture, Prediction, Predictor
from silverprint.runtime.remote import is_address

CHUNK = 256  # pictures


@dataclass(frozen=True)
class Job:
    """What all chunks share: the bundle with its model's bytes, and what is asked."""

    bundle: Bundle
    files: Files
    accept: float | None
    coverage: float | None
    top: int
    groups: tuple[Group, ...]


class Answerer:
    """Answers chunks on a node, with all of its cores, as one machine does."""

    def __init__(self, job: Job) -> None:
        self._job = job
        bundle = replace(job.bundle, path=placed(job.files))
        self._model = Predictor(bundle, job.accept, job.coverage)

    def work(self, chunk: tuple[list[Picture], list[str]]) -> list[Prediction]:
        """Return an answer for each picture, in order."""
        pictures, names = chunk
        return list(
            answers(self._model, pictures, names, top=self._job.top, groups=self._job.groups)
        )


def answers_on(
    on: str, model: Predictor, asked: tuple[float | None, float | None],
    pictures: Sequence[Picture], names: Sequence[str], *, top: int, groups: tuple[Group, ...],
) -> Iterator[Prediction]:  # fmt: skip
    """Yield what the model answers, in order, as soon as all before it is there.

    Args:
        on: "ray", "auto", HOST:PORT or ray://HOST:PORT.
        model: the bundle, loaded here to see that it can be.
        asked: accept and coverage, as for the model.
        pictures: what to look at; nodes see the same files, or these are addresses or bytes.
        names: how to call them.
        top: how many classes to name.
        groups: of classes, to answer with.

    Raises:
        SilverprintError: the cluster is not there, or is lost.
    """
    job = Job(model.bundle, taken(model.bundle.path, (MODEL,)), *asked, top, groups)
    whole = [_wherever(picture) for picture in pictures]
    chunks = (
        (whole[start : start + CHUNK], list(names[start : start + CHUNK]))
        for start in range(0, len(whole), CHUNK)
    )
    waiting: dict[int, list[Prediction]] = {}
    told = 0
    for number, found in run(on, Answerer, job, chunks):
        waiting[number] = found
        while told in waiting:
            yield from waiting.pop(told)
            told += 1


def _wherever(picture: Picture) -> Picture:
    """Return a path that means the same in another folder."""
    if isinstance(picture, str) and not is_address(picture):
        return os.path.abspath(picture)  # noqa: PTH100 - resolve() would follow links
    return picture
