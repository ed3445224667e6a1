"""stylize: files in, files out, and every kind of bad input."""

import hashlib
import io
import json
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from silverprint.errors import ConfigError, ImageError
from silverprint.recipes.style_settings import StyleSettings
from silverprint.runtime.paths import cache_folder
from silverprint.workflows.style_page import chosen_stages
from silverprint.workflows.stylize import stylize

QUICK = StyleSettings(size=48, steps=3, device="cpu")


def blots(seed: int = 0, height: int = 36, width: int = 48) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 6, width // 6, 3))
    return coarse.repeat(6, 0).repeat(6, 1).astype(np.uint8)


@pytest.fixture(autouse=True)
def ready() -> None:
    """These tests need no trained bundle."""


@pytest.fixture
def content(tmp_path):
    Image.fromarray(blots(1)).save(tmp_path / "content.png")
    return tmp_path / "content.png"


@pytest.fixture
def style(tmp_path):
    Image.fromarray(blots(2)).save(tmp_path / "style.png")
    return tmp_path / "style.png"


def test_the_result_and_what_is_told_of_it(content, style, tmp_path) -> None:
    out, strip = tmp_path / "new" / "result.png", tmp_path / "strip.jpg"
    found = stylize(content, [style], out, QUICK, strip=strip, backbone="random")
    with Image.open(out) as written:
        assert np.array_equal(np.asarray(written), found.result.picture)
        assert written.size == (48, 36)
    assert repr(found) == f"<Stylized {str(out)!r}, 48 x 36 pixels: {found.result.losses}>"
    with Image.open(io.BytesIO(found._repr_png_())) as shown:
        assert np.array_equal(np.asarray(shown), found.result.picture)
    told = found.to_json()
    assert (told["width"], told["height"], told["stopped"]) == (48, 36, False)
    assert told["settings"]["layers"] == ("0", "2", "5", "7", "10", "12")
    assert told["settings"]["content_layers"] == ("7",)
    assert told["scales"] == [[36, 48]]
    assert told["losses"]["style"] == found.result.losses.style
    assert told["seconds_per_step"] == pytest.approx(told["seconds"] / told["steps"], abs=1e-3)
    assert found.result.stages[-1][0] == found.result.steps  # which is the result
    with Image.open(strip) as written:
        assert written.size == (48 + 6 + 48, 36)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "content.png", "new", "strip.jpg", "style.png",
    ]  # fmt: skip
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "result.png", "result.report.html", "result.report.json",
    ]  # fmt: skip


def test_from_the_record_the_picture_can_be_made_again(content, style, tmp_path) -> None:
    how = replace(QUICK, blend=(1.0, 3.0), layers=("0", "5"), tv_weight=0.2, seed=7)
    first = stylize(content, [style, content], tmp_path / "a.png", how, backbone="random")
    kept = json.loads((tmp_path / "a.report.json").read_text("utf-8"))
    assert kept == json.loads(json.dumps(first.record))
    assert [one["share"] for one in kept["styles"]] == [0.25, 0.75]
    files = [kept["content"], *kept["styles"]]
    for one in files:
        data = Path(one["file"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(data).hexdigest()
    again = stylize(
        files[0]["file"], [one["file"] for one in files[1:]], tmp_path / "b.png",
        StyleSettings.of(**kept["settings"]), backbone=kept["network"]["name"],
    )  # fmt: skip
    assert again.settings == first.settings
    assert np.array_equal(again.result.picture, first.result.picture)
    assert again.record["network"]["sha256"] == kept["network"]["sha256"]


def test_a_strip_shows_each_number_of_steps_once(content, style, tmp_path) -> None:
    how = replace(QUICK, size=200, steps=12)
    found = stylize(content, [style], tmp_path / "out.png", how, backbone="random")
    assert len(found.result.scales) == 2
    steps = [steps for steps, _ in found.result.stages]
    assert len(set(steps)) < len(steps)  # where a scale ends and the next one begins
    middle = sorted(set(steps))[1]
    assert f"After 0, {middle} steps from left to right, and the result." in (
        found.report.read_text("utf-8")
    )
    shown = [found.result.stages[i][1].shape[:2] for i in chosen_stages(found.result)]
    assert shown == found.result.scales  # at 0, and where the second began


def test_the_page_tells_all_and_loads_nothing(content, style, tmp_path) -> None:
    found = stylize(content, [style], tmp_path / "out.png", QUICK, backbone="random",
                    command="silverprint stylize <a> b")  # fmt: skip
    page = found.report.read_text("utf-8")
    assert found.report == tmp_path / "out.report.html"
    assert page.count("data:image/jpeg;base64,") == 4  # result, content, style, strip
    assert page.count("<svg") == 3
    assert "silverprint stylize &lt;a&gt; b" in page
    assert found.record["content"]["sha256"] in page
    assert "1 scale instead of 3: at 24 pixels the picture would be too coarse" in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize("colour", [(200, 30, 30), (0, 0, 0)])
def test_pictures_of_one_colour(content, style, tmp_path, colour) -> None:
    flat, out = tmp_path / "flat.png", tmp_path / "out.png"
    Image.new("RGB", (48, 36), colour).save(flat)
    found = stylize(flat, [style], out, QUICK, backbone="random")
    assert "flat.png is of one colour: it has no contents to keep." in found.record["notices"][-1]
    assert found.result.losses.content < 100
    found = stylize(content, [flat], out, QUICK, backbone="random")
    assert "flat.png is of one colour: it has no strokes to give." in found.record["notices"][-1]
    assert found.result.losses.style < 1e9  # not 1e20, as of a division by nothing


@pytest.mark.parametrize(("ending", "kind"), [("jpg", "JPEG"), ("webp", "WEBP"), ("JPEG", "JPEG")])
def test_the_ending_chooses_the_format(content, style, tmp_path, ending, kind) -> None:
    out = tmp_path / f"result.{ending}"
    stylize(content, [style], out, QUICK, backbone="random")
    with Image.open(out) as written:
        assert written.format == kind


def test_a_finished_run_leaves_nothing_in_the_cache(content, style, tmp_path) -> None:
    stylize(content, [style], tmp_path / "out.png", QUICK, backbone="random")
    assert list((cache_folder() / "runs").iterdir()) == []


def test_a_picture_at_an_address(content, style, tmp_path) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}/content.png"
        found = stylize(address, [style], tmp_path / "out.png", QUICK, backbone="random")
        server.shutdown()
    assert found.record["content"]["file"] == address
    assert found.record["content"]["sha256"] == hashlib.sha256(content.read_bytes()).hexdigest()


def test_an_enlarged_content_is_told(content, style, tmp_path) -> None:
    told = "content.png is 48 x 36 pixels and was enlarged: size 60 asks for more than it has."
    for size, expected in ((60, True), (48, False)):
        how = replace(QUICK, size=size)
        found = stylize(content, [style], tmp_path / "out.png", how, backbone="random")
        assert any(one.endswith(told) for one in found.record["notices"]) == expected


def test_a_picture_may_be_its_own_style(content, tmp_path) -> None:
    out = tmp_path / "result.png"
    found = stylize(content, [content], out, replace(QUICK, start="style"), backbone="random")
    assert found.result.losses.content < 0.05


def test_unusual_pictures(style, tmp_path) -> None:
    upright = Image.fromarray(blots(1))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    upright.save(tmp_path / "turned.jpg", exif=exif)
    seen = Image.fromarray(np.dstack([blots(1), np.full((36, 48), 128, np.uint8)]))
    seen.save(tmp_path / "alpha.png")
    upright.convert("L").save(tmp_path / "grey.png")
    Image.fromarray(blots(1)[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    sizes = {}
    for name in ("turned.jpg", "alpha.png", "grey.png", "deep.png"):
        out = tmp_path / f"of-{name}"
        found = stylize(tmp_path / name, [style], out, QUICK, backbone="random")
        sizes[name] = found.result.picture.shape
    assert sizes.pop("turned.jpg") == (48, 36, 3)
    assert set(sizes.values()) == {(36, 48, 3)}


def test_transparent_pixels_are_laid_on_white(style, tmp_path) -> None:
    Image.fromarray(np.zeros((36, 48, 4), np.uint8)).save(tmp_path / "clear.png")
    found = stylize(tmp_path / "clear.png", [style], tmp_path / "out.png", QUICK, backbone="random")
    assert found.result.stages[0][1].mean() > 225  # but for blots


def test_what_is_refused_before_any_work(content, style, tmp_path) -> None:
    def refused(*given, **more) -> str:
        with pytest.raises(ConfigError) as caught:
            stylize(*given, **more, backbone="random")
        return str(caught.value)

    out = tmp_path / "out.png"
    assert "the result must end with .png, .jpg, .jpeg, .webp; got" in refused(
        content, [style], tmp_path / "out.gif"
    )
    (tmp_path / "folder.png").mkdir()
    assert "folder.png' is a folder; name a file in it." in refused(
        content, [style], tmp_path / "folder.png"
    )
    assert "content.png' cannot be written" in refused(content, [style], content / "out.png")
    assert "the strip must end with" in refused(content, [style], out, strip=tmp_path / "strip")
    assert "are both" in refused(content, [style], out, strip=out)
    (tmp_path / "taken.report.json").mkdir()
    assert "taken.report.json' is a folder; name a file in it." in refused(
        content, [style], tmp_path / "taken.png"
    )
    long = tmp_path / f"{'x' * 250}.png"  # its report's name is too long
    assert "cannot be written: file name too long; name another" in refused(content, [style], long)
    for what, where in (("result", {"out": content}), ("strip", {"out": out, "strip": style})):
        told = refused(content, [style], **where)
        assert told.startswith(f"the {what} would replace")
        assert "which is to be read" in told
    assert refused(content, [], out) == "give at least one style picture."
    blend = StyleSettings(size=48, blend=(1.0, 2.0))
    assert "--blend has 2 weights for 1 style picture;" in refused(content, [style], out, blend)
    unknown = StyleSettings(size=48, layers=("0", "99"))
    assert "layer '99' is no feature map of random, which has, closest first: 9" in refused(
        content, [style], out, unknown
    )
    assert not out.exists()


def test_a_picture_that_cannot_be_read_is_named(content, tmp_path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much of a picture")
    for bad in (tmp_path / "broken.jpg", tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(ImageError, match=bad.name):
            stylize(content, [bad], tmp_path / "out.png", QUICK, backbone="random")
        with pytest.raises(ImageError, match=bad.name):
            stylize(bad, [content], tmp_path / "out.png", QUICK, backbone="random")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("size", [(40, 8), (6000, 60)])
def test_a_style_without_room_for_a_stroke_is_named(content, tmp_path, size) -> None:
    Image.new("RGB", size, "red").save(tmp_path / "thread.png")
    with pytest.raises(ConfigError) as caught:
        stylize(content, [content, tmp_path / "thread.png"], tmp_path / "out.png", QUICK)
    assert str(caught.value) == (
        f"style {tmp_path / 'thread.png'} is {size[0]} x {size[1]} pixels: a stroke needs 24 on "
        "both sides, once the longer is at most 2,048; crop it, or name another."
    )


@pytest.mark.slow
def test_the_default_network_paints(content, style, tmp_path) -> None:
    how = StyleSettings(size=64, steps=40, device="cpu")
    found = stylize(content, [style], tmp_path / "out.png", how)
    assert found.record["network"]["name"] == "efficientnet-lite0"
    assert found.result.losses.style < 0.3 * found.result.curve[0].style


@pytest.mark.shared
@pytest.mark.slow
def test_the_shared_encoder_paints(shared_data, tmp_path) -> None:
    weights = shared_data.parent / "weights" / "vgg19_normalised_conv3_1.safetensors"
    if not weights.exists():
        pytest.skip("no weights of VGG19 beside the data")
    how = StyleSettings(size=80, steps=40, device="cpu")
    pictures = shared_data / "style"
    found = stylize(
        pictures / "janelle.png", [pictures / "hockney.jpg"], tmp_path / "out.png", how,
        backbone="vgg19-encoder", weights=weights,
    )  # fmt: skip
    assert found.result.losses.style < 0.3 * found.result.curve[0].style
