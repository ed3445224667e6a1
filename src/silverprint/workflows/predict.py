"""`predict`: answers for pictures, with a bundle, a pretrained network as it is, or a server."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from silverprint.cluster.answering import answers_on
from silverprint.data.conventions import is_hidden, is_known_other, natural_key
from silverprint.data.manifest_rows import is_manifest_name, picture_names
from silverprint.errors import ConfigError, DataError
from silverprint.runtime.bundle import Bundle, read_bundle
from silverprint.runtime.client import RemoteModel, is_address
from silverprint.runtime.groups import answers, parse_groups
from silverprint.runtime.predictor import Picture, Prediction, Predictor
from silverprint.runtime.remote import check_schemes


def open_model(name: str | os.PathLike[str], *, quiet: bool = False) -> Bundle | RemoteModel:
    """Return a bundle as `open_bundle` does, or the model at an address such as http://host:8000.

    Raises:
        ServerError: there is no Silverprint server at the address.
    """
    text = os.fspath(name)
    if is_address(text):
        return RemoteModel(text, os.environ.get("SILVERPRINT_API_KEY"))
    return open_bundle(name, quiet=quiet)


def open_bundle(name: str | os.PathLike[str], *, quiet: bool = False) -> Bundle:
    """Return the bundle of that path, or of "imagenet" and "imagenet:BACKBONE".

    Those are made at first; a line on stderr says so, unless quiet.
    """
    from silverprint.workflows.pretrained import is_pretrained_name, pretrained_bundle

    text = os.fspath(name)
    if is_pretrained_name(text):
        return pretrained_bundle(text, lambda line: quiet or sys.stderr.write(f"{line}\n"))
    return read_bundle(name)


def predict_pictures(
    bundle: Bundle | RemoteModel, names: Sequence[str], *, top: int = 3,
    groups: Sequence[str] = (), accept: float | None = None, coverage: float | None = None,
    on: str | None = None,
) -> Iterator[Prediction]:  # fmt: skip
    """Yield an answer for each picture.

    Args:
        bundle: the model, here or at a server.
        names: as of `list_pictures`.
        top: how many classes to name.
        groups: "dog=151-268" and the like; the answer is then a group, or none of them.
        accept: share of known pictures to answer, 0..1; None for the bundle's own.
        coverage: share of pictures for which a set of labels should hold the truth, 0..1; None for
            answers without sets.
        on: a Ray cluster that answers: "ray", "auto", HOST:PORT or ray://HOST:PORT.

    Raises:
        ConfigError: a group is wrong, or a share is, or it is for the server to say.
    """
    parsed = parse_groups(groups, bundle.classes)
    if parsed and coverage is not None and isinstance(bundle, Bundle):
        raise ConfigError("coverage is for a bundle's own classes; leave out coverage or group.")
    pictures: list[Picture] = [sys.stdin.buffer.read() if name == "-" else name for name in names]
    if not isinstance(bundle, Bundle):
        for name, share in {"accept": accept, "coverage": coverage}.items():
            if share is not None:
                raise ConfigError(
                    f"{name} is the server's to say: silverprint serve BUNDLE --{name} {share:g}."
                )
        if on is not None:
            raise ConfigError("--on is for a bundle; a server answers where it is.")
        yield from answers(bundle, pictures, names, top=top, groups=parsed)
        return
    model = Predictor(bundle, accept, coverage)
    if on is None:
        yield from answers(model, pictures, names, top=top, groups=parsed)
    else:
        yield from answers_on(
            on, model, (accept, coverage), pictures, names, top=top, groups=parsed
        )


def list_pictures(files: Sequence[str]) -> list[str]:
    """Return what is named; in place of a folder or a manifest the files that may be pictures.

    Args:
        files: paths, addresses, folders, CSV, JSONL or Parquet files of paths, or "-" for one
            picture's bytes on standard input.

    Raises:
        DataError: there is none, or a manifest has a fault, or an address is of an unknown kind.
    """
    names = list(_expand(files))
    if not names:
        raise DataError(f"no pictures in {', '.join(files)}; give files or folders of pictures.")
    check_schemes(names)
    return names


def _expand(files: Sequence[str]) -> Iterator[str]:
    for name in files:
        path = Path(name)
        # Path's own methods raise where a name is too long, as a data: URL is.
        if is_manifest_name(name) and os.path.isfile(path):  # noqa: PTH113
            yield from picture_names(path)
            continue
        if name == "-" or not os.path.isdir(path):  # noqa: PTH112
            yield name
            continue
        below = sorted(path.rglob("*"), key=lambda p: natural_key(str(p)))
        for found in below:
            visible = not any(is_hidden(part) for part in found.relative_to(path).parts)
            if visible and found.is_file() and not is_known_other(found.name):
                yield str(found)
