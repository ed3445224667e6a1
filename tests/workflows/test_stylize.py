"""stylize: files in, files out, and every kind of bad input."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from silverprint.errors import ConfigError, ImageError
from silverprint.recipes.style_settings import StyleSettings
from silverprint.runtime.paths import cache_folder
from silverprint.workflows.stylize import stylize

QUICK = StyleSettings(size=48, steps=3, device="cpu")


def blots(seed: int = 0, height: int = 36, width: int = 48) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 6, width // 6, 3))
    return coarse.repeat(6, 0).repeat(6, 1).astype(np.uint8)


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
    told = found.to_json()
    assert (told["width"], told["height"], told["stopped"]) == (48, 36, False)
    assert told["layers"] == ["0", "2", "5", "7", "10", "12"]
    assert told["content_layers"] == ["7"]
    assert told["scales"] == [[36, 48]]
    assert told["losses"]["style"] == found.result.losses.style
    assert told["seconds_per_step"] == pytest.approx(told["seconds"] / told["steps"], abs=1e-3)
    tiles = len({steps for steps, _ in found.result.stages}) + 1
    with Image.open(strip) as written:
        assert written.size == (48 * tiles + 6 * (tiles - 1), 36)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "content.png", "new", "strip.jpg", "style.png",
    ]  # fmt: skip


@pytest.mark.parametrize(("ending", "kind"), [("jpg", "JPEG"), ("webp", "WEBP"), ("JPEG", "JPEG")])
def test_the_ending_chooses_the_format(content, style, tmp_path, ending, kind) -> None:
    out = tmp_path / f"result.{ending}"
    stylize(content, [style], out, QUICK, backbone="random")
    with Image.open(out) as written:
        assert written.format == kind


def test_a_finished_run_leaves_nothing_in_the_cache(content, style, tmp_path) -> None:
    stylize(content, [style], tmp_path / "out.png", QUICK, backbone="random")
    assert list((cache_folder() / "runs").iterdir()) == []


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
    for what, where in (("result", {"out": content}), ("strip", {"out": out, "strip": style})):
        told = refused(content, [style], **where)
        assert told.startswith(f"the {what} would replace")
        assert "which is to be read" in told
    assert refused(content, [], out) == "give at least one style picture."
    blend = StyleSettings(size=48, blend=(1.0, 2.0))
    assert "--blend has 2 weights for 1 style pictures" in refused(content, [style], out, blend)
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


@pytest.mark.slow
def test_the_default_network_paints(content, style, tmp_path) -> None:
    how = StyleSettings(size=64, steps=40, device="cpu")
    found = stylize(content, [style], tmp_path / "out.png", how)
    assert found.network == "efficientnet-lite0"
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
