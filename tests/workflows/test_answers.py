"""Answers in a file: a stopped run goes on, and ends the same."""

import shutil

import pytest

import silverprint as sp
from silverprint.training.progress import Progress
from silverprint.workflows import answers
from silverprint.workflows.predict import open_bundle


@pytest.fixture
def photos(trained, tmp_path):
    """Twelve photos and a file that is none."""
    folder = tmp_path / 'ph"o\ntos'  # a name that CSV has to quote
    folder.mkdir()
    for number in range(12):
        source = trained.photos / ("cat", "dog")[number % 2] / f"{number // 2:04d}.jpg"
        shutil.copy(source, folder / f"{number}.jpg")
    (folder / "6.jpg").write_text("a shopping list")
    return folder


def write(trained, photos, out, **asked):
    return answers.write_answers(
        open_bundle(trained.bundle), [str(photos)], out, Progress(quiet=True), **asked
    )


@pytest.mark.parametrize("stopped_at", [1, 7])
def test_a_stopped_run_goes_on_and_ends_the_same(
    trained, photos, tmp_path, monkeypatch, stopped_at
):
    whole = write(trained, photos, tmp_path / "whole.csv")
    assert (whole.count, whole.refused, whole.resumed) == (12, 1, 0)
    honest, seen = answers.predict_pictures, []

    def watched(bundle, files, **asked):
        seen.append(len(files))
        for number, answer in enumerate(honest(bundle, files, **asked)):
            if len(seen) == 1 and number == stopped_at:
                raise KeyboardInterrupt
            yield answer

    monkeypatch.setattr(answers, "predict_pictures", watched)
    out = tmp_path / "answers.csv"
    with pytest.raises(KeyboardInterrupt):
        write(trained, photos, out)
    assert not out.exists()
    (left,) = tmp_path.glob("answers.csv.unfinished-*")
    left.write_bytes(left.read_bytes() + b'"half of a na')  # killed in the middle of a row
    again = write(trained, photos, out)
    assert (again.count, again.refused, again.resumed) == (12, 1, stopped_at)
    assert seen == [12, 12 - stopped_at]
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not list(tmp_path.glob("*unfinished*"))


def test_another_question_is_another_run(trained, photos, tmp_path) -> None:
    out = tmp_path / "answers.csv"
    keys = {answers._key(open_bundle(trained.bundle), ["a"], {"top": top}) for top in (1, 2)}
    assert len(keys) == 2
    write(trained, photos, out, coverage=0.9)
    assert out.read_text().startswith("file,label,probability,labels,error\n")
    write(trained, photos, out)
    assert out.read_text().startswith("file,label,probability,error\n")


def test_what_cannot_be(trained, photos, tmp_path) -> None:
    bundle, quiet = open_bundle(trained.bundle), Progress(quiet=True)
    with pytest.raises(sp.ConfigError, match="not for a picture on standard input"):
        answers.write_answers(bundle, ["-"], tmp_path / "a.csv", quiet)
    with pytest.raises(sp.ConfigError, match="cannot be written: name a file in a folder that"):
        answers.write_answers(bundle, [str(photos)], tmp_path / "no" / "a.csv", quiet)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(sp.DataError, match="no pictures in"):
        answers.write_answers(bundle, [str(empty)], tmp_path / "a.csv", quiet)
    assert list(tmp_path.glob("a.csv*")) == []
