"""`features` from the command line, on one machine; tests/cluster has the pass on Ray."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

parquet = pytest.importorskip("pyarrow.parquet")

from silverprint.workflows import features as module  # noqa: E402


def test_a_file(cli, trained, tmp_path) -> None:
    out = tmp_path / "f.parquet"
    ran = cli("features", trained.photos, "--size", 64, "--out", out, "--json", "-q")
    assert ran.code == 0
    told = ran.json
    assert told["files"] == [str(out)]
    assert (told["pictures"], told["features"], told["looked"]) == (36, 1280, 36)
    found = parquet.read_table(out)
    assert found["name"][0].as_py() == "cat/0000.jpg"
    assert found["label"].to_pylist() == ["cat"] * 12 + ["dog"] * 12 + ["emu"] * 12
    assert set(found["split"].to_pylist()) == {"train"}
    assert len(set(found["sha256"].to_pylist())) == 36
    features = np.array(found["features"].to_pylist(), np.float32)
    assert features.shape == (36, 1280)
    assert np.isfinite(features).all()
    assert features.std() > 0
    facts = json.loads(found.schema.metadata[b"silverprint"])
    assert facts["backbone"] == "efficientnet-lite0"
    assert facts["engine"] == told["engine"]
    assert facts["preprocessing"]["size"] == 64


def test_a_folder_of_files_and_what_is_refused(cli, trained, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "FILE_ROWS", 5)
    monkeypatch.setattr(module, "GROUP_ROWS", 2)
    lines = [f"{trained.photos}/cat/{n:04d}.jpg,a|b" for n in range(11)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label", *lines, "gone.jpg,a"]))
    ran = cli("features", tmp_path / "m.csv", "--size", 64, "--out", tmp_path / "f", "-q", "--json")
    assert ran.code == 0
    assert ran.json["refused"] == [
        {"file": "gone.jpg", "reason": "cannot be read: no such file or directory"}
    ]
    files = sorted((tmp_path / "f").iterdir())
    assert [path.name for path in files] == [f"part-{n:05d}.parquet" for n in range(3)]
    assert [parquet.read_metadata(path).num_rows for path in files] == [5, 5, 1]
    assert parquet.read_table(files[2])["label"].to_pylist() == [["a", "b"]]
    again = cli("features", tmp_path / "m.csv", "--size", 64, "--out", tmp_path / "g.parquet")
    assert "g.parquet: 11 pictures, 1,280 features each, 0 looked at now by" in again.out
    assert "refused: gone.jpg: cannot be read" in again.out
    whole = parquet.read_table(tmp_path / "g.parquet")["features"].to_pylist()
    assert whole == [
        row for path in files for row in parquet.read_table(path)["features"].to_pylist()
    ]


@pytest.mark.parametrize(
    ("out", "text"),
    [
        ("there", "--out {0}/there exists already and is not overwritten; name a new one."),
        ("no/f.parquet", "--out {0}/no/f.parquet: the folder {0}/no does not exist."),
    ],
)
def test_a_place_that_is_taken_or_is_none(cli, trained, tmp_path, out, text) -> None:
    (tmp_path / "there").mkdir()
    ran = cli("features", trained.photos, "--out", tmp_path / out)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"error: {text.format(tmp_path)}\n"


def test_a_disk_that_fails_leaves_nothing(cli, trained, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_columns", full)
    ran = cli("features", trained.photos, "--size", 64, "--out", tmp_path / "f.parquet", "-q")
    assert ran.code == 2
    assert "f.parquet: cannot be written (No space left on device)." in ran.err
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_look_at(cli, tmp_path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/a.jpg").write_bytes(b"no picture")
    ran = cli("features", tmp_path / "p", "--size", 64, "--out", tmp_path / "f.parquet", "-q")
    assert ran.code == 2
    assert "none of 1 pictures can be read; the first: a.jpg: is not a picture" in ran.err


def test_without_the_packages(cli, trained, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    ran = cli("features", trained.photos, "--out", tmp_path / "f.parquet")
    assert ran.code == 2
    assert 'writing Parquet needs more packages: pip install "silverprint[cluster]"' in ran.err
    monkeypatch.setitem(sys.modules, "ray", None)
    ran = cli("train", trained.photos, "--on", "ray", "--out", tmp_path / "b", "-q")
    assert ran.code == 2
    assert '--on ray needs more packages: pip install "silverprint[cluster]"' in ran.err
    ran = cli("audit", trained.photos, "--on", "here", "--out", tmp_path / "a.html", "-q")
    assert ran.code == 2
    assert "on must be ray (this machine), auto or HOST:PORT" in ran.err


def test_pictures_in_a_store(cli, tmp_path) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    lines = ["path,label"]
    for number in range(4):
        file = io.BytesIO()
        Image.new("RGB", (80, 80), (60 * number, 20, 30)).save(file, "png")
        store.pipe(f"/features-test/{number}.png", file.getvalue())
        lines.append(f"memory://features-test/{number}.png,{'ab'[number % 2]}")
    (tmp_path / "m.csv").write_text("\n".join([*lines, "memory://features-test/gone.png,a"]))
    ran = cli(
        "features",
        tmp_path / "m.csv",
        "--size",
        64,
        "--out",
        tmp_path / "f.parquet",
        "-q",
        "--json",
    )
    store.rm("/features-test", recursive=True)
    assert ran.json["pictures"] == 4
    assert ran.json["refused"] == [
        {"file": "memory://features-test/gone.png", "reason": "does not exist; check the address"}
    ]
