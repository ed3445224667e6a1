"""Look once: run every picture that was not seen before through a frozen network.

Pictures are read, hashed, decoded and resized by a few threads, in order, a few batches ahead of
the network; what the network saw goes into the cache. No more than WINDOW batches are in memory.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.cache import FeatureCache
from silverprint.backbones.engines import CPU_BATCH, Engine, engine_candidates, make_engine
from silverprint.backbones.graphs import preprocess_graph
from silverprint.backbones.prepare import PreparedBackbone
from silverprint.backbones.quantise import CALIBRATION_PICTURES, quantise
from silverprint.backbones.verify import EngineRejectedError, verify_engine
from silverprint.data.table import Source
from silverprint.errors import BackboneError, ImageError
from silverprint.runtime.images import decode
from silverprint.runtime.preprocessing import Preprocessing

WINDOW = 4  # batches that may be decoded ahead
INTERPRETATION = 1  # part of the key: raise it when the same bytes would give other pixels


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
    """

    engine: str
    rows: NDArray[np.int64]
    digests: list[bytes]
    refused: list[tuple[str, str]] = field(default_factory=list)
    looked: int = 0
    notices: list[str] = field(default_factory=list)
    cache: FeatureCache | None = None

    def features(self, positions: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return features (n, d) of the rows, or of the rows at these positions."""
        assert self.cache is not None
        chosen = range(len(self.digests)) if positions is None else positions
        return self.cache.gather([self.digests[position] for position in chosen])


@dataclass(frozen=True)
class Seen:
    """One picture after the threads: its digest, and its pixels if the cache lacks it."""

    row: int
    digest: bytes = b""
    pixels: NDArray[np.uint8] | None = None
    error: ImageError | None = None


def look(
    prepared: PreparedBackbone,
    preprocessing: Preprocessing,
    sources: Sequence[Source],
    names: Sequence[str],
    *,
    cache: Path,
    engine: str = "auto",
    rows: NDArray[np.int64] | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Look:
    """Return what the network sees in each picture, from the cache where it has looked before.

    Args:
        prepared: the frozen network.
        preprocessing: how a picture becomes its input.
        sources: a path or array a picture.
        names: how to call each picture in a message.
        cache: root of the cache.
        engine: "auto", or a name from ENGINES, or "onnxruntime-f32" or "-int8".
        rows: which pictures; None for all.
        advance: called with the number of pictures that are done since the last call.

    Raises:
        BackboneError: no engine works here.
    """
    wanted = np.arange(len(sources)) if rows is None else rows
    candidates = [engine] if engine.startswith("onnxruntime") else engine_candidates(engine)
    notices: list[str] = []
    for candidate in candidates:
        reader = PictureReader(preprocessing, sources, names)
        try:
            result = _look_with(candidate, prepared, reader, wanted, cache, advance)
        except EngineRejectedError as rejected:
            notices.append(f"{rejected}.")
            continue
        result.notices = notices + result.notices
        return result
    raise BackboneError(f"no engine works for {prepared.choice.name}: {' '.join(notices)}")


class PictureReader:
    """Turns sources into pixels with the very graph that ships; safe to call from many threads."""

    def __init__(
        self, preprocessing: Preprocessing, sources: Sequence[Source], names: Sequence[str]
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        graph = preprocess_graph(preprocessing).SerializeToString()
        self.preprocessing = preprocessing
        self._session = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
        self._sources = sources
        self._names = names

    def see(self, row: int, known: Container[bytes]) -> Seen:
        """Read one picture; decode it only if the cache does not know its bytes."""
        source = self._sources[row]
        try:
            content: bytes | NDArray[np.uint8]
            if isinstance(source, Path):
                content = data = _read(source, self._names[row])
            else:
                content, data = source, repr(source.shape).encode() + source.tobytes()
            digest = hashlib.sha256(data).digest()
            if digest in known:
                return Seen(row, digest)
            return Seen(row, digest, self.pixels(content, self._names[row]))
        except ImageError as error:
            return Seen(row, error=error)

    def pixels(self, content: bytes | NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
        """Return (3, S, S) uint8."""
        image = decode(content, name=name, min_side=self.preprocessing.decode_side)
        result: NDArray[np.uint8] = self._session.run(["pixels"], {"images": image[None]})[0][0]
        return result

    def stream(
        self, rows: NDArray[np.int64], known: Container[bytes], ahead: int
    ) -> Iterator[Seen]:
        """Yield pictures in order, with up to `ahead` of them being read."""
        threads = max(2, os.cpu_count() or 1)
        waiting: deque[Future[Seen]] = deque()
        with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
            try:
                for row in rows:
                    waiting.append(pool.submit(self.see, int(row), known))
                    if len(waiting) >= ahead:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


def _look_with(
    engine_name: str,
    prepared: PreparedBackbone,
    reader: PictureReader,
    rows: NDArray[np.int64],
    cache_root: Path,
    advance: Callable[[int], None],
) -> Look:
    if engine_name.endswith("int8") and not prepared.int8_graph.exists():
        _calibrate(prepared, reader, rows)
    cache = open_cache(engine_name, prepared, reader.preprocessing, cache_root)
    result = Look(engine_name, rows, [], cache=cache)
    readable: list[int] = []
    waiting: dict[bytes, NDArray[np.uint8]] = {}
    engine: Engine | None = None

    def run_network() -> None:
        nonlocal engine
        if not waiting:
            return
        pixels = np.stack(list(waiting.values()))
        if engine is None:
            engine = make_engine(engine_name, prepared)
            verify_engine(engine, prepared, pixels)
        cache.add(list(waiting), engine.features(pixels))
        result.looked += len(waiting)
        waiting.clear()

    batch = CPU_BATCH if not engine_name.startswith(("torch-cuda", "torch-mps")) else 256
    try:
        for seen in reader.stream(rows, cache, WINDOW * batch):
            advance(1)
            if seen.error is not None:
                result.refused.append((seen.error.file, seen.error.reason))
                continue
            readable.append(seen.row)
            result.digests.append(seen.digest)
            if seen.pixels is not None and seen.digest not in cache:
                waiting[seen.digest] = seen.pixels
            if len(waiting) == batch:
                run_network()
        run_network()
    finally:
        cache.flush()
    result.rows = np.array(readable, dtype=np.int64)
    if cache.damaged:
        result.notices.append(
            f"{len(cache.damaged)} damaged cache file(s) were dropped and their pictures looked at "
            "again."
        )
    return result


def open_cache(
    engine_name: str, prepared: PreparedBackbone, preprocessing: Preprocessing, root: Path
) -> FeatureCache:
    """Open the features of this network, engine and preprocessing."""
    key = {
        "backbone": prepared.choice.name,
        "weights": prepared.key,
        "engine": engine_name,
        "preprocessing": preprocessing.to_json(),
        "interpretation": INTERPRETATION,
        "view": "plain",
    }
    if engine_name.endswith("int8"):
        key["quantised"] = hashlib.sha256(prepared.int8_graph.read_bytes()).hexdigest()
    name = f"{prepared.choice.name.replace('/', '_')}-{engine_name}"
    return FeatureCache(root, name, key, prepared.features)


def _calibrate(prepared: PreparedBackbone, reader: PictureReader, rows: NDArray[np.int64]) -> None:
    """Quantise the network on an even sample of the pictures that can be read."""
    every = max(1, len(rows) // CALIBRATION_PICTURES)
    seen = (reader.see(int(row), ()) for row in rows[::every][:CALIBRATION_PICTURES])
    pixels = [picture.pixels for picture in seen if picture.pixels is not None]
    if not pixels:
        raise BackboneError("int8 needs pictures to calibrate on, and none of these can be read.")
    quantise(prepared, np.stack(pixels))


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            name, f"cannot be read: {(error.strerror or str(error)).lower()}"
        ) from None
