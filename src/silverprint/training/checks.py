"""Checks of settings, which come from command lines and JSON files and so may be anything."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from silverprint.errors import ConfigError, closest

Range = tuple[type, float, float, str]  # a number's kind, least, most, and these in words
Settings = TypeVar("Settings")
KINDS = {bool: "true or false", str: "a word", int: "a whole number", float: "a number"}


def check_fields(
    settings: Any, choices: Mapping[str, Collection[Any]], ranges: Mapping[str, Range],
    free: Collection[str] = (),
) -> None:  # fmt: skip
    """Check every field of a dataclass: by its choices, its range, or the kind of its default.

    Args:
        settings: a dataclass whose fields have defaults; None is fine where it is the default.
        choices: field -> what it may be.
        ranges: field -> what a number, or each number of a list, must lie within.
        free: fields that are checked elsewhere.

    Raises:
        ConfigError: it names the first field that is wrong.
    """
    for field in fields(settings):
        name, value, usual = field.name, getattr(settings, field.name), field.default
        if name in free or (value is None and usual is None):
            continue
        if name in choices:
            if not any(value is one or value == one for one in choices[name]):
                words = [str(one).lower() for one in choices[name]]
                near = closest(str(value), words)
                raise ConfigError(f"{name} must be one of {', '.join(words)}; got {value!r}.{near}")
        elif name in ranges:
            for one in value if isinstance(usual, tuple) else (value,):
                check_within(name, one, ranges[name])
        elif not is_kind(value, type(usual)):
            raise ConfigError(f"{name} must be {KINDS.get(type(usual), 'a list')}; got {value!r}.")


def check_within(name: str, value: Any, limits: Range) -> None:
    """Check one number.

    Raises:
        ConfigError: it is no such number, or lies outside.
    """
    kind, least, most, words = limits
    if not (is_kind(value, kind) and least <= value <= most):
        raise ConfigError(f"{name} must lie within {words}; got {value!r}.")


def is_kind(value: object, kind: type) -> bool:
    """Say whether a value is of a kind; whole numbers are numbers, true and false are not."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def settings_from(kind: type[Settings], given: Mapping[str, Any]) -> Settings:
    """Make a dataclass of settings from what was given; None stands for its default.

    Raises:
        ConfigError: a name is unknown, or a value is outside its range.
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            raise ConfigError(f"setting {name!r} is unknown.{closest(name, known)}")
    return kind(**{name: value for name, value in given.items() if value is not None})
