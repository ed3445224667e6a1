"""Writing bundles: all or nothing."""

import json
from pathlib import Path

import pytest

from silverprint.errors import ConfigError
from silverprint.export.bundle import check_output, write_manifest, writing_bundle
from silverprint.runtime.bundle import file_digest


def write(path: Path, content: str = "new") -> None:
    with writing_bundle(path) as folder:
        (folder / "model.onnx").write_text(content)
        write_manifest(folder, {"name": content})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_bundle(tmp_path) -> None:
    write(tmp_path / "deep" / "below" / "bundle")
    assert names(tmp_path / "deep" / "below") == ["bundle"]
    manifest = json.loads((tmp_path / "deep/below/bundle/bundle.json").read_text())
    digest = file_digest(tmp_path / "deep/below/bundle/model.onnx")
    assert manifest == {"format": 1, "name": "new", "files": {"model.onnx": digest}}


def test_a_bundle_takes_the_place_of_another(tmp_path) -> None:
    write(tmp_path / "bundle", "old")
    (tmp_path / "bundle" / "notes.txt").write_text("of the old one")
    write(tmp_path / "bundle")
    assert names(tmp_path) == ["bundle"]
    assert names(tmp_path / "bundle") == ["bundle.json", "model.onnx"]
    assert (tmp_path / "bundle" / "model.onnx").read_text() == "new"


def test_until_the_end_the_old_bundle_is_whole(tmp_path) -> None:
    write(tmp_path / "bundle", "old")
    with writing_bundle(tmp_path / "bundle") as folder:
        (folder / "model.onnx").write_text("new")
        assert (tmp_path / "bundle" / "model.onnx").read_text() == "old"
        assert folder.parent == tmp_path
    assert (tmp_path / "bundle" / "model.onnx").read_text() == "new"


@pytest.mark.parametrize("failing", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [True, False])
def test_nothing_is_left_of_a_failure(tmp_path, failing, old) -> None:
    if old:
        write(tmp_path / "bundle", "old")

    def fail() -> None:
        with writing_bundle(tmp_path / "bundle") as folder:
            (folder / "model.onnx").write_text("half")
            raise failing("stop")

    with pytest.raises(failing, match="stop"):
        fail()
    assert names(tmp_path) == (["bundle"] if old else [])
    if old:
        assert (tmp_path / "bundle" / "model.onnx").read_text() == "old"


def test_the_old_bundle_comes_back_where_the_new_one_cannot_take_its_place(
    tmp_path, monkeypatch
) -> None:
    write(tmp_path / "bundle", "old")
    rename = Path.rename

    def fail_once(path: Path, target: Path) -> Path:
        if Path(target).name == "bundle" and not path.name.endswith("-old"):
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "bundle")
    assert names(tmp_path) == ["bundle"]
    assert (tmp_path / "bundle" / "model.onnx").read_text() == "old"


def test_of_two_processes_that_end_together_the_later_one_stays(tmp_path, monkeypatch) -> None:
    write(tmp_path / "bundle", "old")
    rename, left = Path.rename, [1, 2, 3]

    def rename_late(path: Path, target: Path) -> Path:
        if Path(target).name == "bundle" and left:  # the other one comes just before
            left.pop()
            (tmp_path / "bundle").mkdir()
            (tmp_path / "bundle" / "bundle.json").write_text("{}")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_late)
    write(tmp_path / "bundle")
    assert names(tmp_path) == ["bundle"]
    assert (tmp_path / "bundle" / "model.onnx").read_text() == "new"


def test_what_another_process_takes_away_meanwhile_is_not_missed(tmp_path, monkeypatch) -> None:
    (tmp_path / ".bundle-unfinished-x").mkdir()
    stat = Path.stat

    def gone(path: Path, **options: bool) -> object:
        if path.name == ".bundle-unfinished-x":
            raise FileNotFoundError(2, "No such file or directory")
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", gone)
    write(tmp_path / "bundle")
    assert (tmp_path / "bundle" / "model.onnx").read_text() == "new"


def test_an_empty_folder_is_taken(tmp_path) -> None:
    (tmp_path / "bundle").mkdir()
    write(tmp_path / "bundle")
    assert names(tmp_path / "bundle") == ["bundle.json", "model.onnx"]


def test_a_link_is_followed(tmp_path) -> None:
    write(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "model.onnx").read_text() == "new"
    assert names(tmp_path) == ["link", "real"]


def test_a_folder_with_other_files_is_refused(tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"precious")
    for call in (check_output, write):
        with pytest.raises(ConfigError, match=r"--out .*photos is a folder with other files in it"):
            call(tmp_path / "photos")
    assert names(tmp_path / "photos") == ["1.jpg"]


def test_a_file_is_refused(tmp_path) -> None:
    (tmp_path / "bundle").write_text("a letter")
    with pytest.raises(ConfigError, match=r"--out .*bundle is a file; give the name of a new fol"):
        check_output(tmp_path / "bundle")


def test_a_place_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "bundle", Path("/proc/bundle"), tmp_path / ("x" * 300)):
        for call in (check_output, write):
            with pytest.raises(ConfigError, match=r"--out .* cannot be written: .*name another pl"):
                call(place)
    assert names(tmp_path) == ["file"]


def test_everyone_may_read_a_bundle(tmp_path) -> None:
    write(tmp_path / "bundle")
    assert (tmp_path / "bundle").stat().st_mode & 0o777 == 0o755


def test_what_json_cannot_hold_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):  # noqa: SIM117
        with writing_bundle(tmp_path / "bundle") as folder:
            write_manifest(folder, {"loss": float("nan")})
    assert names(tmp_path) == []
