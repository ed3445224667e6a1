"""`silverprint predict`: tables, JSON, CSV, folders, stdin, groups, pretrained networks."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def mixed(trained, tmp_path) -> Path:
    """Two good photos, a text, an empty file, and what is no picture by its name."""
    folder = tmp_path / "mixed"
    (folder / "below").mkdir(parents=True)
    shutil.copy(trained.photos / "cat/0001.jpg", folder / "10.jpg")
    shutil.copy(trained.photos / "dog/0001.jpg", folder / "below" / "photo")
    (folder / "9.jpg").write_text("a shopping list")
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("left out")
    (folder / ".hidden.jpg").write_text("left out")
    return folder


def test_json(cli, trained, mixed) -> None:
    files = [mixed / "10.jpg", mixed / "9.jpg", mixed / "gone.jpg"]
    ran = cli("predict", trained.bundle, *files, "--json", "--top", 2)
    assert ran.code == 2  # the rest is answered, but not all that was asked
    assert ran.err == "error: 2 of 3 pictures could not be read\n"
    good, text, gone = ran.json
    assert good["file"] == str(files[0])
    assert good["label"] == "cat"
    assert good["probability"] == good["top"][0][1] > 0.5
    assert len(good["top"]) == 2
    assert set(good) == {"file", "label", "probability", "top"}
    assert set(text) == set(gone) == {"file", "error"}
    assert gone["error"] == "does not exist; check the path"


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",), ("--out", "a.csv"), ("-q",)])
def test_the_exit_code_says_whether_all_could_be_read(
    cli, trained, mixed, form, monkeypatch
) -> None:
    monkeypatch.chdir(mixed)
    whole = cli("predict", trained.bundle, "10.jpg", *form)
    assert (whole.code, "error" in whole.err) == (0, False)
    some = cli("predict", trained.bundle, "10.jpg", "9.jpg", *form)
    assert some.code == 2
    assert some.err.endswith("error: 1 of 2 pictures could not be read\n")


def test_where_nothing_can_be_read_the_exit_code_is_2(cli, trained, mixed) -> None:
    ran = cli("predict", trained.bundle, mixed / "9.jpg", "--json")
    assert ran.code == 2
    assert [set(answer) for answer in ran.json] == [{"file", "error"}]
    shown = cli("predict", trained.bundle, mixed / "9.jpg")
    assert shown.code == 2
    assert "error: 1 of 1 pictures could not be read" in shown.err


def test_csv(cli, trained, mixed) -> None:
    ran = cli("predict", trained.bundle, mixed / "10.jpg", mixed / "9.jpg", "--csv")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [row["file"] for row in rows] == [str(mixed / "10.jpg"), str(mixed / "9.jpg")]
    assert rows[0]["label"] == "cat"
    assert 0.5 < float(rows[0]["probability"]) <= 1
    assert rows[0]["error"] == ""
    assert rows[1]["label"] == rows[1]["probability"] == ""
    assert rows[1]["error"]
    assert "1 of 2 pictures could not be read" in ran.err


def test_sets(cli, trained, mixed) -> None:
    files, few = [mixed / "10.jpg", mixed / "9.jpg"], ("--coverage", 0.97)
    good, text = cli("predict", trained.bundle, *files, "--json", *few).json
    assert good["labels"][0] == "cat"
    assert set(text) == {"file", "error"}
    rows = list(
        csv.DictReader(io.StringIO(cli("predict", trained.bundle, *files, "--csv", *few).out))
    )
    assert [row["labels"] for row in rows] == ["|".join(good["labels"]), ""]
    header, first, second = cli("predict", trained.bundle, *files, *few).out.splitlines()
    assert header.split() == ["file", "answer", "probability", "set", "top"]
    assert ", ".join(good["labels"]) in first
    assert text["error"] in second


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--coverage", 0.99), "coverage 0.99 is more than the 36 held-out pictures of"),
        (("--coverage", 0.9, "--group", "pet=cat,dog"), "leave out coverage or group"),
        (("--coverage", "most"), "Invalid value for '--coverage'"),
    ],
)
def test_sets_that_cannot_be(cli, trained, mixed, options, message) -> None:
    ran = cli("predict", trained.bundle, mixed / "10.jpg", *options)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_a_folder_stands_for_its_pictures_in_natural_order(cli, trained, mixed) -> None:
    answers = cli("predict", trained.bundle, mixed, "--json").json
    names = [str(Path(answer["file"]).relative_to(mixed)) for answer in answers]
    assert names == ["9.jpg", "10.jpg", "below/photo", "empty.png"]
    assert [answer.get("label") for answer in answers] == [None, "cat", "dog", None]


def test_an_empty_folder(cli, trained, tmp_path) -> None:
    (tmp_path / "nothing").mkdir()
    ran = cli("predict", trained.bundle, tmp_path / "nothing")
    assert ran.code == 2
    assert "nothing; give files or folders of pictures" in ran.err


def test_a_name_too_long_for_a_file(cli, trained) -> None:
    ran = cli("predict", trained.bundle, f"data:image/jpeg;base64,{'A' * 5000}", "--json")
    assert ran.code == 2
    assert ran.json[0]["error"] == "cannot be read: File name too long"


def test_standard_input(cli, trained, mixed, monkeypatch) -> None:
    content = (mixed / "10.jpg").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    (answer,) = cli("predict", trained.bundle, "-", "--json").json
    assert (answer["file"], answer["label"]) == ("-", "cat")


def test_a_table(cli, trained, mixed) -> None:
    ran = cli("predict", trained.bundle, mixed / "10.jpg", mixed / "9.jpg")
    assert ran.code == 2
    assert ran.out.splitlines()[0].split() == ["file", "answer", "probability", "top"]
    assert "cat" in ran.out
    assert "%" in ran.out


def test_an_answer_is_a_line_whatever_the_file_is_called(cli, trained, mixed) -> None:
    names = ["long" * 60 + ".jpg", "two\nlines.jpg", "[bold]:cat:.jpg", "猫.jpg"]
    for name in names:
        shutil.copy(mixed / "10.jpg", mixed / "below" / name)
    files = [mixed / "below" / name for name in names]
    ran = cli("predict", trained.bundle, *files)
    header, *lines = ran.out.splitlines()
    assert header.split() == ["file", "answer", "probability", "top"]
    assert [line.split()[:2] for line in lines] == [
        [str(file).replace("\n", r"\n"), "cat"] for file in files
    ]


def test_groups(cli, trained, mixed) -> None:
    options = ("--group", "mammal=cat,dog", "--group", "bird=2", "--json")
    cat, dog = cli(
        "predict", trained.bundle, mixed / "10.jpg", mixed / "below/photo", *options
    ).json
    assert cat["label"] == dog["label"] == "mammal"
    assert {name for name, _ in cat["top"]} == {"mammal", "bird", "neither"}
    ran = cli("predict", trained.bundle, mixed / "10.jpg", "--group", "pet=cet")
    assert ran.code == 2
    assert "'cet' is not a class. Did you mean 'cat'?" in ran.err


def test_the_answers_are_those_of_the_file_in_any_runtime(cli, trained, mixed) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(trained.bundle / "model.onnx"))
    image = np.asarray(Image.open(mixed / "10.jpg").convert("RGB"))
    (row,) = session.run(None, {"images": image[None]})[0]
    (answer,) = cli("predict", trained.bundle, mixed / "10.jpg", "--json").json
    told = dict(answer["top"])
    assert [told[name] for name in ("cat", "dog", "emu")] == pytest.approx(row.tolist(), abs=1e-5)


def test_a_damaged_bundle_is_one_line(cli, trained, mixed, tmp_path) -> None:
    bundle = Path(shutil.copytree(trained.bundle, tmp_path / "bundle"))
    with (bundle / "weights.safetensors").open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff\x00\xff")
    ran = cli("predict", bundle, mixed / "10.jpg", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert "weights.safetensors was changed or damaged" in ran.err
    assert ran.err.count("\n") == 1


def test_a_fresh_process_without_torch(trained, mixed) -> None:
    code = """
import sys
from silverprint.cli.app import run
assert run(["predict", sys.argv[1], sys.argv[2], "--json"]) == 0
assert run(["evaluate", sys.argv[1], sys.argv[3], "--json", "-q"]) == 0
assert not {"torch", "onnx", "timm", "openvino"} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(trained.bundle), str(mixed / "10.jpg"),
         str(trained.photos)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])[0]["label"] == "cat"


@pytest.mark.skipif(os.name != "posix", reason="no pipes of this kind")
def test_a_reader_that_closes_the_pipe_is_no_error() -> None:
    command = f'"{sys.executable}" -m silverprint backbones net --json | head -c 10'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith('[{"name"')
    assert "Traceback" not in done.stderr


# ---- The network as it was pretrained ----


def test_imagenet_and_groups(cli, tmp_path) -> None:
    """An orange disc is not much of a dog; what counts here are the sums."""
    from silverprint import load

    pixels = np.full((200, 260, 3), 255, np.uint8)
    rows, columns = np.ogrid[:200, :260]
    pixels[(rows - 100) ** 2 + (columns - 130) ** 2 < 80**2] = (250, 140, 20)
    Image.fromarray(pixels).save(tmp_path / "orange.png")
    ran = cli("predict", "imagenet", tmp_path / "orange.png", "--json", "--top", 1000)
    assert ran.code == 0
    assert "preparing efficientnet-lite0" in ran.err
    (plain,) = ran.json
    told = dict(plain["top"])
    assert len(told) == len(plain["top"]) == 1000  # every name is another
    again = cli(
        "predict", "imagenet:efficientnet-lite0", tmp_path / "orange.png", "--json",
        "--group", "dog=151-268", "--group", "fruit=948-957,orange",
    )  # fmt: skip
    assert (again.code, again.err) == (0, "")  # and not prepared again
    classes = load("imagenet").classes
    sums = dict(again.json[0]["top"])
    assert classes[151] == "Chihuahua"
    assert sums["dog"] == pytest.approx(sum(told[classes[i]] for i in range(151, 269)), abs=1e-3)
    assert sums["fruit"] == pytest.approx(sum(told[classes[i]] for i in range(948, 958)), abs=1e-3)
    assert sum(sums.values()) == pytest.approx(1, abs=1e-4)


def test_a_pretrained_bundle_damaged_in_the_cache_is_made_again(cli, trained) -> None:
    photo = trained.photos / "cat/0001.jpg"
    assert cli("predict", "imagenet", photo).code == 0
    (model,) = Path(os.environ["SILVERPRINT_CACHE"]).glob("bundles/*/model.onnx")
    model.write_bytes(model.read_bytes()[:-1])
    assert cli("predict", "imagenet", photo).code == 2
    assert cli("predict", "imagenet", photo).code == 0


def test_a_pretrained_network_is_prepared_without_a_word_if_asked(monkeypatch, capfd) -> None:
    """Only the line is looked at; the network itself is prepared above."""
    from silverprint.workflows import predict, pretrained

    def prepare(name: str, notify: Callable[[str], object]) -> str:
        notify(f"preparing {name}")
        return name

    monkeypatch.setattr(pretrained, "pretrained_bundle", prepare)
    predict.open_bundle("imagenet", quiet=True)
    assert capfd.readouterr().err == ""
    predict.open_bundle("imagenet")
    assert capfd.readouterr().err == "preparing imagenet\n"


def test_a_pretrained_network_that_is_unknown(cli, trained) -> None:
    ran = cli("predict", "imagenet:efficientnet-lite9", trained.photos / "cat/0001.jpg")
    assert ran.code == 2
    assert "'efficientnet-lite9' is not known. Did you mean" in ran.err


def test_the_pictures_of_a_manifest(cli, trained, tmp_path) -> None:
    (tmp_path / "m.csv").write_text(f"image\n{trained.photos}/cat/0000.jpg\ngone.jpg\n")
    ran = cli("predict", trained.bundle, tmp_path / "m.csv", "--csv")
    lines = ran.out.splitlines()
    assert lines[0] == "file,label,probability,error"
    assert lines[1].startswith(f"{trained.photos}/cat/0000.jpg,cat,")
    assert lines[2] == f"{tmp_path}/gone.jpg,,,does not exist; check the path"
    assert ran.code == 2
    ran = cli("predict", trained.bundle, "nowhere://a.jpg", "--csv")
    assert (ran.code, ran.out) == (2, "")
    assert "nowhere:// is no kind of address known here" in ran.err
    (tmp_path / "n.csv").write_text("label\ncat\n")
    ran = cli("predict", trained.bundle, tmp_path / "n.csv", "--csv")
    assert (ran.code, ran.out) == (2, "")
    assert "n.csv, line 2: there is no column for the image, such as 'path'," in ran.err


def test_a_server_answers_where_it_is(cli, trained, monkeypatch) -> None:
    monkeypatch.setattr("silverprint.workflows.predict.Bundle", str)
    ran = cli("predict", trained.bundle, trained.photos, "--on", "ray")
    assert ran.code == 2
    assert "--on is for a bundle; a server answers where it is." in ran.err


def test_answers_in_a_file(cli, trained, mixed, tmp_path) -> None:
    out = tmp_path / "answers.csv"
    ran = cli("predict", trained.bundle, mixed, "--out", out)
    assert ran.code == 2
    assert ran.out.startswith(f"{out}: 4 answers, ")
    assert "error: 2 of 4 pictures could not be read" in ran.err
    assert out.read_text() == cli("predict", trained.bundle, mixed, "--csv").out
    refused = cli("predict", trained.bundle, mixed, "--out", out, "--json")
    assert refused.code == 2
    assert "--out is for the answers alone; leave out --json and --csv" in refused.err
