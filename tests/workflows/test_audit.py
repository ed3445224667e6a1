"""What the audit says of several labels a picture, of few pictures, and of files that change."""

import numpy as np
import pytest

from silverprint.data.read import read
from silverprint.errors import DataError
from silverprint.training.progress import Progress
from silverprint.workflows.audit import audit, hold_out, measure_all
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.train import look_once

SETTINGS = TrainSettings.of(size=64)


def quiet() -> Progress:
    return Progress(quiet=True)


def test_of_several_labels_the_wrong_one_is_named(trained, tmp_path) -> None:
    lines = ["path,label"]
    for name in ("cat", "dog", "emu"):
        for number in range(12):
            tags = f"{name}|bird" if name == "emu" else name
            if (name, number) == ("cat", 7):
                tags = "cat|bird"
            lines.append(f"{trained.photos}/{name}/{number:04d}.jpg,{tags}")
    (tmp_path / "tags.csv").write_text("\n".join(lines) + "\n")
    dataset = read(tmp_path / "tags.csv")
    assert dataset.task == "multi-label"
    found = [one for one in audit(dataset, SETTINGS, quiet()).findings if one.kind == "label"]
    (wrong,) = [one for one in found if dataset.names[one.rows[0]].endswith("cat/0007.jpg")]
    assert wrong.detail == "labelled bird|cat; bird seems wrong"
    assert wrong.proposals[wrong.rows[0]].label == "cat"


def test_a_class_with_few_pictures_is_not_judged(make_photos, tmp_path) -> None:
    make_photos(tmp_path / "p", {"cat": 12, "dog": 12, "emu": 3})
    found = audit(read(tmp_path / "p"), SETTINGS, quiet())
    assert "Labels of emu are not judged: fewer than 5 different pictures." in found.notices
    labels = [found.dataset.names[one.rows[0]] for one in found.findings if one.kind == "label"]
    assert not any(name.startswith("emu") for name in labels)
    imbalances = [one.detail for one in found.findings if one.kind == "imbalance"]
    assert any(detail.startswith("emu has 3 pictures, fewer than 10") for detail in imbalances)


@pytest.mark.parametrize("count", [1, 2])
def test_the_smallest_dataset_is_audited(make_photos, tmp_path, count) -> None:
    make_photos(tmp_path / "p", {"cat": count, "dog": count})
    kinds = {one.kind for one in audit(read(tmp_path / "p"), SETTINGS, quiet()).findings}
    assert kinds == {"imbalance"}


def test_copies_are_held_out_together(make_photos, tmp_path) -> None:
    dataset = read(make_photos(tmp_path / "p", {"cat": 10, "dog": 10}))
    groups = np.arange(20)
    groups[[0, 5, 13]] = 0
    features = np.random.default_rng(0).random((20, 6), dtype=np.float32)
    judged = hold_out(dataset, features, groups, seed=0)
    assert len(set(judged.fold_of[[0, 5, 13]].tolist())) == 1
    assert judged.probabilities.shape == (20, 2)
    assert np.allclose(judged.probabilities.sum(axis=1), 1, atol=1e-5)
    assert judged.prefer([0], ["cat", "dog"]) in ("cat", "dog")
    assert judged.prefer([0], ["cat", "cat|dog"]) is None


def test_a_picture_that_changes_while_it_is_looked_at_is_not_taken(make_photos, tmp_path) -> None:
    dataset = read(make_photos(tmp_path / "p", {"cat": 3, "dog": 3}))
    seen, _, _ = look_once(dataset, SETTINGS, quiet())
    (tmp_path / "p/cat/0001.jpg").write_bytes((tmp_path / "p/dog/0001.jpg").read_bytes())
    (tmp_path / "p/dog/0002.jpg").unlink()
    measured, facts, refused = measure_all(dataset, seen, quiet())
    assert len(measured) == len(facts.values) == 4
    assert dict(refused) == {
        "cat/0001.jpg": "changed while it was looked at; run again",
        "dog/0002.jpg": "does not exist; check the path",
    }


def test_a_second_audit_measures_nothing(make_photos, tmp_path, monkeypatch) -> None:
    dataset = read(make_photos(tmp_path / "p", {"cat": 3, "dog": 3}))
    first = audit(dataset, SETTINGS, quiet())
    assert first.looked == 6
    monkeypatch.setattr("silverprint.workflows.audit.measure", None)
    assert audit(dataset, SETTINGS, quiet()).looked == 0


def test_nothing_readable_is_an_error(tmp_path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="none of 2 pictures can be read"):
        audit(read(tmp_path), SETTINGS, quiet())
