"""`import silverprint as sp`: networks that make things, from Python."""

import numpy as np
import pytest
from PIL import Image

import silverprint as sp

FAST = {"epochs": 1, "device": "cpu", "size": 16, "quiet": True}


@pytest.fixture(autouse=True)
def ready() -> None:
    """These tests need no trained bundle."""


@pytest.fixture
def photos(make_photos, tmp_path):
    return make_photos(tmp_path / "photos", {"cat": 8, "dog": 8})


def test_a_vae_is_trained_and_makes_pictures(photos, tmp_path) -> None:
    made = sp.generate("vae", photos, tmp_path / "vae", network="mlp", widths=[8], latent=2, **FAST)
    assert isinstance(made, sp.GenerativeBundle)
    assert made.manifest["metrics"]["validation"]["units"] == 2
    assert made.decode(np.zeros((3, 2), np.float32)).shape == (3, 3, 16, 16)
    assert sp.read_generative(str(tmp_path / "vae")).task == "vae"
    assert sp.sample(str(tmp_path / "vae"), str(tmp_path / "sheet.png"), count=4).count == 4
    walked = sp.walk(tmp_path / "vae", tmp_path / "walk.png", grid=True, steps=3)
    assert walked["pictures"] == 9
    photo = photos / "cat" / "0000.jpg"
    found = sp.reconstruct(str(tmp_path / "vae"), photo, str(tmp_path / "again.png"))
    assert found.names == [str(photo)]
    assert found.out.exists()


def test_an_autoencoder_and_a_gan(photos, tmp_path) -> None:
    dataset = sp.read(photos)
    pressed = sp.generate("autoencoder", dataset, tmp_path / "a", code_size=3, widths=4, **FAST)
    assert pressed.encode(np.zeros((2, 3, 16, 16), np.float32)).shape == (2, 3)
    linear = sp.generate("autoencoder", dataset, tmp_path / "l", kind="linear", code_size=3, **FAST)
    assert linear.manifest["training"]["kind"] == "linear"
    made = sp.generate("gan", dataset, tmp_path / "g", width=4, batch_size=8, **FAST)
    assert made.classes == ("cat", "dog")


def test_what_generate_refuses(photos, tmp_path) -> None:
    with pytest.raises(
        sp.ConfigError, match="kind must be one of autoencoder, vae, gan; got 'vea'"
    ):
        sp.generate("vea", photos, tmp_path / "out")  # type: ignore[arg-type]
    with pytest.raises(sp.ConfigError, match="judge is of a gan, and kind is 'vae'"):
        sp.generate("vae", photos, tmp_path / "out", judge="mnist")
    with pytest.raises(sp.ConfigError, match=r"setting 'latnet' is unknown. Did you mean 'latent'"):
        sp.generate("vae", photos, tmp_path / "out", latnet=3)
    with pytest.raises(sp.DataError, match="neither a folder or file that exists"):
        sp.generate("gan", tmp_path / "gone", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_stylize_takes_one_style_or_several(tmp_path) -> None:
    for seed in (1, 2):
        blots = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blots).resize((48, 36)).save(tmp_path / f"{seed}.png")
    how = {"backbone": "random", "size": 48, "steps": 2, "device": "cpu", "quiet": True}
    found = sp.stylize(tmp_path / "1.png", str(tmp_path / "2.png"), tmp_path / "a.png", **how)
    assert found.picture == tmp_path / "a.png"
    both = [tmp_path / "1.png", tmp_path / "2.png"]
    found = sp.stylize(tmp_path / "1.png", both, tmp_path / "a.png", blend=(2, 1), **how)
    assert [one["share"] for one in found.record["styles"]] == pytest.approx([2 / 3, 1 / 3])


def test_a_text_is_learned_and_written_on(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("Half a league, half a league,\n" * 40, "utf-8")
    model = sp.write(tmp_path / "a.txt", tmp_path / "model", width=4, epochs=1, batch_size=8,
                     device="cpu", quiet=True)  # fmt: skip
    assert isinstance(model, sp.TextModel)
    written = model.sample("Half", 20, sp.Taste(temperature=0.5), seed=1)
    assert len(written) == 20
    assert sp.read_text_model(tmp_path / "model").sample("Half", 20, sp.Taste(0.5), 1) == written
