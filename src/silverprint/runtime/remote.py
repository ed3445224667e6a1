"""Pictures that are not on this machine: http(s) addresses, and object stores through fsspec.

Credentials, endpoints and proxies are those of fsspec's packages and of the environment
(AWS_PROFILE, GOOGLE_APPLICATION_CREDENTIALS, https_proxy, ...); nothing of the kind is kept here.
"""

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from silverprint.errors import DataError, RefusedError

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: C:// is a drive
WEB = ("http", "https")
TIMEOUT_SECONDS = 30
PAUSES = (0.5, 2.0)  # seconds before a web address is tried again
PASSING = (408, 425, 429, 500, 502, 503, 504)  # what a web server says that may soon be over


def is_address(text: object) -> bool:
    """Say whether text is an address such as https://... or s3://..., not a path."""
    return isinstance(text, str) and ADDRESS.match(text) is not None


def fetch(address: str, most: int) -> bytes:
    """Return the bytes at an address.

    Args:
        address: https://..., or what fsspec knows: s3://, gs://, az://, hdfs://, ...
        most: more bytes than this are refused, before they are read where the store says so.

    Raises:
        RefusedError: whatever is wrong, in words that follow the picture's name.
    """
    if scheme_of(address) in WEB:
        return _from_web(address, most)
    try:
        system, path = open_store(address)
        _check_size(system.size(path), most)
        with system.open(path, "rb") as file:
            return _within(file.read(most + 1), most)
    except DataError as error:
        raise RefusedError(str(error)) from None
    except FileNotFoundError:
        raise RefusedError("does not exist; check the address") from None
    except IsADirectoryError:
        raise RefusedError("is a folder, not a picture") from None
    except RefusedError:
        raise
    except Exception as error:  # each store raises errors of its own
        raise RefusedError(f"cannot be fetched: {words(error)}") from None


def scheme_of(address: str) -> str:
    """Return "s3" of s3://bucket/picture.jpg."""
    return address.partition("://")[0].lower()


def open_store(address: str) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path in it.

    Raises:
        DataError: no store of that kind is known, or its package is not installed.
    """
    scheme = scheme_of(address)
    try:
        fsspec = import_module("fsspec")
    except ImportError:
        raise DataError(f"{scheme}:// needs fsspec: pip install fsspec") from None
    try:
        found: tuple[Any, str] = fsspec.url_to_fs(address)
    except ImportError as error:  # fsspec says which package
        raise DataError(f"{scheme}:// needs another package: {words(error)}") from None
    except ValueError as error:
        raise DataError(f"{scheme}:// is no kind of address known here: {words(error)}") from None
    return found


def check_schemes(sources: Iterable[object]) -> None:
    """Refuse addresses of a kind that cannot be opened here, before all of them are tried.

    Raises:
        DataError: no store of that kind is known, or its package is not installed.
    """
    firsts: dict[str, str] = {}
    for source in sources:
        if isinstance(source, str) and is_address(source):
            firsts.setdefault(scheme_of(source), source)
    for scheme, address in firsts.items():
        if scheme not in WEB:
            open_store(address)


def _from_web(address: str, most: int) -> bytes:
    for pause in (*PAUSES, None):
        try:
            return _once(address, most)
        except urllib.error.HTTPError as error:
            error.close()
            problem, passing = f"the server answers {error.code} {error.reason}", error.code
            if passing not in PASSING:
                break
        except (OSError, http.client.HTTPException) as error:
            problem = words(error)
        except ValueError as error:  # no address at all
            problem = words(error)
            break
        if pause is not None:
            time.sleep(pause)
    raise RefusedError(f"cannot be fetched: {problem}")


def _once(address: str, most: int) -> bytes:
    asked = urllib.request.Request(address, headers={"User-Agent": "silverprint"})  # noqa: S310
    with urllib.request.urlopen(asked, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        length = answer.headers.get("Content-Length")
        expected = int(length) if length and length.isdecimal() else None
        _check_size(expected, most)
        content = _within(answer.read(most + 1), most)
    if expected is not None and len(content) < expected:
        raise http.client.IncompleteRead(content, expected - len(content))
    return content


def _check_size(size: int | None, most: int) -> None:
    if size is not None and size > most:
        raise RefusedError(f"is {size:,} bytes, above the limit of {most:,} for a picture")


def _within(content: bytes, most: int) -> bytes:
    if len(content) > most:
        raise RefusedError(f"is above the limit of {most:,} bytes for a picture")
    return content


def words(error: BaseException) -> str:
    """Return what went wrong in one line."""
    reason = getattr(error, "reason", None)  # urllib wraps what happened
    text = " ".join(str(reason if reason is not None else error).split())
    return text or type(error).__name__
