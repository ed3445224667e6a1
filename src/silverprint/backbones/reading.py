"""Pictures on their way into a network: read, hashed, decoded and resized."""

import hashlib
import stat
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.graphs import preprocess_graph
from silverprint.backbones.verify import PICTURES
from silverprint.data.table import Source
from silverprint.errors import ImageError, RefusedError
from silverprint.runtime.images import MAX_BYTES, decode, read_file
from silverprint.runtime.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture after the threads: its digest, and its pixels if the cache lacks it."""

    row: int
    digest: bytes = b""
    pixels: NDArray[np.uint8] | None = None
    error: ImageError | None = None


@dataclass(frozen=True)
class View:
    """A varied look at pictures, which is cached beside the plain one.

    Attributes:
        name: tells it from all other views; part of the cache's key.
        change: (3, S, S) uint8 and the digest of the picture's bytes -> (3, S, S) uint8. It must
            give the same whenever it is called, from any thread.
    """

    name: str
    change: Callable[[NDArray[np.uint8], bytes], NDArray[np.uint8]]


class PictureReader:
    """Turns sources into pixels with the very graph that ships; safe to call from many threads."""

    def __init__(
        self,
        preprocessing: Preprocessing,
        sources: Sequence[Source],
        names: Sequence[str],
        *,
        view: View | None = None,
        exact: bool = False,
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        graph = preprocess_graph(preprocessing).SerializeToString()
        self.preprocessing = preprocessing
        self.view, self.exact = view, exact
        self.sources, self.names = sources, names
        self._session = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])

    def see(self, row: int, known: Container[bytes]) -> Seen:
        """Read one picture; decode it only if the cache does not know its bytes."""
        try:
            content, digest = self._content(row)
            if digest in known:
                return Seen(row, digest)
            pixels = self.pixels(content, self.names[row])
            if self.view is not None:
                pixels = self.view.change(pixels, digest)
            return Seen(row, digest, pixels)
        except ImageError as error:
            return Seen(row, error=error)

    def digest(self, row: int) -> bytes:
        """Return the sha256 of a picture's bytes; nothing where it cannot be read."""
        try:
            return self._content(row)[1]
        except ImageError:
            return b""

    def _content(self, row: int) -> tuple[bytes | NDArray[np.uint8], bytes]:
        source = self.sources[row]
        if isinstance(source, np.ndarray):
            return source, hashlib.sha256(bytes_of_array(source)).digest()
        data = _read(source, self.names[row])
        return data, hashlib.sha256(data).digest()

    def first(self, rows: NDArray[np.int64], most: int = PICTURES) -> NDArray[np.uint8]:
        """Return pixels (n, 3, S, S) of the first pictures that can be read, n <= most."""
        seen = (self.see(int(row), ()).pixels for row in rows)
        found = list(islice((pixels for pixels in seen if pixels is not None), most))
        size = self.preprocessing.size
        return np.stack(found) if found else np.zeros((0, 3, size, size), dtype=np.uint8)

    def pixels(self, content: bytes | NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
        """Return (3, S, S) uint8."""
        side = None if self.exact else self.preprocessing.decode_side
        image = decode(content, name=name, min_side=side)
        result: NDArray[np.uint8] = self._session.run(["pixels"], {"images": image[None]})[0][0]
        return result


def bytes_of_array(pixels: NDArray[np.generic]) -> bytes:
    """Return what stands for the file of a picture that has none."""
    return repr(pixels.shape).encode() + pixels.tobytes()


def _read(path: Path | str, name: str) -> bytes:
    try:
        if isinstance(path, str):
            return read_file(path)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device might never end
            raise ImageError(name, "is a folder, a pipe or a device, not a file")
        if status.st_size > MAX_BYTES:
            raise ImageError(name, f"is {status.st_size:,} bytes, above {MAX_BYTES:,}")
        return path.read_bytes()
    except RefusedError as refused:
        raise ImageError(name, str(refused)) from None
    except OSError as error:
        raise ImageError(
            name, f"cannot be read: {(error.strerror or str(error)).lower()}"
        ) from None
