"""Pictures wait here, and threads look at them: one a core, each running the model on one thread.

A picture costs about 14 ms of a core, nearly all of it in code that releases Python's lock, so
threads keep all cores busy. Requests take turns, picture by picture, so that one does not wait
behind another's hundred; nothing pauses to gather a batch.
"""

import asyncio
import ctypes
import logging
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.errors import ImageError
from silverprint.runtime.images import decode
from silverprint.serving.metrics import Metrics
from silverprint.serving.models import Served
from silverprint.serving.refusals import Refusal, busy

log = logging.getLogger(__name__)
LARGE = 4_000_000  # pixels; the C library would keep what such a picture needed
Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model said of a picture: (classes,) probabilities, and the distance if it has it."""

    probabilities: NDArray[np.float32]
    distance: float | None


@dataclass(frozen=True, slots=True)
class Job:
    """One picture's way through the server."""

    served: Served
    name: str
    picture: bytes | Image
    future: asyncio.Future[Outcome | ImageError]


class Workers:
    """A bounded queue of pictures and the threads that empty it."""

    def __init__(
        self, threads: int, capacity: int, batch: int, max_pixels: int, metrics: Metrics
    ) -> None:
        self.capacity = capacity
        self._batch, self._max_pixels, self._metrics = batch, max_pixels, metrics
        self._waiting: deque[deque[Job]] = deque()  # one a request
        self._count = 0  # of pictures in them
        self._changed = threading.Condition()
        self._stopping = False
        self._size, self._threads = threads, list[threading.Thread]()
        metrics.waiting.set_function(lambda: self._count)

    def start(self) -> None:
        """Start the threads."""
        self._stopping = False
        self._threads = [threading.Thread(target=self._work) for _ in range(self._size)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what was taken on, then stop."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    async def run(
        self, served: Served, pictures: Sequence[tuple[str, bytes | Image]], timeout: float
    ) -> list[Outcome | ImageError]:
        """Return each picture's outcome, in order.

        Raises:
            Refusal: there are too many pictures, or they were not answered in time.
        """
        jobs = self._submit(served, pictures)
        try:
            async with asyncio.timeout(timeout):
                return [await job.future for job in jobs]
        except TimeoutError:
            raise busy(f"The answer was not ready within {timeout:g} s") from None
        finally:
            for job in jobs:
                job.future.cancel()

    def _submit(self, served: Served, pictures: Sequence[tuple[str, bytes | Image]]) -> list[Job]:
        if len(pictures) > self.capacity:
            raise Refusal(
                413, f"A request holds at most {self.capacity} pictures; got {len(pictures)}."
            )
        loop = asyncio.get_running_loop()
        jobs = [Job(served, name, picture, loop.create_future()) for name, picture in pictures]
        with self._changed:
            if self._count + len(jobs) > self.capacity:
                raise busy(f"{self._count} pictures are waiting already")
            self._waiting.append(deque(jobs))
            self._count += len(jobs)
            self._changed.notify(len(jobs))
        return jobs

    # ---- In the threads ----

    def _work(self) -> None:
        while jobs := self._take():
            try:
                pixels = self._serve([job for job in jobs if not job.future.cancelled()])
            except Exception as error:  # the thread must live on, and nobody wait for ever
                log.exception("pictures could not be answered")
                for job in jobs:
                    _resolve(job, error)
            else:
                if pixels > LARGE:
                    give_memory_back()

    def _serve(self, jobs: list[Job]) -> int:
        """Answer pictures; return the pixels of the largest."""
        groups: dict[Any, list[tuple[Job, Image]]] = {}
        began = perf_counter()
        for job in jobs:
            try:
                image = self._decode(job)
            except ImageError as error:
                _resolve(job, error)
            else:
                groups.setdefault((id(job.served), image.shape), []).append((job, image))
        self._metrics.decode_seconds.observe(perf_counter() - began)
        for group in groups.values():
            self._look(group)
        return max((shape[0] * shape[1] for _, shape in groups), default=0)

    def _take(self) -> list[Job]:
        with self._changed:
            while not self._waiting and not self._stopping:
                self._changed.wait()
            share = min(-(-self._count // self._size), self._batch)
            self._count -= share
            return [self._next() for _ in range(share)]

    def _next(self) -> Job:
        request = self._waiting.popleft()
        job = request.popleft()
        if request:
            self._waiting.append(request)
        return job

    def _decode(self, job: Job) -> Image:
        return decode(job.picture, name=job.name, max_pixels=self._max_pixels)

    def _look(self, group: list[tuple[Job, Image]]) -> None:
        served, image = group[0][0].served, group[0][1]
        began = perf_counter()
        try:
            images = np.stack([found for _, found in group]) if len(group) > 1 else image[None]
            probabilities, distances = served.predictor.look(images)
        except Exception:  # ONNX Runtime raises a dozen kinds
            log.exception("the model failed on %d x %d pixels", image.shape[1], image.shape[0])
            for job, _ in group:
                _resolve(job, ImageError(job.name, _failed(image)))
            return
        self._metrics.run_seconds.observe(perf_counter() - began)
        for i, (job, _) in enumerate(group):
            distance = None if distances is None else float(distances[i])
            served.drift.record(float(probabilities[i].max()), distance)
            _resolve(job, Outcome(probabilities[i], distance))


def give_memory_back() -> None:
    """Let the C library return what is free to the system, where it can be told to."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _failed(image: Image) -> str:
    size = f"{image.shape[1]} x {image.shape[0]}"
    return f"is {size} pixels, and the model fails on it; crop it nearer to a square"


def _resolve(job: Job, outcome: Outcome | Exception) -> None:
    def settle() -> None:
        if job.future.done():
            return
        if isinstance(outcome, Outcome | ImageError):
            job.future.set_result(outcome)
        else:
            job.future.set_exception(outcome)

    try:
        job.future.get_loop().call_soon_threadsafe(settle)
    except RuntimeError:
        log.warning("an answer came after the server had stopped")
