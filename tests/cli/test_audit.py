"""`audit` from the command line: what it finds, its page, its plan, and what it refuses."""

import csv
import shutil
from pathlib import Path

import pytest

from silverprint.data.read import read


@pytest.fixture
def faulty(trained, tmp_path) -> Path:
    """Three classes of twelve in train and four in test, with one fault of each kind."""
    root = tmp_path / "photos"
    for name in ("cat", "dog", "emu"):
        shutil.copytree(trained.photos / name, root / "train" / name)
        (root / "test" / name).mkdir(parents=True)
        for number in range(8, 12):
            (root / "train" / name / f"{number:04d}.jpg").rename(
                root / "test" / name / f"{number:04d}.jpg"
            )
    train, test = root / "train", root / "test"
    shutil.copy(train / "cat/0000.jpg", train / "cat/again.jpg")
    shutil.copy(train / "cat/0001.jpg", test / "cat/leak.jpg")
    shutil.copy(train / "dog/0002.jpg", train / "emu/contradiction.jpg")
    (train / "dog/0003.jpg").rename(train / "cat/swapped.jpg")
    (train / "emu/notes.jpg").write_text("no picture")
    return root


def files_of(result, kind: str) -> list[list[str]]:
    return [found["files"] for found in result["findings"] if found["kind"] == kind]


def test_every_planted_fault_is_found(cli, faulty, tmp_path) -> None:
    page = tmp_path / "page.html"
    ran = cli("audit", faulty, "--out", page, "--json", "-q")
    assert ran.code == 0
    result = ran.json
    assert set(result) == {"findings", "seconds"}
    assert result["seconds"]["total"] > 0
    for found in result["findings"]:
        assert set(found) == {"kind", "files", "detail", "score"}
        assert isinstance(found["score"], float)
    assert files_of(result, "unreadable") == [["train/emu/notes.jpg"]]
    assert files_of(result, "leak") == [["train/cat/0001.jpg", "test/cat/leak.jpg"]]
    assert files_of(result, "contradiction") == [
        ["train/dog/0002.jpg", "train/emu/contradiction.jpg"]
    ]
    assert ["train/cat/swapped.jpg"] in files_of(result, "label")
    exact = sorted(files_of(result, "exact_duplicate"))
    assert exact == [
        ["train/cat/0000.jpg", "train/cat/again.jpg"],
        ["train/cat/0001.jpg", "test/cat/leak.jpg"],
        ["train/dog/0002.jpg", "train/emu/contradiction.jpg"],
    ]
    text = page.read_text("utf-8")
    assert "<title>photos – Silverprint audit</title>" in text
    assert "Leaks between splits" in text
    assert "train/emu/notes.jpg" in text
    assert "http" not in text.replace("http-equiv", "")


def test_in_words(cli, faulty, tmp_path) -> None:
    ran = cli("audit", faulty, "--out", tmp_path / "page.html")
    assert ran.code == 0
    assert "1 train/emu/notes.jpg" in " ".join(ran.out.split())
    assert "40 of 41 pictures looked at" not in ran.out  # copies are looked at once
    assert "of 40 pictures looked at" in ran.out
    assert f"page {tmp_path / 'page.html'}" in ran.out


def test_a_second_run_looks_at_nothing(cli, faulty, tmp_path) -> None:
    cli("audit", faulty, "--out", tmp_path / "page.html", "-q")
    ran = cli("audit", faulty, "--out", tmp_path / "page.html")
    assert "0 of 40 pictures looked at" in ran.out


def test_the_plan_repairs_what_was_planted(cli, faulty, tmp_path) -> None:
    plan, new = tmp_path / "plan.csv", tmp_path / "new.csv"
    ran = cli("audit", faulty, "--out", tmp_path / "page.html", "--fix", plan)
    assert ran.code == 0
    assert "--apply" in ran.out
    with plan.open(encoding="utf-8") as file:
        actions = {(line["file"], line["finding"]): line for line in csv.DictReader(file)}
    assert actions["train/emu/notes.jpg", "unreadable"]["action"] == "drop"
    assert actions["train/cat/0001.jpg", "leak"]["action"] == "drop"
    assert actions["test/cat/leak.jpg", "leak"]["action"] == "keep"
    assert actions["train/cat/swapped.jpg", "label"]["new_label"] == "dog"
    swapped = actions["train/cat/swapped.jpg", "label"]
    edited = plan.read_text("utf-8").replace(
        f"swapped.jpg,label,{swapped['action']},", "swapped.jpg,label,relabel,"
    )
    plan.write_text(edited, "utf-8")
    ran = cli("audit", faulty, "--apply", plan, "--out", new, "--json")
    assert ran.code == 0
    assert ran.json["csv"] == str(new)
    repaired = read(new)
    assert len(repaired) == ran.json["pictures"]
    labels = {
        Path(name).name: repaired.classes[label]
        for name, label in zip(repaired.names, repaired.labels.tolist(), strict=True)
    }
    assert labels["swapped.jpg"] == "dog"
    assert {"notes.jpg", "again.jpg"}.isdisjoint(labels)
    after = cli("audit", new, "--out", tmp_path / "page.html", "--json", "-q").json
    kinds = {found["kind"] for found in after["findings"]}
    assert kinds.isdisjoint({"unreadable", "leak", "exact_duplicate", "contradiction"})


def test_pictures_without_labels(cli, trained, tmp_path) -> None:
    loose = tmp_path / "loose"
    shutil.copytree(trained.photos / "cat", loose)
    shutil.copy(loose / "0000.jpg", loose / "again.jpg")
    (loose / "broken.jpg").write_bytes((loose / "0001.jpg").read_bytes()[:400])
    result = cli("audit", loose, "--out", tmp_path / "page.html", "--json", "-q").json
    assert files_of(result, "exact_duplicate") == [["0000.jpg", "again.jpg"]]
    assert files_of(result, "unreadable") == [["broken.jpg"]]
    kinds = {found["kind"] for found in result["findings"]}
    assert kinds.isdisjoint({"label", "contradiction", "imbalance", "shortcut"})
    below = cli(
        "audit", trained.photos, "--unlabelled", "--out", tmp_path / "page.html", "--json", "-q"
    )
    assert below.code == 0


def test_a_plan_is_not_made_for_pictures_inside_a_file(cli, tmp_path) -> None:
    pytest.importorskip("sklearn")
    plan = cli("audit", "digits", "--fix", tmp_path / "plan.csv")
    assert (plan.code, plan.out) == (2, "")
    assert "lies inside a file of many pictures" in plan.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fix", "a.csv", "--apply", "b.csv"), "--fix writes a plan and --apply carries one out"),
        (("--apply", "plan.csv"), "--apply needs --out NEW.csv"),
        (("--apply", "plan.csv", "--out", "new.html"), "--apply needs --out NEW.csv"),
        (("--apply", "nowhere.csv", "--out", "new.csv"), "nowhere.csv: cannot be read"),
        (("--engine", "warp"), "engine must be"),
        (("--out", "nowhere/page.html"), "--out nowhere/page.html: the page is a file in a folder"),
        (("--out", "/proc/page.html"), "'/proc/page.html' cannot be written: no such file"),
        (("--out", "/"), "--out /: the page is a file in a folder that exists"),
        (("--seed", "-1"), "seed must lie within"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(cli, trained, options, message) -> None:
    ran = cli("audit", trained.photos, *options, "-q")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_a_plan_with_edits_is_not_overwritten(cli, trained, tmp_path) -> None:
    plan = tmp_path / "plan.csv"
    plan.write_text("mine")
    ran = cli("audit", trained.photos, "--fix", plan, "-q")
    assert ran.code == 2
    assert "exists already and is not overwritten" in ran.err
    assert plan.read_text() == "mine"


def test_where_nothing_can_be_read(cli, tmp_path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "x.jpg").write_text("no picture")
    ran = cli("audit", tmp_path / "photos", "-q")
    assert ran.code == 2
    assert "none of 2 pictures can be read; the first: cat/x.jpg" in ran.err


@pytest.mark.slow
@pytest.mark.shared
def test_what_a_person_saw_in_the_clothing_photos(cli, shared_data, tmp_path) -> None:
    page = tmp_path / "page.html"
    result = cli("audit", shared_data / "clothing", "--out", page, "--json", "-q").json
    one_photo = [
        "train/shorts/6075b4a5-5b1a-4ce0-aea0-9dbfbca7c35c.jpg",
        "train/skirt/637a56e4-7fa6-4f75-8859-0f8902461554.jpg",
    ]
    assert files_of(result, "contradiction") == [one_photo]
    assert sorted(files_of(result, "near_duplicate")) == [
        [
            "train/dress/b59e4d4a-a283-4868-8a81-2f24d8b9c8d8.jpg",
            "train/dress/e6a8b33f-279c-4072-8dba-229d94205e55.jpg",
        ],
        one_photo,
    ]
    assert not files_of(result, "unreadable")
    assert not files_of(result, "leak")
    assert page.stat().st_size < 2_000_000
