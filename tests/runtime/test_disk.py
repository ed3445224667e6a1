"""Disks that take no more."""

import errno

import pytest

from silverprint.errors import ConfigError
from silverprint.runtime.disk import writing_to, writing_to_cache


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "no space left on device; make room, or"),
        (errno.EROFS, "read-only file system;"),
        (errno.EACCES, "permission denied;"),
        (errno.ENOTDIR, "not a directory;"),
    ],
)
def test_a_refusal_is_a_sentence(number: int, reason: str) -> None:
    told = rf"^--out b cannot be written: {reason} name another place\.$"
    with pytest.raises(ConfigError, match=told) as caught, writing_to("--out b"):
        raise OSError(number, "whatever")
    assert isinstance(caught.value.__cause__, OSError)


def test_safetensors_has_its_number_in_words(tmp_path) -> None:
    from safetensors import SafetensorError

    text = "Error while serializing: I/O error: No space left on device (os error 28)"
    told = rf"^the cache {tmp_path} cannot be written: no space left .*; .* SILVERPRINT_CACHE name"
    with pytest.raises(ConfigError, match=told), writing_to_cache(tmp_path):
        raise SafetensorError(text)
    with pytest.raises(SafetensorError, match="header"), writing_to_cache(tmp_path):
        raise SafetensorError("the header is too large")


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "gone"), OSError("?"), KeyError()]
)
def test_any_other_error_stays(error: Exception) -> None:
    with pytest.raises(type(error)), writing_to("--out b"):
        raise error
