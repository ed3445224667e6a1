"""The look-once pass on a cluster: nodes read, decode and run; this machine writes its cache."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.cache import FeatureCache
from silverprint.backbones.engines import Engine, batch_of, engine_candidates
from silverprint.backbones.look import HERE, Here, Network, Passed, Place
from silverprint.backbones.packs import as_text
from silverprint.backbones.prepare import FACTS, PreparedBackbone
from silverprint.backbones.reading import PictureReader, Seen, View
from silverprint.backbones.verify import EngineRejectedError
from silverprint.cluster.files import Files, placed, taken
from silverprint.cluster.session import ask, check_place, count_nodes, run
from silverprint.data.table import Source
from silverprint.errors import ConfigError
from silverprint.runtime.preprocessing import Preprocessing

LARGEST = 2048  # pictures a chunk: 10 MB of features
SHARES = 8  # chunks that a small job is cut into, so that every node gets some


@dataclass(frozen=True)
class Job:
    """What all chunks share.

    Attributes:
        engine: the engine's name.
        prepared: the network, whose folder is the driver's.
        files: what lies in that folder.
        preprocessing: how a picture becomes its input.
        view: how pictures are varied, if they are.
        exact: whether they are decoded in full.
        known: (n,) S32 in ascending order, the digests that need no second look; every process of
            a node reads them from one copy in shared memory.
    """

    engine: str
    prepared: PreparedBackbone
    files: Files
    preprocessing: Preprocessing
    view: View | None
    exact: bool
    known: NDArray[np.bytes_]


@dataclass(frozen=True)
class Chunk:
    """Some pictures of a dataset: their rows, sources and names."""

    rows: NDArray[np.int64]
    sources: Sequence[Source]
    names: Sequence[str]


class Known:
    """Digests in ascending order, asked one by one."""

    def __init__(self, digests: NDArray[np.bytes_]) -> None:
        self._digests = digests

    def __contains__(self, digest: object) -> bool:
        place = int(np.searchsorted(self._digests, np.array(digest, "S32")))
        return place < len(self._digests) and self._digests[place] == np.array(digest, "S32")


class Looker:
    """Looks at chunks on a node, with all of its cores, as one machine does."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._prepared = replace(job.prepared, folder=placed(job.files))
        self._engine: Engine | None = None
        if job.engine == "torch-cpu":  # Ray lets it have one thread
            import_module("torch").set_num_threads(os.cpu_count() or 1)

    def work(self, chunk: Chunk) -> Passed | str:
        """Return what was seen, or why the engine does not do."""
        job = self._job
        reader = PictureReader(
            job.preprocessing, chunk.sources, chunk.names, view=job.view, exact=job.exact
        )
        every = np.arange(len(chunk.rows))
        # Its own for each chunk, so that one whose result was lost can be done again.
        network = Network(job.engine, self._prepared, partial(reader.first, every), self._engine)
        seen: list[Seen] = []
        features: dict[bytes, NDArray[np.float32]] = {}
        try:
            if not job.engine.startswith("onnxruntime"):
                engine_candidates(job.engine)
            for some, new in Here().passes(job.engine, reader, network, every, Known(job.known)):
                seen += [replace(picture, row=int(chunk.rows[picture.row])) for picture in some]
                features |= new
        except EngineRejectedError as rejected:
            return str(rejected)
        except ConfigError as error:
            return f"engine {job.engine} was dropped: a node does not have it ({error})"
        self._engine = network.engine
        return seen, features


class Cluster:
    """Looks at pictures on Ray.

    Attributes:
        on: "ray", "auto", HOST:PORT or ray://HOST:PORT.
    """

    def __init__(self, on: str) -> None:
        check_place(on)
        self.on = on

    def candidates(self, engine: str) -> list[str]:
        """Return the engines to try, best first, as a node has them."""
        return ask(self.on, engine_candidates, engine)

    def passes(
        self,
        engine: str,
        reader: PictureReader,
        network: Network,
        rows: NDArray[np.int64],
        known: FeatureCache,
    ) -> Iterator[Passed]:
        """Yield pictures in order, and features as they come from whichever node is done first."""
        prepared = network.prepared
        files = taken(prepared.folder, (FACTS, prepared.graph.name, prepared.weights.name))
        if engine.endswith("int8"):
            files |= taken(prepared.folder, (prepared.int8_graph.name,))
        job = Job(
            engine, prepared, files, reader.preprocessing, reader.view, reader.exact,
            np.sort(as_text(known.digests())),
        )  # fmt: skip
        waiting: dict[int, list[Seen]] = {}
        told = 0
        gpu = engine == "torch-cuda"
        for number, found in run(self.on, Looker, job, self._chunks(engine, reader, rows), gpu=gpu):
            if isinstance(found, str):
                raise EngineRejectedError(found)
            waiting[number], features = found
            # Copies may have reached two nodes; the first one's features are kept and counted.
            new = {digest: row for digest, row in features.items() if digest not in known}
            ready: list[Seen] = []
            while told in waiting:
                ready += waiting.pop(told)
                told += 1
            yield ready, new

    def _chunks(
        self, engine: str, reader: PictureReader, rows: NDArray[np.int64]
    ) -> Iterator[Chunk]:
        """Yield pieces whose size is a multiple of the engine's batch, as on one machine."""
        batch = batch_of(engine)
        share = len(rows) / (SHARES * count_nodes(self.on))
        size = batch * math.ceil(max(1.0, min(share, LARGEST) / batch))
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            yield Chunk(
                some, [reader.sources[row] for row in some], [reader.names[row] for row in some]
            )


def place_of(on: str | None) -> Place:
    """Return where to look: this machine, or the cluster that `on` names.

    Raises:
        ConfigError: it names none.
    """
    return HERE if on is None else Cluster(on)
