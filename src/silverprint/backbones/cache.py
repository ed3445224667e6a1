"""The feature cache: what a network saw in a picture, found again by the picture's own bytes.

    cache/features/<backbone>-<engine>-<key>/
        key.json           what the key stands for, to read
        <sha256>.shard     up to SHARD_ROWS rows: digests (n, 32) uint8, features (n, d) float32
        <sha256>.pack      the rows of PACK_SHARDS shards, found without reading them (packs.py)

A shard is a safetensors file that is written under a temporary name and renamed, and is never
changed after. So a kill loses at most the rows that were not yet in a shard, two processes can
write at once (a row that both wrote is the same twice), and a shard whose name is not the digest of
its content is one that the disk damaged: it is ignored and its pictures are looked at again.

Shards are read whole when the cache is opened. So that there are never many, PACK_SHARDS of them
become one pack, and only then are deleted: a kill between the two leaves rows twice, which is
harmless, and a process that misses a shard that another one packed reads the folder again.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from silverprint.backbones.packs import (
    DamagedError,
    Digests,
    Pack,
    Packs,
    as_text,
    digest_table,
    write_atomically,
    write_pack,
)
from silverprint.backbones.packs import (
    FeaturesGoneError as FeaturesGoneError,
)
from silverprint.backbones.stream import FeatureStream

SHARD_ROWS = 256
PACK_SHARDS = 64
MEMORY_LIMIT = 512 * 2**20  # bytes of features held in memory; above it they stay on the disk
STALE_SECONDS = 24 * 3600


class FeatureCache:
    """Features of one network, engine and preprocessing, by the sha256 of each picture's bytes.

    Attributes:
        folder: where the shards are.
        dimension: number of features d.
    """

    def __init__(self, root: Path, name: str, key: dict[str, Any], dimension: int) -> None:
        text = json.dumps(key, sort_keys=True, indent=2)
        self.folder = root / "features" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        self.dimension = dimension
        self._damaged: list[str] = []
        self._packs = Packs()
        self._shards: list[Path] = []
        self._index: dict[bytes, tuple[int, int]] = {}
        self._pending: dict[bytes, NDArray[np.float32]] = {}
        self._key = text.encode()
        self._open()

    @property
    def damaged(self) -> list[str]:
        """Names of files that were deleted because their content is not what was written."""
        return self._damaged + self._packs.damaged

    def __contains__(self, digest: object) -> bool:
        if digest in self._index or digest in self._pending:
            return True
        if not isinstance(digest, bytes) or len(digest) != 32 or not len(self._packs):
            return False
        return bool(self._packs.find(digest_table([digest]))[0] >= 0)

    def __len__(self) -> int:
        return len(self._packs) + len(self._index) + len(self._pending)

    def digests(self) -> Digests:
        """Return the digests (n, 32) of all pictures that are known."""
        packed = [pack.digests(np.arange(pack.rows)) for pack in self._packs.packs]
        return np.concatenate([*packed, digest_table([*self._index, *self._pending])])

    def add(self, digests: Iterable[bytes], features: Iterable[NDArray[np.float32]]) -> None:
        """Remember rows; they are on disk once a shard is full or `flush` was called."""
        self._pending.update(zip(digests, features, strict=True))
        while len(self._pending) >= SHARD_ROWS:
            self._write_shard()
        self._pack_many()

    def flush(self) -> None:
        """Write what is pending."""
        if self._pending:
            self._write_shard()
        self._pack_many()

    def _pack_many(self) -> None:
        if len(self._shards) >= PACK_SHARDS:
            self.pack()

    def gather(self, digests: Sequence[bytes]) -> NDArray[np.float32]:
        """Return features (n, d) in the order asked for; all must be present.

        Above MEMORY_LIMIT the result is mapped from an unnamed temporary file.

        Raises:
            FeaturesGoneError: some are no longer on disk.
        """
        self.flush()
        try:
            return self._gather(digests)
        except FeaturesGoneError as gone:
            self._open()  # another process may have packed them
            try:
                return self._gather(digests)
            except FeaturesGoneError:
                raise gone from None

    def stream(self, digests: Sequence[bytes] | NDArray[np.uint8]) -> FeatureStream:
        """Return what reads features (n, d) in blocks; all must be present.

        Args:
            digests: n of them, or a table (n, 32).

        Raises:
            FeaturesGoneError: some are no longer on disk.
        """
        self.flush()
        self.pack()
        asked = digest_table(digests)
        places = self._packs.find(asked)
        if (places < 0).any():
            self._open()
            self.pack()
            places = self._packs.find(asked)
        for row in np.flatnonzero(places < 0)[:1]:
            raise FeaturesGoneError(asked[row].tobytes().hex())
        self._packs.touch(places)
        return FeatureStream(self._packs, places, self.dimension)

    def pack(self) -> None:
        """Put the rows of all shards into packs, and delete the shards."""
        for start in range(0, len(self._shards), PACK_SHARDS):
            shards = self._shards[start : start + PACK_SHARDS]
            whole = self._write_pack(shards)
            for path in shards:
                path.unlink(missing_ok=True)
            if not whole:  # another process packed some of them
                self._open()
                return
        self._shards.clear()
        self._index.clear()

    def _open(self) -> None:
        """Read what is on the disk: shards first, because they may become packs meanwhile."""
        self._damaged += self._packs.damaged
        self._shards.clear()
        self._index.clear()
        for path in sorted(self.folder.glob("*.shard")):
            if (content := self._read_shard(path)) is not None:
                self._remember(path, [row.tobytes() for row in content["digests"]])
        self._packs = Packs()
        opened = []
        for path in sorted(self.folder.glob("*.pack")):
            try:
                opened.append(Pack(path))
            except DamagedError:
                self._drop(path)
            except FileNotFoundError:
                continue  # another process evicted it a moment ago
        self._packs.extend(opened)

    def _write_shard(self) -> None:
        rows = dict(islice(self._pending.items(), SHARD_ROWS))
        features = np.stack(list(rows.values()))
        content = save({"digests": digest_table(rows), "features": features})
        path = self.folder / f"{hashlib.sha256(content).hexdigest()}.shard"
        if not (self.folder / "key.json").exists():
            write_atomically(self.folder / "key.json", [self._key])
        write_atomically(path, [content])
        self._remember(path, rows)
        for digest in rows:
            del self._pending[digest]

    def _write_pack(self, shards: Sequence[Path]) -> bool:
        """Write those rows of shards that are in no pack yet; say whether all could be read."""
        read = [content for path in shards if (content := self._read_shard(path)) is not None]
        if read:
            digests = np.concatenate([content["digests"] for content in read])
            features = np.concatenate([content.pop("features") for content in read])
            once = np.unique(as_text(digests), return_index=True)[1]
            new = once[self._packs.find(digests[once]) < 0]
            if len(new):
                path = write_pack(self.folder, digests[new], features[new])
                self._packs.extend([Pack(path)])
        return len(read) == len(shards)

    def _gather(self, digests: Sequence[bytes]) -> NDArray[np.float32]:
        result = _allocate((len(digests), self.dimension))
        wanted: dict[int, list[tuple[int, int]]] = {}
        packed = []
        for row, digest in enumerate(digests):
            if digest in self._index:
                shard, position = self._index[digest]
                wanted.setdefault(shard, []).append((row, position))
            else:
                packed.append(row)
        if packed:
            self._gather_packed(digests, np.array(packed), result)
        for shard, pairs in wanted.items():
            rows, positions = np.array(pairs).T
            try:
                content = self._shards[shard].read_bytes()
            except FileNotFoundError:
                raise FeaturesGoneError(self._shards[shard].name) from None
            result[rows] = load(content)["features"][positions]
            with contextlib.suppress(OSError):
                os.utime(self._shards[shard])
        return result

    def _gather_packed(
        self, digests: Sequence[bytes], rows: NDArray[np.int64], result: NDArray[np.float32]
    ) -> None:
        asked = digest_table(digests[row] for row in rows)
        places = self._packs.find(asked)
        for row in np.flatnonzero(places < 0)[:1]:
            raise FeaturesGoneError(asked[row].tobytes().hex())
        self._packs.touch(places)
        for positions, features in FeatureStream(self._packs, places, self.dimension).parts():
            result[rows[positions]] = features

    def _read_shard(self, path: Path) -> dict[str, NDArray[Any]] | None:
        """Return what is in a shard, or nothing if it is damaged or gone."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None  # another process evicted it a moment ago
        if hashlib.sha256(content).hexdigest() != path.stem:
            self._drop(path)
            return None
        return load(content)

    def _drop(self, path: Path) -> None:
        self._damaged.append(path.name)
        path.unlink(missing_ok=True)

    def _remember(self, path: Path, digests: Iterable[bytes]) -> None:
        shard = len(self._shards)
        self._shards.append(path)
        for position, digest in enumerate(digests):
            self._index.setdefault(digest, (shard, position))


def trim(root: Path, limit: int) -> int:
    """Delete the shards and packs that were used longest ago until all fit in `limit` bytes.

    Returns:
        How many bytes were deleted. Files left by a killed process go too, after a day.
    """
    now = time.time()
    for path in (root / "backbones").glob("unfinished-*"):
        with contextlib.suppress(FileNotFoundError):
            if now - path.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
    shards: list[tuple[float, int, Path]] = []
    for path in (root / "features").glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            facts = path.stat()
            if path.suffix in (".shard", ".pack"):
                shards.append((facts.st_mtime, facts.st_size, path))
            elif path.suffix == ".part" and now - facts.st_mtime > STALE_SECONDS:
                path.unlink()
    excess = sum(size for _, size, _ in shards) - limit
    deleted = 0
    for _, size, path in sorted(shards):
        if deleted >= excess:
            break
        path.unlink(missing_ok=True)
        deleted += size
    return deleted


def beyond_memory(rows: int, dimension: int) -> bool:
    """Say whether features are so many that they stay on the disk."""
    return rows * dimension * 4 > MEMORY_LIMIT


def _allocate(shape: tuple[int, int]) -> NDArray[np.float32]:
    if not beyond_memory(*shape):
        return np.empty(shape, dtype=np.float32)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)
