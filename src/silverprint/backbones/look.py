"""Look once: run every picture that was not seen before through a frozen network.

Pictures are read, hashed, decoded and resized by one thread a core, in order; what the network saw
goes into the cache. No more than WINDOW batches of pictures are in memory.
"""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache as memoised
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.cache import FeatureCache, FeaturesGoneError, beyond_memory
from silverprint.backbones.engines import Engine, batch_of, engine_candidates, make_engine
from silverprint.backbones.packs import DigestList, digest_table
from silverprint.backbones.prepare import PreparedBackbone
from silverprint.backbones.quantise import CALIBRATION_PICTURES, quantise
from silverprint.backbones.reading import PictureReader, Seen, View
from silverprint.backbones.stream import FeatureStream
from silverprint.backbones.verify import (
    EngineRejectedError,
    Probe,
    verify_engine,
)
from silverprint.data.table import Source
from silverprint.errors import BackboneError
from silverprint.runtime.preprocessing import Preprocessing

WINDOW = 4  # batches of decoded pictures that may be in memory
T = TypeVar("T")
CLAIMS = 2**16  # pictures that were run last, of which none is run again
SAMPLE = 16  # pictures that tell which engine has seen a dataset before
ATTEMPTS = 3  # to gather features while other runs delete some
INTERPRETATION = 2  # part of the key: raise it when the same bytes would give other pixels


@dataclass
class Look:
    """What was seen.

    Attributes:
        engine: name of the engine whose features these are.
        rows: the rows that could be read, in order.
        digests: sha256 of each of these rows' bytes.
        refused: name and reason of each picture that could not be read.
        looked: how many pictures went through the network now; the others were in the cache.
        notices: what the user should know.
        cache: where the features are.
        again: looks once more, should another run have deleted some of them.
        parts: the looks that this one was joined from.
        origin: (n, 2) for each row, which part has it, and where.
    """

    engine: str
    rows: NDArray[np.int64]
    digests: Sequence[bytes]
    refused: list[tuple[str, str]] = field(default_factory=list)
    looked: int = 0
    notices: list[str] = field(default_factory=list)
    cache: FeatureCache | None = None
    again: "Callable[[], Look] | None" = None
    parts: "tuple[Look, ...]" = ()
    origin: NDArray[np.int64] | None = None

    def features(self, positions: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return features (n, d) of the rows, or of the rows at these positions.

        Raises:
            BackboneError: features vanish from the cache faster than they are looked at again.
        """
        chosen = np.arange(len(self.digests)) if positions is None else positions
        if self.origin is not None:
            return self._features_of_parts(self.origin[chosen])
        digests = [self.digests[position] for position in chosen]
        return self._from_cache(lambda cache: cache.gather(digests), len(digests))

    def stream(self, positions: NDArray[np.int64]) -> FeatureStream | None:
        """Return what reads features (n, d) of the rows at these positions from the disk.

        Nothing where they are few enough to be held in memory, or were looked at in two ways.

        Raises:
            BackboneError: features vanish from the cache faster than they are looked at again.
        """
        if self.origin is not None:
            numbers = np.unique(self.origin[positions, 0])
            whole = len(numbers) == 1
            return self.parts[numbers[0]].stream(self.origin[positions, 1]) if whole else None
        assert self.cache is not None
        if not beyond_memory(len(positions), self.cache.dimension):
            return None
        digests = digest_table(self.digests, positions)
        return self._from_cache(lambda cache: cache.stream(digests), len(positions))

    def _from_cache(self, read: Callable[[FeatureCache], T], count: int) -> T:
        """Return what is read from the cache, looking again where another run trimmed it."""
        assert self.again is not None
        for _ in range(ATTEMPTS):
            assert self.cache is not None
            try:
                return read(self.cache)
            except FeaturesGoneError:
                self.cache = self.again().cache
        raise BackboneError(
            f"the features of {count:,} pictures vanished from the cache while they were needed, "
            "or pictures changed; run again, with a larger --cache-limit for all runs."
        )

    def _features_of_parts(self, origin: NDArray[np.int64]) -> NDArray[np.float32]:
        asked = [number for number in range(len(self.parts)) if (origin[:, 0] == number).any()]
        if len(asked) == 1:  # as it is: large features are mapped from disk
            return self.parts[asked[0]].features(origin[:, 1])
        assert self.cache is not None
        result = np.empty((len(origin), self.cache.dimension), dtype=np.float32)
        for number in asked:
            mine = origin[:, 0] == number
            result[mine] = self.parts[number].features(origin[mine, 1])
        return result


def join_looks(first: Look, *others: Look) -> Look:
    """Return looks at different rows as one, in the order of the rows; the first names its engine.

    Their engines may differ, so each part's features come from its own cache.
    """
    parts = (first, *others)
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows)
    numbers = [np.full(len(part.rows), number) for number, part in enumerate(parts)]
    places = [np.arange(len(part.rows)) for part in parts]
    digests = np.concatenate([digest_table(part.digests) for part in parts])
    return Look(
        first.engine,
        rows[order],
        DigestList(row.tobytes() for row in digests[order]),
        refused=[refusal for part in parts for refusal in part.refused],
        looked=sum(part.looked for part in parts),
        notices=list(dict.fromkeys(notice for part in parts for notice in part.notices)),
        cache=first.cache,
        parts=parts,
        origin=np.stack([np.concatenate(numbers), np.concatenate(places)], axis=1)[order],
    )


Passed = tuple[list[Seen], dict[bytes, NDArray[np.float32]]]


class Place(Protocol):
    """Where pictures go through a network: HERE, or a cluster."""

    def candidates(self, engine: str) -> list[str]:
        """Return the engines to try there, best first, as `engine_candidates` does."""

    def passes(
        self,
        engine: str,
        reader: "PictureReader",
        network: "Network",
        rows: NDArray[np.int64],
        known: FeatureCache,
    ) -> Iterator[Passed]:
        """Yield pictures in order, some at a time, and the features that are new, in any order.

        Raises:
            EngineRejectedError: the engine does not give what torch gives.
        """


class Here:
    """This machine."""

    def candidates(self, engine: str) -> list[str]:
        """Return the engines to try, best first."""
        return engine_candidates(engine)

    def passes(
        self,
        engine: str,
        reader: "PictureReader",
        network: "Network",
        rows: NDArray[np.int64],
        known: Container[bytes],
    ) -> Iterator[Passed]:
        """Yield pictures in order, a chunk at a time, with the features that are new.

        On a processor each thread decodes a chunk and runs it, one core for one chunk: nothing
        waits for anything. torch takes its own threads, or an accelerator, so there the threads
        only decode and the caller's thread runs batches.
        """
        alone = not engine.startswith("torch")
        batch = batch_of(engine)
        chunk = batch if alone else max(1, batch // 8)

        def work(numbers: NDArray[np.int64]) -> Passed:
            pictures = [reader.see(int(row), known) for row in numbers]
            features = network.run(pictures) if alone else {}
            if alone:
                pictures = _without_pixels(pictures)
            return pictures, features

        chunks = [rows[start : start + chunk] for start in range(0, len(rows), chunk)]
        done = _in_order(work, chunks, ahead=max(2, (WINDOW - 1) * batch // chunk))
        if alone:
            yield from done
            return
        gathered: list[Seen] = []
        for pictures, _ in done:
            gathered += pictures
            if len(gathered) >= batch:
                yield _without_pixels(gathered), network.run(gathered)
                gathered = []
        if gathered:
            yield _without_pixels(gathered), network.run(gathered)


HERE: Place = Here()


def look(
    prepared: PreparedBackbone,
    preprocessing: Preprocessing,
    sources: Sequence[Source],
    names: Sequence[str],
    *,
    cache: Path,
    engine: str | Sequence[str] = "auto",
    rows: NDArray[np.int64] | None = None,
    view: View | None = None,
    exact: bool = False,
    place: Place = HERE,
    advance: Callable[[int], None] = lambda _: None,
) -> Look:
    """Return what the network sees in each picture, from the cache where it has looked before.

    Args:
        prepared: the frozen network.
        preprocessing: how a picture becomes its input.
        sources: a path, address or array a picture.
        names: how to call each picture in a message.
        cache: root of the cache.
        engine: "auto", or a name from ENGINES, or "onnxruntime-f32" or "-int8"; or several names,
            of which the first that works is taken.
        rows: which pictures; None for all.
        view: how to vary the pictures; None looks at them as they are.
        exact: decode in full, as when the model is used; else large JPEGs are decoded at a reduced
            scale, which is faster and moves probabilities a little.
        place: where the pictures go through the network.
        advance: called with the number of pictures that are done since the last call.

    Raises:
        BackboneError: no engine works here.
    """
    wanted = np.arange(len(sources)) if rows is None else rows
    if not isinstance(engine, str):
        candidates = list(engine)
    else:
        candidates = [engine] if engine.startswith("onnxruntime") else place.candidates(engine)
    notices: list[str] = []
    reader = PictureReader(preprocessing, sources, names, view=view, exact=exact)
    probe = memoised(partial(reader.first, wanted))
    for candidate, known in _familiar_first(candidates, prepared, reader, wanted, cache).items():
        done = 0

        def count(number: int) -> None:
            nonlocal done
            done += number
            advance(number)

        try:
            result = _look_with(candidate, prepared, reader, probe, wanted, known, place, count)
        except EngineRejectedError as rejected:
            advance(-done)  # the next engine begins again
            notices.append(f"{rejected}.")
            continue

        def again(name: str = candidate) -> Look:
            fresh = open_cache(name, prepared, reader, cache)
            return _look_with(name, prepared, reader, probe, wanted, fresh, place, lambda _: None)

        result.again = again
        result.notices = notices + result.notices
        return result
    raise BackboneError(f"no engine works for {prepared.choice.name}: {' '.join(notices)}")


def _familiar_first(
    candidates: list[str],
    prepared: PreparedBackbone,
    reader: "PictureReader",
    rows: NDArray[np.int64],
    root: Path,
) -> dict[str, FeatureCache]:
    """Open each engine's cache, and put first one that has already seen most of these pictures.

    A better engine may have been dropped on the first few pictures then; were it tried again on
    others, all would be looked at again.
    """
    for name in candidates:
        if name.endswith("int8") and not prepared.int8_graph.exists():
            _calibrate(prepared, reader, rows)
    caches = {name: open_cache(name, prepared, reader, root) for name in candidates}
    if len(caches) == 1 or not any(map(len, caches.values())) or not len(rows):
        return caches
    sample = [reader.digest(int(row)) for row in rows[:: max(1, len(rows) // SAMPLE)]]

    def unfamiliar(name: str) -> bool:
        return 2 * sum(digest in caches[name] for digest in sample) <= len(sample)

    return {name: caches[name] for name in sorted(caches, key=unfamiliar)}


class Network:
    """An engine that is made and verified when the first pictures come, and runs each picture once.

    Safe to call from many threads.

    Attributes:
        prepared: the network's files.
        engine: the engine, once it was made.
    """

    def __init__(
        self, name: str, prepared: PreparedBackbone, probe: Probe, engine: Engine | None = None
    ) -> None:
        self.prepared = prepared
        self.engine = engine
        self._name = name
        self._probe = probe
        self._lock = threading.Lock()
        self._claimed: dict[bytes, None] = {}

    def run(self, pictures: Sequence[Seen]) -> dict[bytes, NDArray[np.float32]]:
        """Return the features of those pictures that nobody has run yet."""
        new: dict[bytes, NDArray[np.uint8]] = {}
        with self._lock:
            for picture in pictures:
                if picture.pixels is not None and picture.digest not in self._claimed:
                    new[picture.digest] = picture.pixels
            self._claimed.update(dict.fromkeys(new))
            # The cache knows older ones; pictures that were read before it did are few.
            for digest in list(islice(self._claimed, max(0, len(self._claimed) - CLAIMS))):
                del self._claimed[digest]
            if not new:
                return {}
            pixels = np.stack(list(new.values()))
            if self.engine is None:
                engine = make_engine(self._name, self.prepared)
                verify_engine(engine, self.prepared, self._probe)
                self.engine = engine
        return dict(zip(new, self.engine.features(pixels), strict=True))


def _look_with(
    engine_name: str,
    prepared: PreparedBackbone,
    reader: PictureReader,
    probe: Probe,
    rows: NDArray[np.int64],
    cache: FeatureCache,
    place: Place,
    advance: Callable[[int], None],
) -> Look:
    network = Network(engine_name, prepared, probe)
    digests = DigestList()
    result = Look(engine_name, rows, digests, cache=cache)
    readable: list[int] = []
    try:
        for pictures, features in place.passes(engine_name, reader, network, rows, cache):
            for seen in pictures:
                if seen.error is not None:
                    result.refused.append((seen.error.file, seen.error.reason))
                else:
                    readable.append(seen.row)
                    digests.append(seen.digest)
            cache.add(features.keys(), features.values())
            result.looked += len(features)
            advance(len(pictures))
    finally:
        cache.flush()
    result.rows = np.array(readable, dtype=np.int64)
    if cache.damaged:
        result.notices.append(
            f"{len(cache.damaged)} damaged cache file(s) were dropped and their pictures looked at "
            "again."
        )
    return result


def _without_pixels(pictures: Sequence[Seen]) -> list[Seen]:
    """Let go of pixels, because whoever gets these may keep them."""
    return [replace(picture, pixels=None) for picture in pictures]


def _in_order(
    work: Callable[[NDArray[np.int64]], T], chunks: Sequence[NDArray[np.int64]], ahead: int
) -> Iterator[T]:
    """Do the work in threads and yield its results in order, at most `ahead` of them waiting."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="look") as pool:
        try:
            for numbers in chunks:
                waiting.append(pool.submit(work, numbers))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def open_cache(
    engine_name: str, prepared: PreparedBackbone, reader: PictureReader, root: Path
) -> FeatureCache:
    """Open the features of this network and engine, and of pictures as they are read."""
    key = {
        "backbone": prepared.choice.name,
        "weights": prepared.key,
        "engine": engine_name,
        "preprocessing": reader.preprocessing.to_json(),
        "interpretation": INTERPRETATION,
        "view": "plain" if reader.view is None else reader.view.name,
    }
    if reader.exact:
        key["decoded"] = "in full"
    if engine_name.endswith("int8"):
        key["quantised"] = hashlib.sha256(prepared.int8_graph.read_bytes()).hexdigest()
    name = f"{prepared.choice.name.replace('/', '_')}-{engine_name}"
    return FeatureCache(root, name, key, prepared.features)


def _calibrate(prepared: PreparedBackbone, reader: PictureReader, rows: NDArray[np.int64]) -> None:
    """Quantise the network on an even sample of the pictures that can be read."""
    every = max(1, len(rows) // CALIBRATION_PICTURES)
    pixels = reader.first(rows[::every], CALIBRATION_PICTURES)
    if not len(pixels):
        raise BackboneError("int8 needs pictures to calibrate on, and none of these can be read.")
    quantise(prepared, pixels)
