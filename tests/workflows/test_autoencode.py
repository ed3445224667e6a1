"""An autoencoder from pictures to bundle, measured by what ships, and used without torch."""

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from silverprint.data.table import Dataset
from silverprint.errors import BundleError, ConfigError, DataError
from silverprint.models.autoencoders import build_autoencoder
from silverprint.recipes.autoencoder import AutoencoderSettings
from silverprint.runtime.generative import GenerativeBundle, read_generative
from silverprint.training.progress import Progress
from silverprint.workflows import autoencode as workflow
from silverprint.workflows.autoencode import autoencode
from silverprint.workflows.principal import fit_principal, mean_square
from silverprint.workflows.reconstruct import reconstruct

SIDE = 16
LINEAR = AutoencoderSettings(kind="linear", code_size=3, epochs=30, batch_size=16, device="cpu")
SMALL = AutoencoderSettings(
    code_size=4, widths=(4, 8), epochs=2, batch_size=32, device="cpu", precision="f32"
)


def spots(count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    centre = generator.uniform(3, SIDE - 4, (count, 2, 1, 1))
    far = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2
    return (255 * np.exp(-far / 12)).astype(np.uint8)


def dataset(test: int = 24) -> Dataset:
    pixels = spots(120 + test)
    splits = np.repeat([0, 2], [120, test]).astype(np.int8)
    names = [f"{number}.png" for number in range(len(pixels))]
    return Dataset("spots", ("spot",), list(pixels), names, np.zeros(len(pixels), int), splits)


def made(out: Path, settings: AutoencoderSettings = SMALL, **options):
    return autoencode(dataset(), out, settings, Progress(quiet=True), **options)


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("denoiser")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SILVERPRINT_CACHE", str(root / "cache"))
        made(root / "bundle", replace(SMALL, noise="gaussian", strength=0.3))
    return root / "bundle"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, pixels in enumerate(spots(3, seed=5)):
        Image.fromarray(pixels).resize((48, 32)).save(folder / f"{number}.png")
    return folder


def test_the_figures_are_those_of_the_files_that_ship(tmp_path) -> None:
    found = made(tmp_path / "bundle")
    bundle = read_generative(tmp_path / "bundle", ["autoencoder"])
    assert bundle.manifest["metrics"] == found.metrics
    assert bundle.code_size == 4
    test = spots(144)[120:, None].astype(np.float32) / 255
    again = bundle.decode(bundle.encode(test))
    assert again.shape == (24, 1, SIDE, SIDE)
    figures = found.metrics["test"]
    assert figures["error"] == pytest.approx(mean_square(again, test), rel=1e-5)
    assert figures["pictures"] == 24
    assert set(found.metrics) == {"validation", "test"}
    names = {f"{number}.png" for number in range(120, 144)}
    assert {name for name, _ in found.worst} <= names
    values = [value for _, value in found.worst]
    assert values == sorted(values)


def test_a_linear_one_is_compared_with_pca_before_the_cut(tmp_path) -> None:
    found = made(tmp_path / "bundle", LINEAR)
    figures = found.metrics["test"]
    assert figures["error_uncut"] == pytest.approx(figures["pca_error_uncut"], rel=0.03)
    assert figures["error"] <= figures["error_uncut"]
    assert found.measured.same_k in (2, 3, 4)
    assert found.summary().startswith("256 values become 3 numbers and come back with a mean")


def test_a_denoiser_is_measured_under_noise(tmp_path) -> None:
    settings = replace(SMALL, noise="masking", strength=0.5, epochs=4)
    found = made(tmp_path / "bundle", settings)
    figures = found.metrics["test"]
    gained = figures["psnr"] - figures["noisy_psnr"]
    assert figures["psnr_gained"] == pytest.approx(gained)
    assert "under masking noise of strength 0.5" in found.summary()
    assert found.measured.same_k is None


def test_the_report_shows_rows_curves_and_pca(tmp_path) -> None:
    made(tmp_path / "bundle", replace(SMALL, noise="gaussian"), command="silverprint <generate>")
    page = (tmp_path / "bundle" / "report.html").read_text("utf-8")
    assert page.count('src="data:image/png;base64,') == 3
    for words in ("originals, under noise, made again", "PSNR gained", "Against PCA",
                  "validation loss", "silverprint &lt;generate&gt;",
                  ">4,8<"):  # fmt: skip
        assert words in page
    assert ">None<" not in page
    assert "<script" not in page


def test_a_stopped_run_is_taken_up_by_the_same_command(tmp_path, monkeypatch) -> None:
    whole = made(tmp_path / "whole", replace(SMALL, epochs=3), fresh=True)
    train = workflow.train_autoencoder

    class Stopped(Exception):  # noqa: N818
        pass

    def stopping(pictures, validation, settings, folder, advance):  # noqa: ARG001
        def stop(count: int, note: str = "") -> None:  # noqa: ARG001
            if (folder / "best.safetensors").exists():
                raise Stopped

        return train(pictures, validation, settings, folder, advance=stop)

    monkeypatch.setattr(workflow, "train_autoencoder", stopping)
    with pytest.raises(Stopped):
        made(tmp_path / "stopped", replace(SMALL, epochs=3))
    monkeypatch.setattr(workflow, "train_autoencoder", train)
    again = made(tmp_path / "stopped", replace(SMALL, epochs=3))
    assert again.fitted.resumed == 1
    assert again.metrics == whole.metrics


@pytest.mark.parametrize(
    ("settings", "options", "told"),
    [
        (SMALL, {"size": 200}, "takes pictures of 16 to 128 pixels; got 200"),
        (replace(SMALL, widths=(4,) * 4), {}, "16 pixels can be halved 3 times"),
        (replace(LINEAR, code_size=256), {}, "less than the 256 numbers of a picture"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(tmp_path, settings, options, told) -> None:
    with pytest.raises(ConfigError, match=told):
        made(tmp_path / "bundle", settings, **options)
    assert not (tmp_path / "bundle").exists()


def test_a_folder_with_other_things_is_not_written_into(tmp_path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="is a folder with other files in it"):
        made(tmp_path)


@pytest.mark.parametrize(
    ("kind", "enlarging"),
    [("linear", "nearest"), ("transposed", "nearest"), ("upsampling", "nearest"),
     ("upsampling", "bilinear")],
)  # fmt: skip
@pytest.mark.parametrize("side", [16, 27])
def test_every_kind_ships_as_it_is(tmp_path, kind, enlarging, side) -> None:
    widths = () if kind == "linear" else (4, 8)
    network = build_autoencoder(
        kind, torch.full((3, side, side), 0.4), 5, widths=widths, enlarging=enlarging
    ).eval()
    assert workflow.write_parts(network, tmp_path) < 1e-4
    bundle = GenerativeBundle(tmp_path, {})
    pictures = torch.rand(70, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network.decode(network.encode(pictures)).clamp(0, 1).numpy()
    made = bundle.decode(bundle.encode(pictures.numpy()))
    np.testing.assert_allclose(made, expected, atol=1e-4)


# ---- PCA ----


def test_principal_axes_are_the_best_and_found_by_doubling_back() -> None:
    pictures = spots(100)[:, None]
    values = pictures.reshape(100, -1).astype(np.float32) / 255
    principal = fit_principal(pictures, 20)
    singular = np.linalg.svd(values - values.mean(axis=0), compute_uv=False)
    expected = (singular[5:] ** 2).sum() / values.size
    assert mean_square(principal.again(values, 5), values) == pytest.approx(expected, rel=1e-3)
    errors = {k: principal.error(values, values, k) for k in range(1, 21)}
    for k in (1, 7, 20):
        assert principal.enough(values, errors[k]) == k
    assert principal.enough(values, errors[20] / 2) is None


# ---- reconstruct ----


def test_pictures_of_any_size_come_back_on_a_sheet(denoiser, files, tmp_path) -> None:
    found = reconstruct(denoiser, [str(files)], tmp_path / "sheet.png", noise="gaussian",
                        strength=0.3)  # fmt: skip
    assert [Path(name).name for name in found.names] == ["0.png", "1.png", "2.png"]
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    side = 4 * SIDE
    assert sheet.shape == (3 * side + 2 * 2, 3 * side + 2 * 2, 3)
    told = found.to_json()
    assert told["noisy_psnr"] == pytest.approx(np.mean(found.noisy_psnr), abs=1e-3)
    assert len(told["pictures"]) == 3
    assert told["refused"] == []


def test_a_picture_is_prepared_as_in_training(denoiser, files) -> None:
    bundle = read_generative(denoiser)
    picture = bundle.read(files / "0.png")
    assert picture.shape == (1, SIDE, SIDE)
    middle = Image.open(files / "0.png").crop((8, 0, 40, 32))
    expected = np.asarray(middle.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) / 255
    np.testing.assert_allclose(picture[0], expected, atol=1.01 / 255)


def test_a_picture_that_cannot_be_read_is_told_and_the_others_are_made(
    denoiser, files, tmp_path
) -> None:
    (files / "broken.png").write_bytes(b"no picture")
    found = reconstruct(denoiser, [str(files)], tmp_path / "sheet.png")
    assert len(found.names) == 3
    assert [Path(file).name for file, _ in found.refused] == ["broken.png"]
    with pytest.raises(DataError, match=r"no picture in .*broken\.png can be read"):
        reconstruct(denoiser, [str(files / "broken.png")], tmp_path / "other.png")
    assert not (tmp_path / "other.png").exists()


@pytest.mark.parametrize(
    ("options", "out", "told"),
    [
        ({}, "sheet.txt", r"name a sheet that ends with \.png"),
        ({}, "missing/sheet.png", "there is no such folder"),
        ({"noise": "snow"}, "sheet.png", "noise must be one of"),
        ({"columns": 0}, "sheet.png", r"--columns must lie within 1\.\.4096; got 0"),
        ({"label": "spot"}, "sheet.png", "was not told classes .* so --label spot cannot be asked"),
    ],
)
def test_wishes_that_cannot_be_met_are_told(denoiser, files, tmp_path, options, out, told) -> None:
    with pytest.raises(ConfigError, match=told):
        reconstruct(denoiser, [str(files)], tmp_path / out, **options)


def test_more_than_a_sheet_holds_are_not_read(denoiser, files, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("silverprint.workflows.reconstruct.MOST_ON_A_SHEET", 2)
    with pytest.raises(ConfigError, match="has 3 pictures, and a sheet holds at most 2; name few"):
        reconstruct(denoiser, files, tmp_path / "sheet.png")


def test_a_bundle_without_its_preparation_says_so(denoiser, files, tmp_path) -> None:
    import json
    import shutil

    shutil.copytree(denoiser, tmp_path / "old")
    manifest = json.loads((tmp_path / "old" / "bundle.json").read_text("utf-8"))
    del manifest["files"]["preprocess.onnx"]
    (tmp_path / "old" / "bundle.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(BundleError, match=r"preprocess\.onnx"):
        reconstruct(tmp_path / "old", [str(files)], tmp_path / "sheet.png")


def test_reconstruct_needs_no_torch(denoiser, files, tmp_path) -> None:
    program = textwrap.dedent("""
        import sys
        for name in ("torch", "onnx", "openvino", "sklearn"):
            sys.modules[name] = None
        from silverprint.cli.app import run
        sys.exit(run(sys.argv[1:]))
    """)
    command = ["generate", "reconstruct", denoiser, files, "--out", tmp_path / "s.png", "--json"]
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, command)], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "s.png").exists()
