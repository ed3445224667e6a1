"""A real network prepared once a worker, and a made-up one that costs nothing."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from silverprint.backbones.engines import Engine, batch_of
from silverprint.backbones.prepare import PreparedBackbone, prepare_backbone
from silverprint.backbones.registry import BackboneChoice, choose_backbone

SIZE = 64


@pytest.fixture(scope="session")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> PreparedBackbone:
    """EfficientNet-Lite0 for 64 pixels. Tests must not change its folder."""
    cache = tmp_path_factory.getbasetemp() / "prepared"
    return prepare_backbone(choose_backbone(), cache, SIZE, notify=lambda _: None)


@pytest.fixture
def made_up(tmp_path: Path) -> PreparedBackbone:
    """A network of 12 features for 16 pixels that has no files."""
    folder = tmp_path / "made-up-16-v1-0123456789abcdef"
    folder.mkdir()
    (folder / "weights").write_bytes(b"")
    choice = BackboneChoice("made-up", "made-up", "file", folder / "weights", "none")
    return PreparedBackbone(
        choice=choice, folder=folder, features=12, size=16, mean=(0.5,) * 3, std=(0.5,) * 3,
        crop=1.0, parameters=0, classifier=False,
    )  # fmt: skip


class CountingEngine(Engine):
    """Its features are the means of four bands of each channel; it remembers what it was given."""

    def __init__(self, name: str = "torch-cpu") -> None:
        self.name = name
        self.batch = batch_of(name)
        self.seen: list[np.ndarray] = []
        self.lock = threading.Lock()
        self.calls = 0
        self.on_call: Callable[[], object] = lambda: None

    def features(self, pixels: np.ndarray) -> np.ndarray:
        assert pixels.dtype == np.uint8
        assert 1 <= len(pixels) <= self.batch
        with self.lock:
            self.calls += 1
            self.on_call()
            self.seen.extend(pixels)
        return features_of(pixels)


def features_of(pixels: np.ndarray) -> np.ndarray:
    bands = pixels.reshape(len(pixels), 3, 4, -1).astype(np.float32)
    return bands.mean(axis=3).reshape(len(pixels), 12)


@pytest.fixture(params=["torch-cpu", "onnxruntime-f32"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> CountingEngine:
    """Stand in for every engine: for one that runs in the caller's thread, and one in many."""
    stand_in = CountingEngine(request.param)
    monkeypatch.setattr("silverprint.backbones.look.make_engine", lambda *_: stand_in)
    monkeypatch.setattr("silverprint.backbones.look.verify_engine", lambda *_: None)
    return stand_in
