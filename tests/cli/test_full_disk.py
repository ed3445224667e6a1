"""No verb takes a full disk for a fault of ours, and none leaves half a result behind.

A limit on the size of files stands for the disk: the system refuses the write in the same place.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

resource = pytest.importorskip("resource")  # Windows has none

QUICK = ("--size", 64, "-q")


@pytest.fixture
def full() -> Iterator[tuple[int, int]]:
    """Let no file grow over 30 kB, so that reports may be written but no network; give what was."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    yield soft, hard
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("full")
def test_train(cli, trained, tmp_path) -> None:
    seen = Path(os.environ["SILVERPRINT_CACHE"], "features")
    shutil.copytree(trained.cache / "features", seen, copy_function=os.link)
    ran = cli("train", trained.photos, "--out", tmp_path / "b", *QUICK)
    assert ran.code == 2
    told = f"error: --out {tmp_path / 'b'} cannot be written: file too large; make room, or name"
    assert ran.err.startswith(told)
    assert list(tmp_path.iterdir()) == []


def test_answers(cli, trained, tmp_path, full) -> None:
    (tmp_path / "many.csv").write_text("path\n" + f"{trained.photos}/cat/0000.jpg\n" * 150)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (10_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    )
    ran = cli("predict", trained.bundle, tmp_path / "many.csv", "--out", tmp_path / "a.csv")
    assert ran.code == 2
    assert f"--out {tmp_path / 'a.csv'} cannot be written: file too large; make room" in ran.err
    resource.setrlimit(resource.RLIMIT_FSIZE, full)
    ran = cli("predict", trained.bundle, tmp_path / "many.csv", "--out", tmp_path / "a.csv")
    assert ran.code == 0
    assert "by a run before" in ran.out


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("kind", ["onnx", "torchscript", "openvino"])
def test_export(cli, trained, tmp_path, kind: str) -> None:
    ran = cli("export", trained.bundle, "--to", kind, "--out", tmp_path / "x")
    assert ran.code == 2
    assert f"--out {tmp_path / 'x'} cannot be written: file too large; make room" in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("verb", [("train", "--out", "b"), ("audit",)])
def test_a_cache_without_room(cli, trained, tmp_path, monkeypatch, verb) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SILVERPRINT_CACHE", str(tmp_path / "cache"))
    ran = cli(verb[0], trained.photos, *verb[1:], "-q")
    assert ran.code == 2
    assert (
        f"the cache {tmp_path / 'cache'} cannot be written: file too large; make room, or"
        in ran.err
    )
    assert not (tmp_path / "b").exists()
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("full")
def test_features_without_room(cli, trained, tmp_path) -> None:
    ran = cli("train", trained.photos, "--out", tmp_path / "b", *QUICK)
    assert ran.code == 2
    assert "cannot be written: file too large; make room, or let SILVERPRINT_CACHE name" in ran.err
    cache = Path(os.environ["SILVERPRINT_CACHE"], "features")
    assert [path.name for path in cache.rglob("*") if path.is_file()] == ["key.json"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_cache_of_someone_else(cli, trained, tmp_path, monkeypatch) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    monkeypatch.setenv("SILVERPRINT_CACHE", str(tmp_path / "cache"))
    ran = cli(
        "train", trained.photos, "--from-scratch", "--epochs", 1, "--out", tmp_path / "b", "-q"
    )
    assert ran.code == 2
    assert "cannot be written: permission denied; let SILVERPRINT_CACHE" in ran.err
