"""`generate vae` as a function: a bundle that keeps its word, and samples and walks from it."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from silverprint.data.table import Dataset
from silverprint.errors import BundleError, ConfigError
from silverprint.export.generative import export_part
from silverprint.recipes.vae_settings import VaeSettings
from silverprint.runtime.generative import DECODER, read_generative
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Progress
from silverprint.workflows.generative import ship
from silverprint.workflows.latent import (
    interpolate,
    plane,
    random_codes,
    sample,
    walk,
    write_sheet,
)
from silverprint.workflows.run_folders import hold_run
from silverprint.workflows.vae import Measuring, make_vae, measure, write_vae
from silverprint.workflows.vae_page import _flat

SMALL = VaeSettings(latent=2, network="mlp", widths=(16,), epochs=2, batch_size=32, device="cpu")
QUICK = Measuring(samples=3, pictures=10)
CLASSES = ("dark", "middle", "bright")


def shades(count: int = 90) -> Dataset:
    chance = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pixels = chance.integers(0, 60, (count, 16, 16)) + 80 * labels[:, None, None]
    names = [f"{number}.png" for number in range(count)]
    splits = np.repeat([0, 1, 2], [count - 30, 15, 15]).astype(np.int8)
    return Dataset("shades", CLASSES, list(pixels.astype(np.uint8)), names, labels, splits)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("vae")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SILVERPRINT_CACHE", str(root / "cache"))
        for name, settings in (
            ("plain", SMALL),
            ("told", replace(SMALL, conditional=True, latent=4, prior="flow")),
        ):
            make_vae(shades(), root / name, settings, Progress(quiet=True), measuring=QUICK)
        assert not list((root / "cache" / "runs").iterdir())
    return {name: root / name for name in ("plain", "told")}


def test_the_bundle_tells_what_was_measured_and_how(bundles: dict[str, Path]) -> None:
    told = read_generative(bundles["plain"], ["vae"]).manifest
    found = told["metrics"]["test"]
    assert found["negative_elbo"] == pytest.approx(found["reconstruction"] + found["divergence"])
    assert (found["pictures"], found["nll_pictures"], found["samples"]) == (15, 10, 3)
    assert found["units"] == 2
    assert told["agreement"] < 1e-4
    assert told["network"]["likelihood"] == "bernoulli"
    assert told["classes"] == []
    lines = (bundles["plain"] / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    page = (bundles["plain"] / "report.html").read_text()
    for words in ("Made from chance", "In and out", "numbers of a code tell pictures apart",
                  "The decoder over the whole plane", "Divergence from the prior"):  # fmt: skip
        assert words in page
    assert "middle" in page
    page = (bundles["told"] / "report.html").read_text()
    assert "The decoder over the whole plane" not in page
    assert "nobody&#x27;s picture. Of each class in turn: dark, middle, bright." in page
    assert "that of another, in the class of the first, keeping" in page


def test_pictures_of_a_class_are_made_when_it_is_told(bundles, tmp_path) -> None:
    made = sample(bundles["told"], tmp_path / "all.png", count=7)
    assert made.classes == ("dark", "middle", "bright", "dark", "middle", "bright", "dark")
    sample(bundles["told"], tmp_path / "bright", count=12, class_name="bright")
    files = sorted((tmp_path / "bright").iterdir())
    assert [file.name for file in files[:2]] == ["0000.png", "0001.png"]
    assert len(files) == 12
    with Image.open(files[0]) as picture:
        assert picture.size == (16, 16)


def test_samples_are_their_seeds_however_many(bundles, tmp_path) -> None:
    for name, count, seed in (("a", 2, 0), ("b", 5, 0), ("c", 2, 1)):
        sample(bundles["plain"], tmp_path / name, count=count, seed=seed)
    read = [(tmp_path / name / "0001.png").read_bytes() for name in "abc"]
    assert read[0] == read[1] != read[2]
    sample(bundles["plain"], tmp_path / "cold", count=3, temperature=0)
    assert len({file.read_bytes() for file in (tmp_path / "cold").iterdir()}) == 1


def test_a_gan_is_served_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    maker = nn.Sequential(nn.Linear(3, 768), nn.Sigmoid(), nn.Unflatten(1, (3, 16, 16)))

    run, gan = hold_run(["gan"], [b"1"]), tmp_path / "gan"
    export_part(maker, {"codes": torch.randn(3, 3)}, ("pictures",), run / DECODER)
    ship(gan, run, "gan", maker.state_dict(), "<p>", {"metrics": {}})
    assert sample(gan, tmp_path / "sheet.png", count=5).classes == ()
    assert walk(gan, tmp_path / "walk.png", steps=4, walks=2)["pictures"] == 8
    with pytest.raises(BundleError, match="holds a gan; what is asked here needs a vae"):
        walk(gan, tmp_path / "walk.png", between=("a.png", "b.png"))
    with pytest.raises(BundleError, match=r"has no encoder\.onnx: a gan only makes pictures"):
        read_generative(gan).encode(np.zeros((1, 3, 16, 16), np.float32))


def test_walks(bundles, tmp_path) -> None:
    plain, out = bundles["plain"], tmp_path / "walk.png"
    assert walk(plain, out, steps=5, walks=3) == {
        "sheet": str(out), "walk": "spherical between random codes", "pictures": 15,
    }  # fmt: skip
    assert walk(plain, out, grid=True, steps=6)["pictures"] == 36
    ends = []
    for shade in (30, 220):
        ends.append(str(tmp_path / f"{shade}.png"))
        Image.new("L", (20, 16), shade).save(ends[-1])
    told = walk(plain, out, between=(ends[0], ends[1]), way="linear", steps=4)
    assert told["walk"] == "linear between two pictures"
    with pytest.raises(ConfigError, match=r"--class must be one of dark, .*; none was given"):
        walk(bundles["told"], out, between=(ends[0], ends[1]))
    found = walk(bundles["told"], out, between=(ends[0], ends[1]), class_name="dark")
    assert found["pictures"] == 12


def test_walks_between_random_codes_are_of_each_class_in_turn(bundles, tmp_path) -> None:
    def rows(class_name: str | None) -> list[np.ndarray]:
        walk(bundles["told"], tmp_path / "w.png", walks=3, steps=2, class_name=class_name)
        whole = np.asarray(Image.open(tmp_path / "w.png"))
        return np.split(whole[: len(whole) // 3 * 3], 3)

    own = [rows(name) for name in CLASSES]
    for number, row in enumerate(rows(None)):
        np.testing.assert_array_equal(row, own[number][number])
    assert not np.array_equal(own[0][0], own[1][0])


def test_single_files_are_what_the_decoder_makes(bundles, tmp_path) -> None:
    sample(bundles["told"], tmp_path / "many", count=70, seed=3)
    bundle = read_generative(bundles["told"])
    codes, labels = random_codes(bundle, 70, 3), np.arange(70) % 3
    for number in (0, 63, 64, 69):
        expected = bundle.decode(codes[number : number + 1], labels[number : number + 1])
        with Image.open(tmp_path / "many" / f"{number:04}.png") as picture:
            found = np.asarray(picture)[..., 0]
        np.testing.assert_allclose(found, 255 * expected[0, 0], atol=0.51)


def test_a_full_disk_costs_no_sheet_that_was_there(bundles, tmp_path, monkeypatch) -> None:
    sample(bundles["plain"], tmp_path / "a.png", count=4)
    before = (tmp_path / "a.png").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ConfigError, match="cannot be written: no space left on device"):
        sample(bundles["plain"], tmp_path / "a.png", count=5)
    assert (tmp_path / "a.png").read_bytes() == before
    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(ConfigError, match="folder cannot be written: no space left on device"):
        sample(bundles["plain"], tmp_path / "folder", count=5)
    assert not list((tmp_path / "folder").iterdir())


def test_a_stopped_call_can_be_made_again(bundles, tmp_path, monkeypatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            sample(bundles["plain"], tmp_path / "folder", count=5)
    sample(bundles["plain"], tmp_path / "folder", count=5)
    assert len(list((tmp_path / "folder").iterdir())) == 5


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_a_sheet_that_its_kind_cannot_hold_is_told(tmp_path, ending) -> None:
    many = [np.zeros((1000, 1, 16, 16), np.float32)]
    with pytest.raises(ConfigError, match=r"64 x \d\d,\d+ pixels are more than (JPEG|WEBP) files"):
        write_sheet(many, tmp_path / f"sheet.{ending}", 1)
    assert not list(tmp_path.iterdir())


def test_a_spherical_walk_keeps_its_length_and_ends_where_it_should() -> None:
    chance = np.random.default_rng(0)
    begin, end = chance.standard_normal((2, 3, 8)).astype(np.float32)
    for way in ("spherical", "linear"):
        path = interpolate(begin, end, 5, way).reshape(3, 5, 8)  # type: ignore[arg-type]
        np.testing.assert_allclose(path[:, 0], begin, atol=1e-6)
        np.testing.assert_allclose(path[:, -1], end, atol=1e-6)
    lengths = np.linalg.norm(interpolate(begin, end, 5, "spherical").reshape(3, 5, 8), axis=2)
    between = np.linalg.norm(begin, axis=1), np.linalg.norm(end, axis=1)
    np.testing.assert_allclose(lengths[:, 2], (between[0] + between[1]) / 2, rtol=1e-5)
    np.testing.assert_allclose(interpolate(begin, begin, 3, "spherical")[1], begin[0], atol=1e-5)


def test_a_plane_holds_equal_shares_and_grows_right_and_up() -> None:
    codes = plane(5).reshape(5, 5, 2)
    assert (np.diff(codes[:, :, 0], axis=1) > 0).all()
    assert (np.diff(codes[:, :, 1], axis=0) < 0).all()
    np.testing.assert_allclose(codes[2, 2], 0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"class_name": "brigt"}, "--class must be one of dark, middle, bright; got 'brigt'. Did"),
        ({"temperature": -1}, r"--temperature must lie within 0\.\.10; got -1"),
        ({"count": 0}, r"--n must lie within 1\.\.4096 for a sheet, and 1\.\.1000000 for a folder"),
        ({"count": "5"}, "; got '5'"),
        ({"seed": -1}, r"--seed must lie within 0\.\.2147483647; got -1"),
        ({"out": "."}, "exists already; remove it, or give another name"),
        ({"out": "a.gif"}, "name a sheet that ends with .png"),
        ({"out": "no/where.png"}, "there is no such folder"),
    ],
)
def test_what_cannot_be_sampled(bundles, tmp_path, change, words) -> None:
    (tmp_path / "0000.png").write_bytes(b"not ours")
    out = tmp_path / change.pop("out", "sheet.png")
    with pytest.raises(ConfigError, match=words):
        sample(bundles["told"], out, **change)


def test_a_class_that_looks_like_a_number_may_be_one(bundles, tmp_path) -> None:
    with pytest.raises(ConfigError, match="--class must be one of dark, middle, bright; got '7'"):
        sample(bundles["told"], tmp_path / "a.png", class_name=7)  # type: ignore[arg-type]


def test_codes_and_labels_that_do_not_fit_are_told(bundles) -> None:
    told, codes = read_generative(bundles["told"]), np.zeros((2, 4), np.float32)
    for given, labels, words in (
        (np.zeros((2, 3)), [0, 1], r"codes must have the shape \(n, 4\); got \(2, 3\)"),
        (np.zeros((0, 4)), [], r"codes must have the shape \(n, 4\); got \(0, 4\)"),
        (codes, None, r"is told the class: give a label of 0\.\.2 for each of 2; got none"),
        (codes, [0, 3], r"got \[0 3\]"),
        (codes, [0.0, 1.0], r"got \[0\. 1\.\]"),
    ):
        with pytest.raises(ConfigError, match=words):
            told.decode(given, labels)  # type: ignore[arg-type]
    assert told.decode(codes.tolist(), [0, 2]).shape == (2, 1, 16, 16)  # type: ignore[arg-type]


def test_a_missing_bundle_says_which_verbs_make_one(tmp_path) -> None:
    with pytest.raises(BundleError, match="does not exist; `silverprint generate` and"):
        sample(tmp_path / "none", tmp_path / "a.png")


def test_what_cannot_be_walked(bundles, tmp_path) -> None:
    out = tmp_path / "walk.png"
    for change, words in (
        ({"grid": True}, "codes of .* have 4 numbers, not 2; train with --latent 2"),
        ({"grid": True, "between": ("a", "b")}, "give one"),
        ({"between": ("a",)}, "--between takes two pictures; got 1"),
        ({"steps": 1}, r"--steps must lie within 2\.\.64"),
        ({"way": "sferical"}, "--way must be one of spherical, linear; got 'sferical'. Did"),
    ):
        with pytest.raises(ConfigError, match=words):
            walk(bundles["told"], out, **change)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="was not told classes when it learned"):
        walk(bundles["plain"], out, class_name="dark")
    with pytest.raises(ConfigError, match=r"name a sheet that ends with \.png"):
        walk(bundles["plain"], tmp_path / "folder")


def test_a_handful_of_pictures_is_enough(tmp_path: Path) -> None:
    settings = replace(SMALL, latent=1, epochs=1)
    made = make_vae(shades(36), tmp_path / "out", settings, Progress(quiet=True), measuring=QUICK)
    few = replace(made.material, test=PixelData(made.material.test.pixels[:1],
                                                made.material.test.targets[:1]))  # fmt: skip
    again = measure(few, settings, made.trained, QUICK, Progress(quiet=True))
    write_vae(again, tmp_path / "few", tmp_path / "out", Progress(quiet=True), "")
    found = read_generative(tmp_path / "few").manifest["metrics"]["test"]
    assert (found["pictures"], found["nll_error"], found["active_units"]) == (1, 0.0, 0)


def test_a_single_picture_has_its_codes_drawn_in_any_number_of_dimensions() -> None:
    for width in (1, 2, 5):
        points, _ = _flat(np.ones((1, width), np.float32))
        assert points.shape == (1, 2)


def test_no_classes_no_conditions(tmp_path: Path) -> None:
    loose = replace(shades(), classes=("only",), labels=np.zeros(90, np.int64))
    with pytest.raises(ConfigError, match="shades has no classes to be told apart"):
        make_vae(loose, tmp_path / "out", replace(SMALL, conditional=True), Progress(quiet=True))
    with pytest.raises(ConfigError, match="--importance-samples must lie within"):
        Measuring(samples=0)
