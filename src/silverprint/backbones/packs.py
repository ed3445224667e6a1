"""Packs: many shards of the feature cache in one file, which is opened without being read.

A pack is a safetensors file too: digests (n, 32) uint8 in ascending order, checks (blocks, 32)
uint8 and features (n, d) float32, in this order. Its name is the sha256 of all that comes before
the features, and checks has the sha256 of each block of BLOCK rows of them. So opening reads 32
bytes a row, and a block is verified when it is first read.

In memory a row costs 16 bytes: the first 8 of its digest, by which it is found, and its place.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from silverprint.errors import BackboneError
from silverprint.runtime.disk import writing_to_cache

BLOCK = 256  # rows that are read, verified and shuffled together
LARGEST_HEADER = 2**16
FOUND = 2**20  # digests that are looked up together, for which 32 bytes a row are read again
Digests = NDArray[np.uint8]
Array = NDArray[np.float32]


class DamagedError(Exception):
    """A file's content is not what was written."""


class FeaturesGoneError(BackboneError):
    """Features that were there are there no more; look at their pictures again."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"features vanished from the cache while they were needed ({what}): another run "
            "evicted them, or the disk damaged them; run again, with a larger --cache-limit for "
            "all runs."
        )


class DigestList(Sequence[bytes]):
    """Digests at 32 bytes each; in a list of Python's they take 73."""

    def __init__(self, digests: Iterable[bytes] = ()) -> None:
        self._bytes = bytearray().join(digests)

    def __len__(self) -> int:
        return len(self._bytes) // 32

    @overload
    def __getitem__(self, position: int) -> bytes: ...
    @overload
    def __getitem__(self, position: slice) -> "DigestList": ...
    def __getitem__(self, position: int | slice) -> "bytes | DigestList":
        if isinstance(position, slice):
            return DigestList(self[one] for one in range(len(self))[position])
        at = 32 * range(len(self))[position]
        return bytes(self._bytes[at : at + 32])

    def append(self, digest: bytes) -> None:
        """Add one at the end."""
        self._bytes += digest

    def table(self, rows: NDArray[np.int64] | None = None) -> Digests:
        """Return a copy of all, or of these rows, (n, 32) uint8."""
        every = np.frombuffer(self._bytes, dtype=np.uint8).reshape(-1, 32)
        return every.copy() if rows is None else every[rows]


def digest_table(
    digests: Iterable[bytes] | Digests, rows: NDArray[np.int64] | None = None
) -> Digests:
    """Return digests, or those of some rows, as (n, 32) uint8; a table is not copied."""
    if isinstance(digests, DigestList):
        return digests.table(rows)
    if not isinstance(digests, np.ndarray):
        digests = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)
    return digests if rows is None else digests[rows]


def as_text(digests: Digests) -> NDArray[np.bytes_]:
    """Return (n,) S32, which numpy sorts and compares. All are of one length, so none is cut."""
    result: NDArray[np.bytes_] = np.ascontiguousarray(digests).view("S32")[:, 0]
    return result


def write_pack(folder: Path, digests: Digests, features: Array) -> Path:
    """Write rows, in ascending order, as one pack, whole or not at all; it is on the disk then."""
    blocks = [features[start : start + BLOCK] for start in range(0, len(features), BLOCK)]
    checks = b"".join(hashlib.sha256(block.data).digest() for block in blocks)
    head = _header(len(digests), features.shape[1]) + digests.tobytes() + checks
    path = folder / f"{hashlib.sha256(head).hexdigest()}.pack"
    write_atomically(path, [head, *blocks], durable=True)
    return path


def write_atomically(path: Path, parts: Iterable[Any], durable: bool = False) -> None:
    """Write a file under another name, then rename it; durable waits until it is on the disk.

    Raises:
        ConfigError: the disk is full, or the folder cannot be written to.
    """
    with writing_to_cache(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(parts)
                if durable:
                    file.flush()
                    os.fsync(handle)
            Path(part).replace(path)
        except OSError:
            Path(part).unlink(missing_ok=True)
            raise


def _header(rows: int, dimension: int) -> bytes:
    """Return how safetensors files of these tensors begin."""
    shapes = {
        "digests": [rows, 32],
        "checks": [-(-rows // BLOCK), 32],
        "features": [rows, dimension],
    }
    sizes = [
        shape[0] * shape[1] * (4 if name == "features" else 1) for name, shape in shapes.items()
    ]
    ends = list(accumulate(sizes))
    described = {
        name: {
            "dtype": "F32" if name == "features" else "U8",
            "shape": shape,
            "data_offsets": [end - size, end],
        }
        for (name, shape), size, end in zip(shapes.items(), sizes, ends, strict=True)
    }
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


class Pack:
    """One file of rows.

    Attributes:
        path: the file.
        rows: number of rows n.
        dimension: number of features d.
    """

    def __init__(self, path: Path) -> None:
        """Read and verify all but the features.

        Raises:
            DamagedError: it is not what was written.
            FileNotFoundError: another process evicted it.
        """
        self.path = path
        with path.open("rb") as file:
            size = file.read(8)
            text = file.read(min(int.from_bytes(size, "little"), LARGEST_HEADER))
            try:
                self.rows, self.dimension = map(int, json.loads(text)["features"]["shape"])
                rest = file.read(32 * (self.rows + self.blocks))
            except (ValueError, KeyError, TypeError, OverflowError, MemoryError):
                raise DamagedError(path.name) from None
        head = size + text + rest
        whole = len(head) + 4 * self.rows * self.dimension
        right = hashlib.sha256(head).hexdigest() == path.stem and path.stat().st_size == whole
        if not right:
            raise DamagedError(path.name)
        self._digests_at, self._features_at = len(size + text), len(head)
        self._checks = rest[32 * self.rows :]
        self._verified = np.zeros(self.blocks, dtype=bool)
        self.keys = _keys(np.frombuffer(rest, np.uint8, 32 * self.rows).reshape(-1, 32))

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.rows // BLOCK)

    def digests(self, positions: NDArray[np.int64]) -> Digests:
        """Return the digests (n, 32) at these positions; zeros if another process evicted them."""
        try:
            if len(positions) == 1:
                at = self._digests_at + 32 * int(positions[0])
                return np.fromfile(self.path, np.uint8, 32, offset=at).reshape(1, 32)
            every = np.fromfile(self.path, np.uint8, 32 * self.rows, offset=self._digests_at)
        except FileNotFoundError:
            return np.zeros((len(positions), 32), np.uint8)
        return every.reshape(-1, 32)[positions]

    def read(self, block: int, out: Array) -> None:
        """Read a block into `out` (rows of it, d).

        Raises:
            DamagedError: it is not what was written.
            FileNotFoundError: another process evicted it.
        """
        with self.path.open("rb", buffering=0) as file:
            file.seek(self._features_at + 4 * block * BLOCK * self.dimension)
            read = file.readinto(out.data.cast("B"))
        if read != out.nbytes:
            raise DamagedError(self.path.name)
        if not self._verified[block]:
            if hashlib.sha256(out.data).digest() != self._checks[32 * block : 32 * block + 32]:
                raise DamagedError(self.path.name)
            self._verified[block] = True


class Packs:
    """All packs of a cache, whose rows are numbered from the first pack's to the last one's.

    Attributes:
        packs: the files.
        damaged: names of packs that were deleted because a block is not what was written.
        starts: (packs + 1,) the number of each pack's first row; the last one is that of all rows.
    """

    def __init__(self, packs: Sequence[Pack] = ()) -> None:
        self.packs: list[Pack] = []
        self.damaged: list[str] = []
        self.starts = np.zeros(1, np.int64)
        self._index = np.zeros(0, np.uint64), np.zeros(0, np.int64)  # keys, and their places
        self.extend(packs)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def extend(self, packs: Sequence[Pack]) -> None:
        """Take further packs; rows keep their numbers."""
        if not packs:
            return
        before = len(self)
        self.packs += packs
        sizes = [pack.rows for pack in self.packs]
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
        added = np.concatenate([pack.keys for pack in packs])
        order = np.argsort(added, kind="stable")
        keys, places = self._index
        at = np.searchsorted(keys, added[order])
        # At once: threads may be looking rows up.
        self._index = np.insert(keys, at, added[order]), np.insert(places, at, before + order)
        for pack in packs:
            pack.keys = pack.keys[:0]

    def find(self, digests: Digests) -> NDArray[np.int64]:
        """Return the number of each digest's row (n,), or -1 where there is none."""
        parts = [digests[start : start + FOUND] for start in range(0, len(digests), FOUND)]
        return np.concatenate([*map(self._find, parts), np.zeros(0, np.int64)])

    def _find(self, digests: Digests) -> NDArray[np.int64]:
        keys = _keys(digests)
        found = np.full(len(digests), -1, dtype=np.int64)
        known, numbers = self._index
        at = np.searchsorted(known, keys)
        left = np.arange(len(digests))
        while len(left):  # more than once only where 8 bytes are equal and 32 are not
            left = left[at[left] < len(known)]
            left = left[known[at[left]] == keys[left]]
            places = numbers[at[left]]
            same = (self._digests(places) == digests[left]).all(axis=1)
            found[left[same]] = places[same]
            left = left[~same]
            at[left] += 1
        return found

    def read(self, place: int, out: Array) -> None:
        """Read the block that begins with this row into `out` (rows of it, d).

        Raises:
            FeaturesGoneError: another process evicted its pack, or the disk damaged it.
        """
        number = int(np.searchsorted(self.starts, place, side="right")) - 1
        pack = self.packs[number]
        try:
            pack.read((place - int(self.starts[number])) // BLOCK, out)
        except DamagedError:
            self.damaged.append(pack.path.name)
            pack.path.unlink(missing_ok=True)
            raise FeaturesGoneError(pack.path.name) from None
        except FileNotFoundError:
            raise FeaturesGoneError(pack.path.name) from None

    def touch(self, places: NDArray[np.int64]) -> None:
        """Mark the packs of these rows as used now."""
        rows = np.zeros(len(self), dtype=bool)
        rows[places] = True
        for number in np.flatnonzero(np.logical_or.reduceat(rows, self.starts[:-1])):
            with contextlib.suppress(OSError):
                os.utime(self.packs[number].path)

    def _digests(self, places: NDArray[np.int64]) -> Digests:
        result = np.empty((len(places), 32), dtype=np.uint8)
        order = np.argsort(places)
        cuts = np.searchsorted(places[order], self.starts)
        for number in np.flatnonzero(np.diff(cuts)):
            rows = order[cuts[number] : cuts[number + 1]]
            result[rows] = self.packs[number].digests(places[rows] - self.starts[number])
        return result


def _keys(digests: Digests) -> NDArray[np.uint64]:
    """Return the first 8 bytes of each digest (n,), in the order of the digests."""
    first = np.ascontiguousarray(digests[:, :8])
    return first.view(">u8")[:, 0].astype(np.uint64)
