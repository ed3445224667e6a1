"""Every error Silverprint raises on purpose.

    SilverprintError            something the user can put right; the command line exits with 2
    ├── ImageError              one picture cannot be decoded
    ├── DataError               a dataset's layout, labels or splits
    ├── BackboneError           an unknown network, or weights that are missing or do not fit
    ├── BundleError             a bundle that is missing, damaged, or of another version
    ├── ExportError             an exported file that does not answer as its bundle does
    ├── ConfigError             a setting outside its range, or an unknown one
    ├── ServerError             a server that is not there, or refuses
    └── MissingExtraError       a command whose optional packages are not installed

A message gives the name, the rule, the value that broke it, and the next step, in one or two
sentences. Anything that is not a SilverprintError is our fault; the command line exits with 1.
"""

import difflib
from collections.abc import Iterable


class SilverprintError(Exception):
    """Base of every error that a user can put right."""


class ImageError(SilverprintError):
    """One picture cannot be decoded.

    Attributes:
        file: the picture's name as the user knows it.
        reason: what is wrong with it, without the name.
    """

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        return type(self), (self.file, self.reason)


class RefusedError(Exception):
    """A reason why a picture is refused; who knows the picture's name makes an ImageError of it."""


class DataError(SilverprintError):
    """A dataset's layout, labels or splits are not usable."""


class BackboneError(SilverprintError):
    """A network is unknown, or its weights are missing or do not fit."""


class BundleError(SilverprintError):
    """A bundle is missing, damaged, or of a version this release cannot read."""


class ExportError(SilverprintError):
    """An exported file does not answer as its bundle does, so it was not kept."""


class ConfigError(SilverprintError):
    """A setting is unknown or outside its range."""


class ServerError(SilverprintError):
    """A server that was asked for answers is not there, or refuses."""


class MissingExtraError(SilverprintError):
    """A command's optional packages are not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'{what} needs more packages: pip install "silverprint[{extra}]"')
        self.extra = extra


def closest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
