"""Reading a bundle: every kind of damage has its own sentence."""

import hashlib
import json
from pathlib import Path

import pytest

from silverprint.errors import BundleError
from silverprint.runtime.bundle import file_digest, read_bundle


def edited(folder: Path, **changes) -> Path:
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text("utf-8"))
    for key, value in changes.items():
        if value is None:
            del manifest[key]
        else:
            manifest[key] = value
    path.write_text(json.dumps(manifest), "utf-8")
    return folder


def refusal(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        read_bundle(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_whole_bundle_says_what_it_is(make_bundle) -> None:
    bundle = read_bundle(str(make_bundle()))
    assert bundle.classes == ("red", "green", "blue")
    assert bundle.task == "single-label"
    assert bundle.decode_side == 16
    assert bundle.model.is_file()
    assert bundle.manifest["files"] == {"model.onnx": file_digest(bundle.model)}


def test_names_in_any_language(make_bundle) -> None:
    classes = ("Hündin", "猫", "zèbre")
    assert read_bundle(make_bundle(classes=classes)).classes == classes


# ---- Not a bundle ----


def test_nothing_there(tmp_path) -> None:
    assert refusal(tmp_path / "b") == (
        f"bundle {tmp_path / 'b'} does not exist; `silverprint train` makes bundles."
    )


def test_a_folder_of_something_else(tmp_path) -> None:
    text = refusal(tmp_path)
    assert text == f"{tmp_path} is a folder without bundle.json, so it is not a bundle."


def test_a_file(tmp_path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    assert "is a file, not a folder with bundle.json" in refusal(tmp_path / "model.onnx")


# ---- Damage ----


@pytest.mark.parametrize("content", [b"{'single': quotes}", b"", b"\xff\xfe\x00", b"{"])
def test_a_manifest_that_is_no_json(make_bundle, content) -> None:
    folder = make_bundle()
    (folder / "bundle.json").write_bytes(content)
    text = refusal(folder)
    assert f"{folder / 'bundle.json'} cannot be read: " in text
    assert text.endswith("; get the bundle again.")


def test_an_editor_may_have_put_a_mark_before_the_manifest(make_bundle) -> None:
    folder = make_bundle()
    manifest = folder / "bundle.json"
    manifest.write_text(manifest.read_text("utf-8"), "utf-8-sig")
    assert read_bundle(folder).classes == ("red", "green", "blue")


@pytest.mark.parametrize("content", ["[]", "7", "{}", '{"name": "something else"}'])
def test_a_manifest_of_something_else(make_bundle, content) -> None:
    folder = make_bundle()
    (folder / "bundle.json").write_text(content)
    assert "is not a Silverprint bundle's: no format version" in refusal(folder)


@pytest.mark.parametrize("version", [0, 2, "1", 99])
def test_another_format_version(make_bundle, version) -> None:
    text = refusal(edited(make_bundle(), format=version))
    assert f"bundle format {version}, but this release reads 1" in text
    assert "train again" in text


@pytest.mark.parametrize("key", ["classes", "task", "preprocessing", "files"])
def test_a_missing_key_is_named(make_bundle, key) -> None:
    assert f"bundle.json lacks {key}; get the bundle again" in refusal(
        edited(make_bundle(), **{key: None})
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", "red"),
        ("classes", ["red", 7]),
        ("classes", ["red", "red", "blue"]),
        ("calibration", {"temperature": "1.0"}),
        ("calibration", 1.0),
        ("unknown", {"accept": "0.95", "distances": [0.0, 1.0]}),
        ("unknown", {"accept": 0.95, "distances": []}),
        ("unknown", {"accept": 0.95}),
        ("sets", {"pictures": 3, "probabilities": ["0.5"]}),
        ("task", "detection"),
        ("preprocessing", {"size": 16}),
        ("preprocessing", [16]),
        ("files", ["model.onnx"]),
        ("files", {}),
    ],
)
def test_a_key_with_something_else_in_it_is_named(make_bundle, key, value) -> None:
    text = refusal(edited(make_bundle(), **{key: value}))
    assert f"bundle.json: {key} is not what a bundle holds" in text


def test_a_missing_file(make_bundle) -> None:
    folder = make_bundle()
    (folder / "model.onnx").unlink()
    text = refusal(folder)
    assert text == (
        f"{folder / 'model.onnx'}: no such file or directory; the bundle is incomplete, get it "
        "again."
    )


@pytest.mark.parametrize("where", [0, 1000, -1])
def test_a_flipped_byte(make_bundle, where) -> None:
    folder = make_bundle()
    content = bytearray((folder / "model.onnx").read_bytes())
    before = hashlib.sha256(content).hexdigest()
    content[where] ^= 1
    (folder / "model.onnx").write_bytes(content)
    text = refusal(folder)
    assert "model.onnx was changed or damaged" in text
    assert before[:12] in text
    assert hashlib.sha256(content).hexdigest()[:12] in text


def test_a_file_cut_short(make_bundle) -> None:
    folder = make_bundle()
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content[:-1])
    assert "model.onnx was changed or damaged" in refusal(folder)


def test_a_folder_in_a_files_place(make_bundle) -> None:
    folder = make_bundle()
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").mkdir()
    assert "the bundle is incomplete" in refusal(folder)


def test_other_files_do_no_harm(make_bundle) -> None:
    folder = make_bundle()
    (folder / "notes.txt").write_text("mine")
    assert read_bundle(folder).classes == ("red", "green", "blue")
