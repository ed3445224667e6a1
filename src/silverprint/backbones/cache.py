"""The feature cache: what a network saw in a picture, found again by the picture's own bytes.

    cache/features/<backbone>-<engine>-<key>/
        key.json           what the key stands for, to read
        <sha256>.shard     up to SHARD_ROWS rows: digests (n, 32) uint8, features (n, d) float32

A shard is a safetensors file that is written under a temporary name and renamed, and is never
changed after. So a kill loses at most the rows that were not yet in a shard, two processes can
write at once (a row that both wrote is the same twice), and a shard whose name is not the digest of
its content is one that the disk damaged: it is ignored and its pictures are looked at again.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

SHARD_ROWS = 256
MEMORY_LIMIT = 512 * 2**20  # bytes of features held in memory; above it they are mapped from disk
STALE_SECONDS = 24 * 3600


class FeaturesGoneError(Exception):
    """Another process evicted features after this one had found them; look at them again."""


class FeatureCache:
    """Features of one network, engine and preprocessing, by the sha256 of each picture's bytes.

    Attributes:
        folder: where the shards are.
        dimension: number of features d.
        damaged: names of shards that were ignored because their content is not what was written.
    """

    def __init__(self, root: Path, name: str, key: dict[str, Any], dimension: int) -> None:
        text = json.dumps(key, sort_keys=True, indent=2)
        self.folder = root / "features" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        self.dimension = dimension
        self.damaged: list[str] = []
        self._shards: list[Path] = []
        self._index: dict[bytes, tuple[int, int]] = {}
        self._pending: dict[bytes, NDArray[np.float32]] = {}
        self._key = text.encode()
        for path in sorted(self.folder.glob("*.shard")):
            self._read_index(path)

    def __contains__(self, digest: object) -> bool:
        return digest in self._index or digest in self._pending

    def __len__(self) -> int:
        return len(self._index) + len(self._pending)

    def add(self, digests: Iterable[bytes], features: Iterable[NDArray[np.float32]]) -> None:
        """Remember rows; they are on disk once a shard is full or `flush` was called."""
        self._pending.update(zip(digests, features, strict=True))
        if len(self._pending) >= SHARD_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending as one shard."""
        if not self._pending:
            return
        digests = np.frombuffer(b"".join(self._pending), dtype=np.uint8).reshape(-1, 32)
        features = np.stack(list(self._pending.values()))
        content = save({"digests": digests, "features": features})
        path = self.folder / f"{hashlib.sha256(content).hexdigest()}.shard"
        if not (self.folder / "key.json").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            _write_atomically(self.folder / "key.json", self._key)
        _write_atomically(path, content)
        self._remember(path, self._pending)
        self._pending = {}

    def gather(self, digests: Sequence[bytes]) -> NDArray[np.float32]:
        """Return features (n, d) in the order asked for; all must be present.

        Above MEMORY_LIMIT the result is mapped from an unnamed temporary file.

        Raises:
            FeaturesGoneError: some are no longer on disk.
        """
        self.flush()
        result = _allocate((len(digests), self.dimension))
        wanted: dict[int, list[tuple[int, int]]] = {}
        for row, digest in enumerate(digests):
            if digest not in self._index:
                raise FeaturesGoneError(digest.hex())
            shard, position = self._index[digest]
            wanted.setdefault(shard, []).append((row, position))
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

    def _read_index(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return  # another process evicted it a moment ago
        if hashlib.sha256(content).hexdigest() != path.stem:
            self.damaged.append(path.name)
            path.unlink(missing_ok=True)
            return
        digests = load(content)["digests"]
        self._remember(path, [row.tobytes() for row in digests])

    def _remember(self, path: Path, digests: Iterable[bytes]) -> None:
        shard = len(self._shards)
        self._shards.append(path)
        for position, digest in enumerate(digests):
            self._index.setdefault(digest, (shard, position))


def trim(root: Path, limit: int) -> int:
    """Delete the shards that were used longest ago until all fit in `limit` bytes.

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
            if path.suffix == ".shard":
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


def _allocate(shape: tuple[int, int]) -> NDArray[np.float32]:
    if shape[0] * shape[1] * 4 <= MEMORY_LIMIT:
        return np.empty(shape, dtype=np.float32)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)


def _write_atomically(path: Path, content: bytes) -> None:
    handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(part).replace(path)
