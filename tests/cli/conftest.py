"""One small training run a worker; each test gets its prepared network, and runs commands."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SIZE = "64"


@dataclass(frozen=True)
class Trained:
    """Three classes of twelve photos, and what `train` made of them. Not to be changed."""

    photos: Path
    bundle: Path
    cache: Path


@dataclass(frozen=True)
class Ran:
    """A command's exit code and output."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout."""
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1
        return json.loads(self.out)


@pytest.fixture(scope="session")
def trained(make_photos: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    from silverprint.data.read import read
    from silverprint.training.progress import Progress
    from silverprint.workflows.settings import TrainSettings
    from silverprint.workflows.train import train_bundle

    root = tmp_path_factory.getbasetemp() / "trained"
    found = Trained(root / "photos", root / "bundle", root / "cache")
    if not found.bundle.exists():  # tests/workflows has the same
        make_photos(found.photos, {"cat": 12, "dog": 12, "emu": 12})
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SILVERPRINT_CACHE", str(found.cache))
            settings = TrainSettings.of(size=int(SIZE))
            train_bundle(read(found.photos), found.bundle, settings, Progress(quiet=True))
    return found


@pytest.fixture(autouse=True)
def ready(trained: Trained, hermetic: None) -> None:  # noqa: ARG001 - it goes first
    """Give the test's cache the prepared network, but no features."""
    own = Path(os.environ["SILVERPRINT_CACHE"])
    shutil.copytree(trained.cache / "backbones", own / "backbones", copy_function=os.link)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command in this process."""
    from silverprint.cli.app import run

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Ran(code, out, err)

    return call
