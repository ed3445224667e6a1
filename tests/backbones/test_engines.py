"""Engines against torch in f32, on the real network."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from silverprint.backbones import engines as module
from silverprint.backbones import verify
from silverprint.backbones.engines import ENGINES, _has_bf16, engine_candidates, make_engine
from silverprint.backbones.look import look
from silverprint.backbones.prepare import PreparedBackbone
from silverprint.backbones.quantise import quantise
from silverprint.backbones.reading import PictureReader
from silverprint.backbones.verify import EngineRejectedError, mean_cosine, verify_engine
from silverprint.errors import BackboneError, ConfigError, MissingExtraError
from silverprint.runtime.paths import cache_folder
from silverprint.runtime.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def pixels(make_photos: Callable[..., Path], tmp_path_factory, lite0) -> np.ndarray:
    """(40, 3, 64, 64): more than one batch."""
    root = make_photos(tmp_path_factory.mktemp("photos"), {"a": 14, "b": 13, "c": 13})
    files = sorted(root.rglob("*.jpg"))
    reader = PictureReader(Preprocessing(size=lite0.size), files, [str(file) for file in files])
    return np.stack([reader.see(i, ()).pixels for i in range(len(files))])


@pytest.fixture(scope="module")
def reference(lite0, pixels) -> np.ndarray:
    engine = make_engine("torch-cpu", lite0)
    return np.concatenate([engine.features(pixels[:32]), engine.features(pixels[32:])])


@pytest.fixture
def own(lite0: PreparedBackbone, tmp_path: Path) -> PreparedBackbone:
    """The network in a folder that the test may change."""
    folder = tmp_path / lite0.folder.name
    shutil.copytree(lite0.folder, folder, ignore=shutil.ignore_patterns("verified.json", "*int8*"))
    return replace(lite0, folder=folder)


def in_batches(engine, pixels: np.ndarray) -> np.ndarray:
    step = engine.batch
    return np.concatenate(
        [engine.features(pixels[i : i + step]) for i in range(0, len(pixels), step)]
    )


def test_the_reference_is_finite_and_tells_pictures_apart(reference) -> None:
    assert reference.shape == (40, 1280)
    assert reference.dtype == np.float32
    assert np.isfinite(reference).all()
    assert reference.std(axis=0).max() > 0.1


@pytest.mark.parametrize(
    ("name", "floor"), [("openvino-f32", 0.999999), ("onnxruntime-f32", 0.999999)]
)
def test_an_exact_engine_computes_what_torch_computes(lite0, pixels, reference, name, floor):
    engine = make_engine(name, lite0)
    assert engine.name == name
    features = in_batches(engine, pixels)
    assert features.dtype == np.float32
    assert mean_cosine(features, reference) > floor
    np.testing.assert_allclose(features, reference, rtol=1e-3, atol=2e-3)


@pytest.mark.skipif(not _has_bf16(), reason="this processor has no bf16")
def test_bf16_is_near(lite0, pixels, reference) -> None:
    features = in_batches(make_engine("openvino-bf16", lite0), pixels)
    assert 0.99 < mean_cosine(features, reference) < 0.999999


@pytest.mark.parametrize("name", ["openvino-f32", "torch-cpu", "onnxruntime-f32"])
def test_a_picture_gets_the_same_features_in_any_batch(lite0, pixels, name) -> None:
    engine = make_engine(name, lite0)
    pixels = pixels[: engine.batch]
    full = engine.features(pixels)
    short = engine.features(pixels[:5])
    np.testing.assert_allclose(short, full[:5], rtol=1e-4, atol=1e-4)
    # The padding of the short batch must not stay behind.
    np.testing.assert_array_equal(engine.features(pixels), full)


def test_threads_may_share_an_engine(lite0, pixels) -> None:
    engine = make_engine("openvino-f32", lite0)
    parts = [pixels[i : i + 8] for i in range(0, 40, 8)] * 4
    expected = [engine.features(part) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        for found, alone in zip(pool.map(engine.features, parts), expected, strict=True):
            np.testing.assert_array_equal(found, alone)


def test_an_answer_is_not_overwritten_by_the_next(lite0, pixels) -> None:
    engine = make_engine("openvino-f32", lite0)
    first = engine.features(pixels[:8])
    copy = first.copy()
    engine.features(pixels[8:16])
    np.testing.assert_array_equal(first, copy)


# ---- int8 ----


def test_int8_is_near_enough_and_made_once(own, pixels, reference) -> None:
    quantise(own, pixels)
    assert own.int8_graph.stat().st_size < 0.4 * own.graph.stat().st_size
    operators = {node.op_type for node in onnx.load(own.int8_graph).graph.node}
    assert "QuantizeLinear" in operators
    for name in ("openvino-int8", "onnxruntime-int8"):
        cosine = mean_cosine(in_batches(make_engine(name, own), pixels), reference)
        assert 0.90 < cosine < 0.9999, name
    assert sorted(path.name for path in own.folder.iterdir()) == [
        "backbone-int8.onnx",
        "backbone.json",
        "backbone.onnx",
        "weights.safetensors",
    ]


def test_int8_is_calibrated_on_the_pictures_and_kept(own, pixels) -> None:
    sources = [picture.transpose(1, 2, 0) for picture in pixels[:12]]
    names = [str(i) for i in range(12)]
    options = {"cache": cache_folder(), "engine": "openvino-int8"}
    seen = look(own, Preprocessing(size=own.size), sources, names, **options)
    assert seen.engine == "openvino-int8"
    assert seen.looked == 12
    made = own.int8_graph.read_bytes()
    again = look(own, Preprocessing(size=own.size), sources, names, **options)
    assert again.looked == 0
    assert own.int8_graph.read_bytes() == made
    np.testing.assert_array_equal(again.features(), seen.features())


# ---- Verification ----


class Broken:
    name = "openvino-f32"
    batch = 32

    def features(self, pixels: np.ndarray) -> np.ndarray:
        return np.ones((len(pixels), 1280), np.float32)


def test_a_verified_engine_is_remembered(own, pixels, monkeypatch) -> None:
    engine = make_engine("openvino-f32", own)
    verify_engine(engine, own, lambda: pixels[:8])
    monkeypatch.setattr(verify, "make_engine", lambda *_: pytest.fail("torch ran again"))
    verify_engine(engine, own, lambda: pytest.fail("pictures were decoded again"))
    assert list(own.folder.glob("*.part")) == []


def test_a_wrong_engine_is_refused_and_may_be_right_on_other_pictures(own, pixels) -> None:
    for _ in range(2):
        with pytest.raises(EngineRejectedError, match=r"on the first 8 pictures .* below 0.999"):
            verify_engine(Broken(), own, lambda: pixels[:8])
    verify_engine(make_engine("openvino-f32", own), own, lambda: pixels[:8])


def test_a_damaged_record_is_as_none(own, pixels) -> None:
    (own.folder / "verified.json").write_text("{not json")
    verify_engine(make_engine("openvino-f32", own), own, lambda: pixels[:8])
    assert "openvino-f32" in (own.folder / "verified.json").read_text()


def test_the_cosine_of_what_is_not_finite_is_no_number() -> None:
    ours = np.ones((2, 3), np.float32)
    ours[1, 1] = np.inf
    with np.errstate(invalid="ignore"):
        assert not mean_cosine(ours, np.ones((2, 3), np.float32)) >= 0
    assert mean_cosine(np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)) == 0


def test_a_network_of_zeros_agrees_with_itself() -> None:
    features = np.zeros((2, 3), np.float32)
    assert mean_cosine(features, features.copy()) == 1
    features[0] = 5
    assert mean_cosine(features, features.copy()) == 1


# ---- Choosing ----


def test_candidates_are_best_first_and_end_with_the_reference(monkeypatch) -> None:
    for accelerator, bf16, expected in (
        (None, True, ["openvino-bf16", "openvino-f32", "torch-cpu"]),
        (None, False, ["openvino-f32", "torch-cpu"]),
        ("cuda", True, ["torch-cuda", "torch-cpu"]),
        ("mps", False, ["torch-mps", "torch-cpu"]),
    ):
        monkeypatch.setattr(module, "_accelerator", lambda a=accelerator: a)
        monkeypatch.setattr(module, "_has_bf16", lambda b=bf16: b)
        assert engine_candidates() == expected


def test_an_unknown_engine_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"got 'openvino-fp32'. Did you mean 'openvino-f32'\?"):
        engine_candidates("openvino-fp32")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openvino-bf16", "this processor has no bf16; use openvino-f32"),
        ("torch-cuda", "engine torch-cuda: torch finds no such device here"),
        ("torch-mps", "engine torch-mps: torch finds no such device here"),
    ],
)
def test_an_engine_that_this_machine_lacks_is_refused(monkeypatch, name, message) -> None:
    monkeypatch.setattr(module, "_accelerator", lambda: None)
    monkeypatch.setattr(module, "_has_bf16", lambda: False)
    with pytest.raises(ConfigError, match=message):
        engine_candidates(name)


def test_every_engine_that_needs_nothing_special_is_taken_as_asked() -> None:
    for name in ENGINES:
        if name in ("openvino-f32", "openvino-int8", "torch-cpu"):
            assert engine_candidates(name) == [name]


def test_a_library_that_is_missing_gives_the_pip_line(lite0, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        MissingExtraError, match=r"engine openvino-f32 needs .*silverprint\[train\]"
    ):
        make_engine("openvino-f32", lite0)


def test_an_engine_that_fails_alone_says_so(own, pixels, monkeypatch) -> None:
    monkeypatch.setattr("silverprint.backbones.look.make_engine", lambda *_: Broken())
    sources = [picture.transpose(1, 2, 0) for picture in pixels[:4]]
    with pytest.raises(BackboneError, match="no engine works for efficientnet-lite0"):
        look(
            own, Preprocessing(size=own.size), sources, list("abcd"),
            cache=cache_folder(), engine="openvino-f32",
        )  # fmt: skip


# ---- Telemetry ----


def test_openvino_reports_to_nobody(lite0) -> None:
    """In a process of its own, because the tests' own guard would hide a lapse."""
    code = """
import sys
from pathlib import Path
import numpy as np
from silverprint.backbones.engines import make_engine
from silverprint.backbones.prepare import prepare_backbone
from silverprint.backbones.registry import choose_backbone

prepared = prepare_backbone(choose_backbone(), Path(sys.argv[1]), 64, notify=sys.exit)
engine = make_engine("openvino-f32", prepared)
assert engine.features(np.zeros((1, 3, 64, 64), np.uint8)).shape == (1, 1280)
assert "openvino" in sys.modules
assert not any(sys.modules[name] for name in sys.modules if name.startswith("openvino_telemetry"))
assert "torch" not in sys.modules and "timm" not in sys.modules
"""
    root = lite0.folder.parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
