from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from silverprint.data.table import Dataset, Task
from silverprint.errors import BundleError, ConfigError, DataError
from silverprint.export.generative import export_part
from silverprint.recipes.vae_settings import VaeSettings
from silverprint.runtime.bundle import read_bundle
from silverprint.runtime.generative import DECODER, ENCODER, read_generative
from silverprint.training.journal import Journal
from silverprint.training.progress import Progress
from silverprint.workflows.generative import count_earlier, read_material, ship
from silverprint.workflows.run_folders import hold_run


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 16)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return self.layer(codes).sigmoid().reshape(-1, 1, 4, 4)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 3)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.layer(pictures.flatten(1))


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    encoder, decoder = Encoder(), Decoder()

    run = hold_run(["test"], [b"1"])
    export_part(encoder, {"pictures": torch.rand(3, 1, 4, 4)}, ("codes",), run / ENCODER)
    export_part(decoder, {"codes": torch.randn(3, 3)}, ("pictures",), run / DECODER)
    ship(tmp_path / "made", run, "autoencoder", decoder.state_dict(), "<p>", {"metrics": {}})
    assert not run.exists()
    return tmp_path / "made"


def test_what_is_shipped_encodes_and_decodes_any_number_of_pictures(shipped: Path) -> None:
    bundle = read_generative(shipped, ["autoencoder", "vae"])
    pictures = np.random.default_rng(0).random((130, 1, 4, 4), dtype=np.float32)
    codes = bundle.encode(pictures)
    assert codes.shape == (130, 3)
    assert bundle.code_size == 3
    assert not bundle.conditional
    again = bundle.decode(codes)
    assert again.shape == (130, 1, 4, 4)
    np.testing.assert_allclose(bundle.decode(codes[77:78])[0], again[77], atol=1e-6)


def test_a_bundle_of_another_kind_is_told(shipped: Path) -> None:
    with pytest.raises(BundleError, match="holds an autoencoder; what is asked here needs a gan"):
        read_generative(shipped, ["gan"])
    with pytest.raises(BundleError, match=r"holds no classifier \(autoencoder\); `silverprint gen"):
        read_bundle(shipped)
    (shipped / DECODER).write_bytes(b"?")
    with pytest.raises(BundleError, match="was changed or damaged"):
        read_generative(shipped)


def test_an_exported_part_that_disagrees_is_never_written(tmp_path: Path) -> None:
    class Fickle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return values * self.calls

    with pytest.raises(RuntimeError, match=r"part\.onnx differs from the network by"):
        export_part(Fickle(), {"values": torch.ones(2, 2)}, ("out",), tmp_path / "part.onnx")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_while_a_part_is_written() -> None:
    with pytest.raises(ConfigError, match="the cache /dev cannot be written: no space left on dev"):
        export_part(nn.Linear(3, 3), {"values": torch.ones(2, 3)}, ("out",), Path("/dev/full"))


def grey(count: int, task: Task = "single-label") -> Dataset:
    pixels = np.random.default_rng(0).integers(0, 255, (count, 12, 12)).astype(np.uint8)
    names = [str(number) for number in range(count)]
    labels, splits = np.arange(count) % 2, np.zeros(count, np.int8)
    return Dataset("grey", ("a", "b"), list(pixels), names, labels, splits, task=task)


def test_material_is_read_small_and_keeps_some_for_judging() -> None:
    found = read_material(grey(40), Progress(quiet=True))
    assert found.shape == (1, 16, 16)
    assert found.notices[-1] == "Pictures of 12 pixels are enlarged to 16."
    assert found.train.targets.dtype == np.int64
    assert (len(found.train), len(found.validation), len(found.test)) == (34, 6, 0)
    one, two = found.run_folder({"k": 1}), found.run_folder({"k": 2})
    assert one != two
    assert one == found.run_folder({"k": 1})


def test_few_steps_are_told_with_the_epochs_that_make_enough() -> None:
    found = read_material(grey(40), Progress(quiet=True))  # 34 to learn from
    found.tell_few_steps(VaeSettings(batch_size=10, epochs=75))
    assert "steps" not in found.notices[-1]
    found.tell_few_steps(VaeSettings(batch_size=10, epochs=2))
    assert found.notices[-1] == (
        "34 pictures and 2 epochs make 8 steps of training, which is little; --epochs 75 makes "
        "300. More pictures help more."
    )


def test_pictures_of_several_labels_are_refused() -> None:
    with pytest.raises(DataError, match="grey has several labels a picture"):
        read_material(grey(4, task="multi-label"), Progress(quiet=True))


def test_labels_that_are_not_needed_do_no_harm() -> None:
    several = replace(grey(8), labels=np.ones((8, 2), np.uint8), task="multi-label")
    found = read_material(several, Progress(quiet=True), labelled=False)
    assert found.told[0] == "Labels are left aside: there are several a picture."
    assert set(found.train.targets) == {0}
    of_own = replace(grey(8), classes=tuple("abcdefgh"), labels=np.arange(8))
    with pytest.raises(DataError, match="without leaving a class without any"):
        read_material(of_own, Progress(quiet=True))
    found = read_material(of_own, Progress(quiet=True), labelled=False)
    assert found.told[0].startswith("Labels are left aside: grey: of 8 train pictures none can")
    assert len(found.train) == 7


def test_one_picture_is_too_few() -> None:
    with pytest.raises(DataError, match="grey has 1 picture; at least 2 are needed, to learn from"):
        read_material(grey(1), Progress(quiet=True), labelled=False)


def test_the_time_of_a_stopped_run_is_counted(tmp_path: Path) -> None:
    journal, progress, notices = Journal(tmp_path), Progress(quiet=True), list[str]()
    for epoch in (1, 2, 3):
        journal.write(epoch, {"seconds": 10.0 * epoch})
    progress.seconds["train"] = 4.0
    count_earlier(progress, tmp_path, 0, notices)
    assert (progress.seconds["train"], notices) == (4.0, [])
    count_earlier(progress, tmp_path, 2, notices)
    assert progress.seconds["train"] == 34.0
    assert notices == [
        "A stopped run was taken up after epoch 2; the time of training is that of both, 30.0 s of "
        "it before."
    ]
