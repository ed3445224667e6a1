"""Picking the pictures most worth a label, with a real bundle."""

import csv
import shutil
import signal
import socket
import threading
import urllib.request

import numpy as np
import pytest
import torch

import silverprint as sp
from silverprint.data.labels import LabelFile
from silverprint.data.read import read
from silverprint.errors import ConfigError, DataError
from silverprint.export.network import BundleNetwork
from silverprint.runtime.bundle import read_bundle
from silverprint.runtime.predictor import Predictor
from silverprint.training.progress import Progress
from silverprint.workflows import next as workflow
from silverprint.workflows.next import label_on_page, pick_next

QUIET = Progress(quiet=True)


@pytest.fixture
def bundle(trained):
    return read_bundle(trained.bundle)


@pytest.fixture
def pool(make_photos, tmp_path):
    """Return a folder of loose pictures, among them some that cannot be used."""
    root = make_photos(tmp_path / "new", {"a": 6, "b": 6, "c": 3}, seed=7)
    shutil.copy(root / "a" / "0000.jpg", root / "a" / "copy.jpg")
    (root / "broken.jpg").write_bytes((root / "a" / "0001.jpg").read_bytes()[:300])
    (root / "notes.txt").write_text("no picture")
    return root


def test_what_is_picked(bundle, pool) -> None:
    picks = pick_next(bundle, pool, 5, QUIET)
    assert (len(picks.picks), picks.pool, picks.looked) == (5, 15, 15)  # copies are looked at once
    assert [name for name, _ in picks.refused] == ["broken.jpg"]
    assert "truncated" in picks.refused[0][1]
    assert "1 exact copy left out." in picks.notices
    files = [pick.file for pick in picks.picks]
    assert len(set(files)) == 5
    again = pick_next(bundle, pool, 5, QUIET)
    assert (again.looked, [pick.file for pick in again.picks]) == (0, files)
    assert [pick.file for pick in pick_next(bundle, pool, 5, QUIET, seed=1).picks] != files


def test_guesses_are_what_the_bundle_answers(bundle, pool) -> None:
    picks = pick_next(bundle, pool, 99, QUIET)
    assert "Only 15 pictures to pick from, so all are picked." in picks.notices
    paths = [pick.source for pick in picks.picks]
    for pick, answer in zip(picks.picks, Predictor(bundle, 1).predict(paths), strict=True):
        assert pick.guesses[0][1] == pytest.approx(answer.probability, abs=0.05)
        shares = [share for _, share in pick.guesses]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert shares == sorted(shares, reverse=True)
        assert pick.uncertainty == pytest.approx(1 - (shares[0] - shares[1]), abs=1e-5)


def test_of_two_classes_the_one_logit_is_the_second(bundle, monkeypatch) -> None:
    network = BundleNetwork(torch.nn.Identity(), torch.nn.Linear(1, 1))
    torch.nn.init.ones_(network.head.weight)
    torch.nn.init.zeros_(network.head.bias)
    monkeypatch.setitem(bundle.manifest, "calibration", {"temperature": 2.0})
    with torch.no_grad():
        found = workflow.probabilities_of(bundle, network, np.array([[0], [4]], np.float32))
    assert found == pytest.approx(np.array([[0.5, 0.5], [0.1192, 0.8808]]), abs=1e-4)


def test_labelled_pictures_and_their_copies_are_left_out(bundle, pool, tmp_path) -> None:
    elsewhere = tmp_path / "labelled.jpg"
    shutil.copy(pool / "b" / "0003.jpg", elsewhere)
    labelled = [pool / "a" / "0000.jpg", elsewhere, pool / "gone.jpg", pool / "broken.jpg"]
    labelled.append(pool / ("long" * 99))
    picks = pick_next(bundle, pool, 99, QUIET, labelled)
    files = {pick.file for pick in picks.picks}
    assert files.isdisjoint({"a/0000.jpg", "a/copy.jpg", "b/0003.jpg", "broken.jpg"})
    assert len(files) == 13
    assert "2 pictures labelled already." in picks.notices
    assert "2 exact copies left out." in picks.notices
    with pytest.raises(DataError, match="new: all 17 pictures in it are labelled already"):
        pick_next(bundle, pool, 9, QUIET, [path for path in pool.rglob("*") if path.is_file()])


def test_from_python(trained, pool, monkeypatch) -> None:
    model = sp.load(trained.bundle)
    monkeypatch.chdir(pool)
    picks = model.pick(".", 4, labelled=["a/0000.jpg", "b/0001.jpg"])
    assert len(picks) == 4
    assert {pick.file for pick in picks}.isdisjoint({"a/0000.jpg", "a/copy.jpg", "b/0001.jpg"})
    assert [pick.file for pick in model.pick(pool, 99, seed=1)] != [
        pick.file for pick in model.pick(pool, 99)
    ]
    assert model.predict(picks[0].source).top[0][0] == picks[0].guesses[0][0]


def test_what_cannot_be_picked_from(bundle, pool, tmp_path, monkeypatch) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: there are no pictures in it"):
        pick_next(bundle, tmp_path / "empty", 5, QUIET)
    with pytest.raises(DataError, match="this is none"):
        pick_next(bundle, tmp_path / "missing", 5, QUIET)
    (tmp_path / "broken").mkdir()
    shutil.copy(pool / "broken.jpg", tmp_path / "broken")
    with pytest.raises(DataError, match=r"none of its pictures can be used: broken\.jpg is trunc"):
        pick_next(bundle, tmp_path / "broken", 5, QUIET)
    with pytest.raises(ConfigError, match="n must be at least 1; got 0"):
        pick_next(bundle, pool, 0, QUIET)
    with pytest.raises(ConfigError, match="seed must be at least 0; got -1"):
        pick_next(bundle, pool, 5, QUIET, seed=-1)
    monkeypatch.setitem(bundle.manifest, "task", "multi-label")
    with pytest.raises(ConfigError, match="gives a picture several labels, and next takes one"):
        pick_next(bundle, pool, 5, QUIET)


def test_names_that_no_csv_holds(bundle, make_photos, tmp_path) -> None:
    root = make_photos(tmp_path / "new", {"a": 3})
    (root / "a" / "0000.jpg").rename(root / "a" / " first.jpg")
    picks = pick_next(bundle, root, 5, QUIET)
    assert len(picks.picks) == 2
    told = "has a name that a CSV cannot hold unchanged; rename it"
    assert picks.refused == [("a/ first.jpg", told)]


def test_labels_of_the_page_train(bundle, pool, trained, tmp_path, monkeypatch) -> None:
    """From picking to a dataset that `train` takes, with what the bundle was trained on."""
    labels = LabelFile(tmp_path / "all.csv", read(trained.photos))
    picks = pick_next(bundle, pool, 3, QUIET, labels.labelled)
    said: list[str] = []
    made = []
    monkeypatch.chdir(tmp_path)

    def remember(*arguments):
        made.append(original(*arguments))
        return made[0]

    original = workflow.make_server
    monkeypatch.setattr(workflow, "make_server", remember)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host = f"127.0.0.1:{listening.getsockname()[1]}"

        def person() -> None:
            while not said:
                pass
            key = urllib.request.urlopen(f"http://{host}/session").read().decode().split('"')[3]
            request = urllib.request.Request(
                f"http://{host}/labels/{key}/1", b'{"label": "cat"}', method="PUT",
                headers={"origin": f"http://{host}", "content-type": "application/json"},
            )  # fmt: skip
            urllib.request.urlopen(request).read()
            made[0].handle_exit(signal.SIGTERM, None)

        thread = threading.Thread(target=person)
        thread.start()
        label_on_page(picks, bundle, labels, listening, said.append)
        thread.join(10)
    assert said[0] == f"3 pictures to label at http://{host}; Ctrl-C stops, and nothing is lost"
    next_command = f"silverprint train all.csv --out {trained.bundle}-next"
    assert said[1] == f"1 new label in {labels.path}; next: {next_command}"
    dataset = read(labels.path)
    assert (len(dataset), dataset.classes) == (37, ("cat", "dog", "emu"))
    with labels.path.open(newline="") as file:
        assert [*csv.reader(file)][-1] == [f"new/{picks.picks[1].file}", "cat", "train"]
