"""Writing a bundle: all files under a temporary name, then one rename."""

import contextlib
import glob
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from silverprint.errors import ConfigError
from silverprint.runtime.bundle import FORMAT, MANIFEST, file_digest
from silverprint.runtime.disk import writing_to

STALE_SECONDS = 3600  # writing takes less than a minute


def check_output(path: Path) -> None:
    """Make sure, before any work is done, that a bundle may be written there.

    Raises:
        ConfigError: something else than a bundle or an empty folder is there already, or nothing
            can be written there.
    """
    try:
        if path.is_dir():
            if not (path / MANIFEST).is_file() and _holds_anything(path):
                raise ConfigError(
                    f"--out {path} is a folder with other files in it; give a new or empty one."
                )
        elif path.exists() and not path.is_dir():  # it may have come just now
            raise ConfigError(f"--out {path} is a file; give the name of a new folder.")
        above = next(folder for folder in path.resolve().parents if folder.exists())
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-unfinished-", dir=above):
            pass  # rights alone do not tell: root has them all, also where nobody can write
    except OSError as error:
        raise _unwritable(path, error) from None


@contextlib.contextmanager
def writing_bundle(path: Path) -> Iterator[Path]:
    """Give a folder to write into; on leaving without an error it takes the bundle's place.

    A bundle that was there is replaced only then. Nothing is left behind after an error.

    Raises:
        ConfigError: it cannot be written there, as where the disk is full.
    """
    check_output(path)
    given, path = path, path.resolve()  # a link is followed, not replaced
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_what_a_kill_left(path)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}-unfinished-", dir=path.parent))
    except OSError as error:
        raise _unwritable(path, error) from None
    unfinished.chmod(0o755)
    try:
        with writing_to(f"--out {given}"):
            yield unfinished
        for file in unfinished.iterdir():
            file.chmod(0o644)
        _take_its_place(unfinished, path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _take_its_place(made: Path, path: Path) -> None:
    """Put a folder where another may be, which is removed; of two processes the later one stays."""
    replaced = made.with_name(f"{made.name}-old")
    while made.exists():
        with contextlib.suppress(FileNotFoundError):
            path.rename(replaced)
        try:
            made.rename(path)
        except OSError:
            if not path.exists():
                with contextlib.suppress(FileNotFoundError):
                    replaced.rename(path)
                raise
            # Another process has put its own there meanwhile, so this is done once more.
        shutil.rmtree(replaced, ignore_errors=True)


def _holds_anything(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except FileNotFoundError:  # another process is about to put its own there
        return False


def _unwritable(path: Path, error: OSError) -> ConfigError:
    reason = (error.strerror or str(error)).lower()
    return ConfigError(f"--out {path} cannot be written: {reason}; name another place.")


def _remove_what_a_kill_left(path: Path) -> None:
    for left in path.parent.glob(f".{glob.escape(path.name)}-unfinished-*"):
        with contextlib.suppress(FileNotFoundError):  # another process has just finished
            stale = time.time() - left.stat().st_mtime > STALE_SECONDS
            if stale and not left.name.endswith("-old"):
                shutil.rmtree(left, ignore_errors=True)


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Write bundle.json with the digest of every other file in the folder."""
    files = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    manifest = {"format": FORMAT, **content, "files": files}
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", "utf-8")
