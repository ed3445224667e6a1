"""`silverprint train` from end to end, on small photos."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from silverprint.runtime.bundle import file_digest

QUICK = ("--size", 64, "--json", "-q")
FIELDS = {
    "format", "silverprint", "name", "task", "classes", "preprocessing", "architecture",
    "calibration", "metrics", "reference", "unknown", "sets", "data", "training", "libraries",
    "licences", "files",
}  # fmt: skip


@pytest.fixture
def photos(trained, tmp_path) -> Path:
    """Photos that the test may change."""
    return Path(shutil.copytree(trained.photos, tmp_path / "photos"))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def manifest(bundle: Path) -> dict:
    return json.loads((bundle / "bundle.json").read_text("utf-8"))


# ---- A whole run ----


def test_train_without_splits(cli, photos, tmp_path) -> None:
    ran = cli("train", photos, "--out", tmp_path / "b", *QUICK)
    assert ran.code == 0
    assert ran.err == ""
    result = ran.json
    assert {"bundle", "seconds", "metrics", "classes", "chosen", "heads", "engine"} <= set(result)
    assert result["bundle"] == str(tmp_path / "b")
    assert result["classes"] == ["cat", "dog", "emu"]
    assert (result["looked"], result["pictures"], result["refused"]) == (36, 36, [])
    assert manifest(tmp_path / "b")["training"]["looked"] == 36
    assert set(result["metrics"]) == {"validation"}
    assert result["metrics"]["validation"]["cross_validated"] == 5
    assert result["metrics"]["validation"]["accuracy"] > 0.9
    parts = [value for name, value in result["seconds"].items() if name != "total"]
    assert result["seconds"]["total"] == pytest.approx(sum(parts), abs=0.01)
    assert names_in(tmp_path / "b") == [
        "bundle.json", "model.onnx", "report.html", "weights.safetensors",
    ]  # fmt: skip


def test_bundle_json_has_every_field(trained) -> None:
    found = manifest(trained.bundle)
    assert set(found) == FIELDS
    assert found["format"] == 1
    assert found["task"] == "single-label"
    assert found["classes"] == ["cat", "dog", "emu"]
    assert found["preprocessing"]["size"] == found["preprocessing"]["decode_side"] == 64
    assert found["architecture"]["backbone"] == "tf_efficientnet_lite0"
    assert found["architecture"]["link"] == "softmax"
    assert 0.05 <= found["calibration"]["temperature"] <= 20
    assert found["metrics"]["validation"]["calibration"]["before"]["error"] >= 0
    assert found["sets"]["pictures"] == len(found["sets"]["probabilities"]) == 36
    assert found["data"]["pictures"] == {"train": 36, "validation": 0, "test": 0}
    assert len(found["data"]["fingerprint"]) == 64
    assert found["training"]["settings"]["seed"] == 0
    assert found["training"]["settings"]["backbone"] == "efficientnet-lite0"
    assert found["training"]["chosen"]["loss"] > 0
    assert {"silverprint", "torch", "onnxruntime", "numpy", "pillow"} <= set(found["libraries"])
    assert found["licences"] == {"weights": "Apache-2.0"}
    assert found["files"] == {
        name: file_digest(trained.bundle / name)
        for name in ("model.onnx", "report.html", "weights.safetensors")
    }


def test_the_weights_in_the_bundle_are_all_there(trained) -> None:
    from safetensors import safe_open

    with safe_open(trained.bundle / "weights.safetensors", "numpy") as file:
        names = set(file.keys())
        assert file.metadata()["architecture"] == "tf_efficientnet_lite0"
    assert {"head.output.weight", "head.output.bias"} <= names
    assert sum(name.startswith("backbone.trunk.") for name in names) > 200


@pytest.mark.filterwarnings("error")
def test_metrics_are_those_of_the_file(cli, make_photos, tmp_path) -> None:
    """With one truncated file, one text file, and a duplicate."""
    photos = make_photos(
        tmp_path / "photos", {"cat": 8, "dog": 8, "emu": 8}, splits=["train", "validation", "test"]
    )
    whole = (photos / "train/cat/0000.jpg").read_bytes()
    (photos / "train/cat/0000.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "test/dog/0001.jpg").write_text("a shopping list")
    shutil.copy(photos / "train/emu/0002.jpg", photos / "train/emu/copy.jpg")
    trained = cli("train", photos, "--out", tmp_path / "b", *QUICK).json
    assert trained["pictures"] == 71
    assert trained["looked"] == 70
    assert {file for file, _ in ((r["file"], r["reason"]) for r in trained["refused"])} == {
        "train/cat/0000.jpg", "test/dog/0001.jpg",
    }  # fmt: skip
    assert set(trained["metrics"]) == {"validation", "test"}
    assert trained["metrics"] == manifest(tmp_path / "b")["metrics"]
    for split, n in (("test", 23), ("validation", 24)):
        ran = cli("evaluate", tmp_path / "b", photos, "--split", split, "--json", "-q")
        assert ran.code == 0
        found = ran.json
        assert found["split"] == split
        assert found["metrics"]["n"] == n
        told = trained["metrics"][split]
        assert found["metrics"]["confusion"] == told["confusion"]
        assert found["metrics"]["per_class"] == told["per_class"]
        for name in ("accuracy", "log_loss", "macro_f1"):
            assert found["metrics"][name] == pytest.approx(told[name], rel=1e-4, abs=1e-5)
    found = cli("evaluate", tmp_path / "b", photos, "--json", "-q").json
    assert found["split"] == "test"
    assert [refused["file"] for refused in found["refused"]] == ["test/dog/0001.jpg"]
    assert found["metrics"]["accuracy"] == pytest.approx(1 - len(found["mistakes"]) / 23)


def test_a_second_run_looks_at_nothing_and_finds_the_same(cli, photos, tmp_path) -> None:
    one = cli("train", photos, "--out", tmp_path / "1", *QUICK).json
    two = cli("train", photos, "--out", tmp_path / "2", *QUICK).json
    assert (one["looked"], two["looked"]) == (36, 0)
    assert one["engine"] == two["engine"]
    assert one["metrics"] == two["metrics"]
    assert one["chosen"] == two["chosen"]
    models = [file_digest(tmp_path / name / "model.onnx") for name in "12"]
    assert models[0] == models[1]
    assert manifest(tmp_path / "1")["data"] == manifest(tmp_path / "2")["data"]


def test_added_photos_cost_only_themselves(cli, photos, make_photos, tmp_path) -> None:
    cli("train", photos, "--out", tmp_path / "1", *QUICK)
    before = manifest(tmp_path / "1")["data"]["fingerprint"]
    make_photos(photos, {"aardvark": 5}, seed=1)
    grown = cli("train", photos, "--out", tmp_path / "1", *QUICK).json
    assert grown["looked"] == 5
    assert grown["classes"] == ["aardvark", "cat", "dog", "emu"]
    assert manifest(tmp_path / "1")["data"]["fingerprint"] != before


def test_another_seed_gives_other_folds_and_the_same_seed_the_same(cli, photos, tmp_path) -> None:
    options = ("train", photos, "--out", tmp_path / "b", *QUICK, "--hidden-size", 8)
    one, same, other = (cli(*options, "--seed", seed).json for seed in (7, 7, 8))
    assert one["metrics"] == same["metrics"]
    assert one["metrics"] != other["metrics"]


def test_two_classes(cli, make_photos, tmp_path) -> None:
    photos = make_photos(
        tmp_path / "photos", {"cat": 10, "dog": 10}, splits=["train", "validation", "test"]
    )
    result = cli("train", photos, "--out", tmp_path / "b", *QUICK).json
    assert result["metrics"]["test"]["accuracy"] > 0.9
    assert manifest(tmp_path / "b")["architecture"]["link"] == "binary"
    assert manifest(tmp_path / "b")["architecture"]["outputs"] == 1
    dog = photos / "test/dog/0003.jpg"
    (answer,) = cli("predict", tmp_path / "b", dog, "--json", "--accept", "1").json
    assert answer["label"] == "dog"
    assert [name for name, _ in answer["top"]] == ["dog", "cat"]
    assert sum(value for _, value in answer["top"]) == pytest.approx(1, abs=1e-5)
    evaluated = cli("evaluate", tmp_path / "b", photos, "--json", "-q").json
    assert evaluated["metrics"]["confusion"] == result["metrics"]["test"]["confusion"]


def two_coloured(folder: Path, count: int) -> Path:
    """Write pictures whose left half may be red and whose right half may be blue, and a CSV."""
    folder.mkdir()
    lines = ["path,label,split"]
    for i in range(count):
        red, blue = i % 2, i // 2 % 2
        pixels = np.random.default_rng(i).integers(60, 120, (40, 40, 3), dtype=np.uint8)
        if red:
            pixels[:, :20] = (220 + i % 30, 20, 20)
        if blue:
            pixels[:, 20:] = (20, 20, 220 + i % 30)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        labels = "|".join(name for name, there in (("red", red), ("blue", blue)) if there)
        lines.append(f"{i}.png,{labels},{'test' if i % 3 == 0 else 'train'}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


def test_multi_label(cli, tmp_path) -> None:
    data = two_coloured(tmp_path / "data", 60)
    ran = cli("train", data, "--out", tmp_path / "b", *QUICK)
    assert ran.code == 0, ran.err
    result = ran.json
    assert result["metrics"]["test"]["task"] == "multi-label"
    assert result["metrics"]["test"]["accuracy"] > 0.8
    found = manifest(tmp_path / "b")
    assert found["task"] == "multi-label"
    assert found["architecture"]["link"] == "sigmoid"
    evaluated = cli("evaluate", tmp_path / "b", data, "--json", "-q").json
    for name in ("accuracy", "mean_average_precision", "log_loss"):
        expected = result["metrics"]["test"][name]
        assert evaluated["metrics"][name] == pytest.approx(expected, rel=1e-3)
    both = [tmp_path / "data" / f"{i}.png" for i in (3, 7, 11)]
    answers = cli("predict", tmp_path / "b", *both, "--json").json
    assert sum(answer["label"] == "blue|red" for answer in answers) >= 2


def test_multi_label_with_one_class(cli, tmp_path) -> None:
    data = two_coloured(tmp_path / "data", 40)
    text = data.read_text().replace("red|blue", "red").replace(",blue,", ",,")
    data.write_text(text)
    ran = cli("train", data, "--out", tmp_path / "b", *QUICK, "--label-separator", "|")
    assert ran.code == 0, ran.err
    assert ran.json["classes"] == ["red"]
    assert ran.json["metrics"]["test"]["accuracy"] > 0.8


def test_hidden_heads_are_listed_in_words(cli, photos, tmp_path) -> None:
    ran = cli(
        "train", photos, "-o", tmp_path / "b", "--size", 64, "--hidden-size", "0,8",
        "--dropout", "0,0.5", "--batch-norm", "--epochs", 3, "--fit", "squash", "-q", "--json",
    )  # fmt: skip
    assert ran.json["heads"] == 3  # a linear head has nothing to drop
    assert manifest(tmp_path / "b")["preprocessing"]["fit"] == "squash"
    plain = cli("train", photos, "-o", tmp_path / "b", "--size", 64)
    assert plain.code == 0
    assert "validation accuracy 100.0 %" in plain.out
    assert "5-fold cross-validated" in plain.out
    assert f"next: silverprint predict {tmp_path / 'b'} PICTURE" in plain.out
    assert "fitting" in plain.err


def test_the_cache_keeps_to_its_limit(cli, photos, tmp_path) -> None:
    options = ("train", photos, "--out", tmp_path / "b", *QUICK, "--cache-limit")
    assert cli(*options, "0").json["looked"] == 36
    assert list(Path(os.environ["SILVERPRINT_CACHE"]).rglob("*.shard")) == []
    assert cli(*options, "1MB").json["looked"] == 36
    assert cli(*options, "20GB").json["looked"] == 0


# ---- Refusals ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--learning-rate", "fast"], "--learning-rate takes numbers with commas between"),
        (["--hidden-size", "8.5"], "--hidden-size takes whole numbers with commas between"),
        (["--hidden-size", "-1"], "hidden_size must lie within 0..65536; got -1"),
        (["--learning-rate", "0"], "learning_rate must lie within above 0, at most 10; got 0.0"),
        (["--dropout", "1"], "dropout must lie within 0..1, 1 excluded; got 1.0"),
        (["--engine", "gpu"], "engine must be auto or one of openvino-bf16,"),
        (["--fit", "pat"], "fit must be one of pad, crop, squash; got 'pat'. Did you mean 'pad'?"),
        (["--size", "8"], "size must lie within 16..2048 pixels; got 8"),
        (["--size", "-5"], "size must lie within 16..2048 pixels; got -5"),
        (["--epochs", "0"], "epochs must lie within 1..100000; got 0"),
        (["--patience", "-1"], "patience must lie within 1..100000; got -1"),
        (["--folds", "1"], "folds must lie within 2..1000; got 1"),
        (
            ["--validation-fraction", "1"],
            "validation_fraction must lie within 0..1, both excluded; got 1.0",
        ),
        (
            ["--class-weights", "some"],
            "class_weights must be one of auto, balanced, none; got 'some'",
        ),
        (["--seed", "-1"], "seed must lie within 0..2147483647; got -1"),
        (["--seed", str(2**31)], "seed must lie within 0..2147483647; got 2147483648"),
        (["--cache-limit", "many"], "--cache-limit takes bytes, or a size such as 20GB"),
        (["--cache-limit", "-1"], "--cache-limit takes bytes, or a size such as 20GB"),
        (["--backbone", "efficientnet-lite9"], "is not known. Did you mean 'efficientnet-lite"),
        (["--backbone-option", "mean"], "--backbone-option is written KEY=VALUE; got 'mean'"),
        (["--backbone-option", "size=big"], "option size takes a whole number of pixels"),
        (["--weights", "nowhere.pth"], "weights file nowhere.pth does not exist"),
        (["--finetune", "--epochs", "3"], "with --finetune give --finetune-epochs 3"),
        (["--from-scratch", "--backbone", "vgg16"], "backbone is of a pretrained network"),
    ],
)
def test_a_wrong_value_is_one_line(cli, photos, tmp_path, options, message) -> None:
    size = () if "--size" in options or "size=big" in options else ("--size", 64)
    ran = cli("train", photos, "--out", tmp_path / "b", "-q", *size, *options)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert message in ran.err
    assert not (tmp_path / "b").exists()
    assert list(Path(os.environ["SILVERPRINT_CACHE"]).rglob("*.shard")) == []


@pytest.mark.parametrize("options", [["--epochs", "many"], ["--nonsense"], ["--top"]])
def test_what_the_parser_refuses_exits_with_2(cli, photos, options) -> None:
    ran = cli("train", photos, *options)
    assert ran.code == 2
    assert ran.out == ""
    assert "--help" in ran.err or "-h" in ran.err


def test_data_that_is_not_there(cli, tmp_path) -> None:
    ran = cli("train", tmp_path / "nowhere", "--out", tmp_path / "b", *QUICK)
    assert ran.code == 2
    assert "nowhere" in ran.err
    assert "nor a dataset's name. `silverprint datasets` lists the names" in ran.err


def test_a_foreign_folder_is_refused_before_any_work(cli, photos, monkeypatch) -> None:
    from silverprint.workflows import train

    monkeypatch.setattr(train, "look_at", lambda *_: pytest.fail("it began to work"))
    ran = cli("train", photos, "--out", photos, *QUICK)
    assert ran.code == 2
    assert f"--out {photos} is a folder with other files in it" in ran.err
    assert (photos / "cat" / "0000.jpg").exists()


def test_where_nothing_can_be_read(cli, tmp_path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.jpg").write_text("text")
    ran = cli("train", tmp_path / "photos", "--out", tmp_path / "b", *QUICK)
    assert ran.code == 2
    assert "none of 2 pictures can be read; the first: cat/1.jpg: " in ran.err
    assert names_in(tmp_path) == ["photos"]


def test_a_class_that_cannot_be_read_is_named(cli, photos, tmp_path) -> None:
    for path in ((photos / "cat" / "0000.jpg"), *(photos / "dog").iterdir()):
        path.write_text("text")
    ran = cli("train", photos, "--out", tmp_path / "b", *QUICK)
    assert ran.code == 2
    told = (
        r"no training picture of dog can be read; the first: dog/0000\.jpg: is not .* Replace its"
    )
    assert re.search(told, ran.err)


def test_a_class_of_one_picture_cannot_be_cross_validated(cli, photos, tmp_path) -> None:
    for path in list((photos / "dog").iterdir())[1:]:
        path.unlink()
    ran = cli("train", photos, "--out", tmp_path / "b", *QUICK)
    assert ran.code == 2
    assert "dog has one picture; with fewer than 500 pictures each class needs" in ran.err


def test_groups_are_kept_whole_or_refused(cli, photos, tmp_path) -> None:
    lines = [
        f"{photo.parent.name}/{photo.name},{photo.parent.name},{i // 4},one film"
        for i, photo in enumerate(sorted(photos.rglob("*.jpg")))
    ]
    table = photos / "films.csv"
    table.write_text("\n".join(["path,label,film,all", *lines]))
    how = ("--out", tmp_path / "b", "--hidden-size", "0", *QUICK)
    ran = cli("train", table, "--group-column", "film", *how)
    assert json.loads(ran.out)["metrics"]["validation"]["cross_validated"] == 5
    ran = cli("train", table, "--group-column", "all", *how)
    assert ran.code == 2
    assert "all training pictures are in one group, or in groups that share a copy" in ran.err


@pytest.mark.parametrize("real", [True, False], ids=["processor", "gpu"])
def test_a_full_memory_is_no_fault_of_ours(real, cli, photos, tmp_path, monkeypatch) -> None:
    import torch

    from silverprint.workflows import train

    def fail(*_) -> None:
        if real:
            torch.empty(10**15)
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(train, "write_artifact", fail)
    ran = cli("train", photos, "--out", tmp_path / "b", *QUICK)
    assert ran.code == 2
    assert "memory is full. Take smaller pictures (--size), fewer at a time (--batch-" in ran.err
    assert names_in(tmp_path) == ["photos"]


def test_a_fault_of_ours_says_so(cli, photos, tmp_path, monkeypatch) -> None:
    from silverprint.workflows import train

    def fail(*_) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(train, "write_artifact", fail)
    ran = cli("train", photos, "--out", tmp_path / "b", *QUICK)
    assert ran.code == 1
    assert "this is our fault, not yours: ZeroDivisionError: division by zero" in ran.err
    assert "SILVERPRINT_DEBUG=1" in ran.err
    assert names_in(tmp_path) == ["photos"]


# ---- Stopped ----


def started(photos: Path, out: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "silverprint", "train", str(photos), "--out", str(out),
         "--size", "64", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # as in this process: sums round alike
        # A shell may have told this process to ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def test_control_c_exits_with_130_and_leaves_nothing(photos, tmp_path) -> None:
    process = started(photos, tmp_path / "b")
    for line in process.stderr:
        if "looking" in line or "%" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert "error: stopped; what was saved is kept" in err
    assert names_in(tmp_path) == ["photos"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_run_is_taken_up_with_the_same_result(photos, tmp_path, trained) -> None:
    shutil.rmtree(Path(os.environ["SILVERPRINT_CACHE"]) / "backbones")  # killed there too
    chance = random.Random(os.getpid())
    for _ in range(3):
        process = started(photos, tmp_path / "b")
        time.sleep(chance.uniform(1, 5))
        process.kill()
        process.communicate()
    process = started(photos, tmp_path / "b")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["metrics"] == manifest(trained.bundle)["metrics"]
    assert manifest(tmp_path / "b")["files"]["model.onnx"] == file_digest(
        trained.bundle / "model.onnx"
    )
