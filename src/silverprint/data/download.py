"""Fetching a dataset's files: checked, complete or not there at all, never outside its folder."""

import hashlib
import http.client
import shutil
import tarfile
import tempfile
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from silverprint.data.files import holds_files
from silverprint.errors import DataError

Progress = Callable[[str, int, int | None], None]
PIECE = 2**20
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch.

    Attributes:
        url: where it is.
        digest: what its bytes must give, "md5:..." or "sha256:...", as its publisher states it.
    """

    url: str
    digest: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return PurePosixPath(self.url).name

    @property
    def host(self) -> str:
        """The name of the server."""
        return urllib.parse.urlsplit(self.url).netloc


def download(
    files: Sequence[RemoteFile],
    folder: Path,
    progress: Progress | None = None,
    *,
    otherwise: str = "",
) -> None:
    """Fetch files into a new folder, unpacking a single .tar.gz, .tgz or .zip.

    All goes into a hidden folder beside it first, which is renamed when everything is there and
    right: a folder that exists is a complete one.

    Args:
        files: what to fetch.
        folder: where to; not there yet, or empty.
        progress: called with a file's name, the bytes so far and in all.
        otherwise: another way to have it, for the message when this one fails.

    Raises:
        DataError: there is no network, a file is not what its digest says, an archive is unsafe,
            or the folder cannot be written; the message says what to fetch by hand, and to where.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            fresh = Path(temporary, "files")
            fresh.mkdir()
            for file in files:
                fetch(file, fresh / file.name, progress)
            if len(files) == 1 and is_archive(files[0].name):
                archive, fresh = fresh / files[0].name, Path(temporary, "unpacked")
                unpack(archive, fresh)
                fresh = _without_wrapping(fresh)
            fresh.rename(folder)
    except (OSError, http.client.HTTPException) as error:
        if holds_files(folder):  # another process was faster
            return
        what = "what it holds" if is_archive(files[0].name) else "them"
        raise DataError(
            f"{folder.name} could not be downloaded ({error}). "
            f"Fetch {' and '.join(file.url for file in files)} where there is a network, and put "
            f"{what} into {folder}.{otherwise and ' '}{otherwise}"
        ) from error


def fetch(file: RemoteFile, target: Path, progress: Progress | None = None) -> None:
    """Fetch one file and check it.

    Raises:
        DataError: its bytes do not give its digest.
        OSError: the network or the disk fails.
    """
    kind, _, expected = file.digest.partition(":")
    digest = hashlib.new(kind, usedforsecurity=False)
    done = 0
    # The addresses are those of registry.py.
    answer = urllib.request.urlopen(file.url, timeout=TIMEOUT_SECONDS)  # noqa: S310
    with answer, target.open("wb") as out:
        length = answer.headers.get("Content-Length")
        while piece := answer.read(PIECE):
            out.write(piece)
            digest.update(piece)
            done += len(piece)
            if progress:
                progress(file.name, done, int(length) if length else None)
    if digest.hexdigest() != expected:
        raise DataError(
            f"{file.url}: the {done:,} bytes received give the {kind} {digest.hexdigest()}, not "
            f"{expected}, so they are not the published file; nothing was kept. Try again, or "
            "fetch it by hand."
        )


def is_archive(name: str) -> bool:
    """Say whether a file is an archive that `unpack` knows."""
    return name.endswith((".tar.gz", ".tgz", ".tar", ".zip"))


def unpack(archive: Path, target: Path) -> None:
    """Unpack the regular files of an archive; links and devices in it are refused.

    Raises:
        DataError: the archive is damaged, or an entry would leave the folder or is no file.
    """
    target.mkdir(parents=True)
    try:
        for name, source in (_zip_files if archive.suffix == ".zip" else _tar_files)(archive):
            path = _inside(archive, target, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, path.open("wb") as out:
                shutil.copyfileobj(source, out, PIECE)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(f"{archive}: the archive is damaged ({error}). Fetch it again.") from error


def _without_wrapping(folder: Path) -> Path:
    """Return the folder with the content, going down where one folder holds all."""
    while len(inside := list(folder.iterdir())) == 1 and inside[0].is_dir():
        folder = inside[0]
    return folder


def _inside(archive: Path, target: Path, name: str) -> Path:
    """Return where an entry goes, which must be below the target."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0]:
        raise DataError(f"{archive.name}: the entry {name!r} would leave the folder; not unpacked.")
    return target.joinpath(*parts)


def _tar_files(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isdir():
                continue
            source = tar.extractfile(member) if member.isreg() else None
            if source is None:
                raise DataError(
                    f"{archive.name}: the entry {member.name!r} is a link or device; not unpacked."
                )
            yield member.name, source


def _zip_files(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            if not member.is_dir():
                yield member.filename, packed.open(member)
