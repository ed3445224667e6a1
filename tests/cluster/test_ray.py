"""The real Ray, in programs of their own: it leaves threads and signal handlers behind."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray")
pytest.importorskip("pyarrow")
pytestmark = pytest.mark.slow


def silverprint(cache: Path, *arguments: object) -> dict:
    """Run a command, which must say nothing but its result, and return that."""
    done = subprocess.run(
        [sys.executable, "-m", "silverprint", *map(str, arguments), "-q", "--json"],
        env={**os.environ, "SILVERPRINT_CACHE": str(cache)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    result: dict = json.loads(done.stdout)
    return result


def test_the_same_features_and_a_second_run_looks_at_none(make_photos, tmp_path) -> None:
    from pyarrow import parquet

    photos = make_photos(tmp_path / "p", {"cat": 12, "dog": 12})
    (photos / "cat/broken.jpg").write_bytes(b"no picture")
    common = ("features", photos, "--size", 64, "--engine", "openvino-f32")
    alone = silverprint(tmp_path / "a", *common, "--out", tmp_path / "a.parquet")
    shutil.copytree(tmp_path / "a/backbones", tmp_path / "b/backbones")
    there = silverprint(tmp_path / "b", *common, "--out", tmp_path / "b.parquet", "--on", "ray")
    for key in ("pictures", "looked", "refused", "engine"):
        assert there[key] == alone[key]
    assert parquet.read_table(tmp_path / "a.parquet").equals(
        parquet.read_table(tmp_path / "b.parquet")
    )
    again = silverprint(tmp_path / "b", *common, "--out", tmp_path / "c.parquet", "--on", "ray")
    assert again["looked"] == 0
