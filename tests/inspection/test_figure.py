"""Figures: what is drawn, where it may be written, and that it is a picture in the end."""

import io

import numpy as np
import pytest
from PIL import Image

from silverprint.errors import ConfigError, MissingExtraError
from silverprint.inspection import figure
from silverprint.inspection.figure import (
    check_place,
    drawing,
    lines_of,
    make_folder,
    picture,
    rectangle,
    rendered,
    words,
    write_figure,
)


def small() -> str:
    pixels = np.zeros((4, 6, 3), dtype=np.uint8)
    pixels[:, :3] = (200, 0, 0)
    parts = [picture(pixels, 10, 10, 60, 40, sharp=True), rectangle(80, 10, 30, 40, "#1f5485")]
    return drawing(120, 60, parts, "A figure")


def test_a_png_shows_what_was_drawn() -> None:
    pytest.importorskip("resvg_py", reason="the extra explain is not installed")
    with Image.open(io.BytesIO(rendered(small()))) as image:
        assert image.size == (240, 120)
        shown = image.convert("RGB")
    assert shown.getpixel((2, 2)) == (255, 255, 255)
    assert shown.getpixel((60, 60)) == (200, 0, 0)
    assert shown.getpixel((120, 60)) == (0, 0, 0)
    assert shown.getpixel((190, 60)) == (0x1F, 0x54, 0x85)


def test_words_are_seen_whatever_fonts_there_are() -> None:
    pytest.importorskip("resvg_py", reason="the extra explain is not installed")
    data = rendered(drawing(80, 30, [words(5, 20, "Wort <&>", 14)], "words"))
    with Image.open(io.BytesIO(data)) as image:
        assert np.asarray(image.convert("L")).min() < 120


def test_text_is_escaped_and_shortened() -> None:
    assert "&lt;b&gt; &amp; c" in words(0, 0, "<b> & c")
    assert "…" in words(0, 0, "a rather long name of a file.jpg", 12, width=60)
    assert lines_of("one two three four", 50, 10) == ["one two", "three", "four"]


@pytest.mark.parametrize("name", ["figure", "figure.jpg", "figure.html"])
def test_other_endings_are_refused(name, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"a figure must end with \.svg or \.png; got"):
        check_place(tmp_path / name)


def test_places_that_cannot_be_written(tmp_path) -> None:
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(ConfigError, match="is a folder; name a file in it"):
        check_place(tmp_path / "folder.svg")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written: .*; name another place"):
        make_folder(tmp_path / "file" / "below")
    with pytest.raises(ConfigError, match="cannot be written: "):
        write_figure(small(), tmp_path / "missing" / "a.svg")


def test_a_folder_is_made_and_an_svg_written_whole(tmp_path) -> None:
    path = check_place(tmp_path / "new" / "a.svg")
    write_figure(small(), path)
    assert path.read_text("utf-8").startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert 'style="max-width:100%;height:auto"' in path.read_text("utf-8")[:400]
    assert [p.name for p in path.parent.iterdir()] == ["a.svg"]


def test_without_what_makes_png_files_the_extra_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "resvg_py", None)
    with pytest.raises(MissingExtraError, match=r"PNG \(SVG does not\) needs .*\[explain\]"):
        check_place(tmp_path / "a.png")
    check_place(tmp_path / "a.svg")
    with pytest.raises(MissingExtraError):
        figure.rendered(small())
