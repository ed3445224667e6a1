"""Whether a hub can be reached, before a library tries for a minute or more."""

import socket
import urllib.request
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

SECONDS = 3.0  # for each of a server's addresses, of which there are about four


def check_reachable(url: str | None, repository: str | None = None) -> None:
    """Connect to where weights would be fetched from, unless they are here already.

    Where nobody answers, huggingface_hub tries six times, with pauses, timm then asks for the same
    weights under two more names, and torch waits for as long as the system does. Once connected,
    their patience is a good thing, and they keep it.

    Args:
        url: of the weights' file; None where it has none.
        repository: of the weights at Hugging Face, as timm names it, which goes before the file.

    Raises:
        OSError: nobody answers.
    """
    import torch
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    file = PurePosixPath(urlsplit(url or "").path).name
    if file and Path(torch.hub.get_dir(), "checkpoints", file).is_file():
        return
    if repository:
        if constants.HF_HUB_OFFLINE:
            return
        try:
            snapshot_download(repository, local_files_only=True)
        except LocalEntryNotFoundError:
            url = constants.ENDPOINT
        else:
            return
    proxies = set(urllib.request.getproxies()) - {"no"}  # a proxy knows names that we do not
    if url and not proxies:
        place = urlsplit(url)
        port = place.port or (80 if place.scheme == "http" else 443)
        socket.create_connection((place.hostname or "", port), SECONDS).close()
