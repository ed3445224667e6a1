"""Files that nodes need, sent with the work and kept there under the digest of what they hold."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from silverprint.runtime.paths import cache_folder

Files = dict[str, bytes]


def taken(folder: Path, names: Iterable[str]) -> Files:
    """Return the content of those files of a folder that are there."""
    paths = {name: folder / name for name in names}
    return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}


def placed(files: Files) -> Path:
    """Return a folder of this node's cache that holds the files; the first of two writers wins."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    folder = cache_folder() / "backbones" / f"sent-{digest.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder.parent))
    try:
        for name, content in files.items():
            (unfinished / name).write_bytes(content)
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder
