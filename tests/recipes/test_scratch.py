"""Training from scratch: it learns, it can be stopped anywhere, and one seed gives one result."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from silverprint.errors import ConfigError
from silverprint.recipes.scratch import ScratchSettings, train_from_scratch
from silverprint.training import run_state
from silverprint.training.journal import read_journal
from silverprint.training.pixels import PixelData
from silverprint.training.run_state import BEST, LAST

SIZE = 16
SMALL = ScratchSettings(
    model="mlp", widths=(16,), epochs=3, batch_size=32, learning_rate=0.01, device="cpu",
    dropout=0.3,
)  # fmt: skip


def bars(count: int = 192, channels: int = 1, seed: int = 0, classes: int = 3) -> PixelData:
    """Pictures of a bright bar on noise; where it lies is the class."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 90, (count, channels, SIZE, SIZE), dtype=np.uint8)
    targets = np.arange(count) % classes
    for picture, label in zip(pixels, targets, strict=True):
        picture[:, 5 * label : 5 * label + 3] += 120
    return PixelData(pixels, targets.astype(np.int64))


def trained(folder: Path, settings: ScratchSettings = SMALL, **options):
    train, validation = bars(), bars(60, seed=1)
    return train_from_scratch(train, validation, 3, "softmax", settings, folder, **options)


def weights_of(fitted) -> dict[str, torch.Tensor]:
    return fitted.network.state_dict()


def same(first, second) -> bool:
    ours, theirs = weights_of(first), weights_of(second)
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def accuracy(fitted, data: PixelData) -> float:
    with torch.no_grad():
        features = fitted.network(torch.from_numpy(data.pixels)).numpy()
    return float((fitted.head.logits(features).argmax(axis=1) == data.targets).mean())


# ---- It learns ----


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        replace(SMALL, model="cnn", widths=(4, 8), augment="digits"),
        replace(SMALL, model="resnet", widths=(8,), augment="none", precision="bf16"),
        replace(SMALL, optimiser="sgd", learning_rate=0.05, batch_norm=True),
    ],
    ids=["mlp", "cnn", "resnet in bf16", "sgd and batch norm"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_it_learns(tmp_path, settings, channels) -> None:
    settings = replace(settings, epochs=6)
    train, held = bars(channels=channels), bars(60, channels, seed=1)
    fitted = train_from_scratch(train, held, 3, "softmax", settings, tmp_path)
    assert accuracy(fitted, bars(60, channels, seed=2)) > 0.95
    assert fitted.epochs == 6
    assert 1 <= fitted.best_epoch <= 6
    assert not fitted.network.training
    assert not any(parameter.requires_grad for parameter in fitted.network.parameters())
    assert fitted.metric == "validation accuracy"
    names = ["training loss", "training accuracy", "validation loss", "validation accuracy"]
    assert list(fitted.curves) == names
    assert all(len(values) == 6 for values in fitted.curves.values())
    assert fitted.curves["validation loss"][-1] < fitted.curves["validation loss"][0]


def test_two_classes_with_one_logit(tmp_path) -> None:
    def with_one_logit(data: PixelData) -> PixelData:
        return PixelData(data.pixels, data.targets[:, None].astype(np.float32))

    train, held = (with_one_logit(bars(96, seed=seed, classes=2)) for seed in (0, 1))
    settings = replace(SMALL, epochs=4, augment="strong", model="cnn", widths=(4, 4))
    settings = replace(settings, augment="none")
    fitted = train_from_scratch(train, held, 1, "sigmoid", settings, tmp_path)
    assert fitted.head.output_weight.shape[0] == 1
    assert fitted.curves["validation accuracy"][fitted.best_epoch - 1] > 0.95


def test_several_labels_and_mixed_pictures(tmp_path) -> None:
    def both(data: PixelData) -> PixelData:
        labels = np.stack([data.targets == 0, data.targets != 2], axis=1)
        return PixelData(data.pixels, labels.astype(np.float32))

    settings = replace(SMALL, epochs=6, augment="strong")
    fitted = train_from_scratch(
        both(bars(channels=3)), both(bars(60, 3, 1)), 2, "sigmoid", settings, tmp_path
    )
    assert fitted.curves["training loss"][-1] < fitted.curves["training loss"][0]


def test_mixing_takes_hard_labels(tmp_path) -> None:
    fitted = trained(tmp_path, replace(SMALL, augment="strong", epochs=8, dropout=0.0))
    assert fitted.curves["validation loss"][-1] < fitted.curves["validation loss"][0]


def test_overfitting_shows_in_the_curves(tmp_path) -> None:
    """Labels that mean nothing can be learned by heart, and the curves say so."""
    train, held = bars(64), bars(64, seed=1)
    generator = np.random.default_rng(0)
    for data in (train, held):
        data.targets[:] = generator.permutation(data.targets)
    settings = replace(SMALL, epochs=40, widths=(64,), dropout=0.0, label_smoothing=0.0)
    curves = train_from_scratch(train, held, 3, "softmax", settings, tmp_path).curves
    assert curves["training accuracy"][-1] > 0.9
    assert curves["validation accuracy"][-1] < 0.6
    assert curves["validation loss"][-1] > 2 * curves["training loss"][-1]


# ---- What ships ----


def test_the_best_epoch_ships(tmp_path) -> None:
    settings = replace(SMALL, learning_rate=0.3, schedule="constant", average=False, epochs=6)
    held = bars(60, seed=1)
    fitted = train_from_scratch(bars(), held, 3, "softmax", settings, tmp_path)
    best = fitted.curves["validation accuracy"][fitted.best_epoch - 1]
    assert best == max(fitted.curves["validation accuracy"])
    assert accuracy(fitted, held) == pytest.approx(best)


def test_without_validation_the_last_epoch_ships(tmp_path) -> None:
    fitted = train_from_scratch(bars(), None, 3, "softmax", SMALL, tmp_path)
    assert (fitted.metric, fitted.best_epoch) == ("last epoch", 3)
    assert list(fitted.curves) == ["training loss", "training accuracy"]


def test_patience_ends_it(tmp_path) -> None:
    settings = replace(SMALL, epochs=50, patience=2, metric="validation accuracy")
    fitted = trained(tmp_path, settings)
    assert fitted.epochs == fitted.best_epoch + 2 < 50


def test_zeros_learn_nothing(tmp_path) -> None:
    fitted = trained(tmp_path, replace(SMALL, initialisation="zeros"))
    assert fitted.curves["validation accuracy"][-1] == pytest.approx(1 / 3)


def test_l1_makes_weights_small_and_clipping_bounds_the_step(tmp_path) -> None:
    def size(name, **options) -> float:
        settings = replace(SMALL, optimiser="sgd", learning_rate=0.1, weight_decay=0.0, **options)
        fitted = trained(tmp_path / name, settings)
        return float(fitted.network.trunk[1].weight.abs().mean())

    plain = size("plain")
    assert size("l1", l1=0.01) < 0.7 * plain
    beginning = size("clip", clip=1e-9)
    assert beginning == pytest.approx(size("clip again", clip=1e-12), rel=1e-4)


def test_weights_of_classes_change_what_is_learned(tmp_path) -> None:
    data = bars(96)
    rare = PixelData(data.pixels[:70], np.where(np.arange(70) < 60, 0, data.targets[:70]))

    def loss(name, wish) -> float:
        settings = replace(SMALL, class_weights=wish, epochs=1, average=False)
        fitted = train_from_scratch(rare, None, 3, "softmax", settings, tmp_path / name)
        return fitted.curves["training loss"][0]

    assert loss("auto", "auto") == loss("balanced", "balanced") != loss("none", "none")


# ---- One seed, one result ----


def test_one_seed_one_result_and_the_callers_generator_is_left_alone(tmp_path) -> None:
    torch.manual_seed(1)
    first = trained(tmp_path / "a", replace(SMALL, augment="digits"))
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == drawn
    torch.manual_seed(2)
    assert same(first, trained(tmp_path / "b", replace(SMALL, augment="digits")))
    assert not same(first, trained(tmp_path / "c", replace(SMALL, augment="digits", seed=1)))


def test_parts_of_a_batch_add_up_to_the_whole(tmp_path) -> None:
    settings = replace(SMALL, dropout=0.0, augment="digits", model="cnn", batch_norm=False)
    whole = trained(tmp_path / "whole", replace(settings, widths=(4,)))
    parts = trained(tmp_path / "parts", replace(settings, widths=(4,), accumulate=5))
    for name, values in whole.curves.items():
        assert parts.curves[name] == pytest.approx(values, rel=1e-3)


# ---- Stopped and taken up ----


class StoppedError(Exception):
    """Stands for whatever ends the process."""


@pytest.mark.parametrize("at", [1, 5, 6, 7, 11, 17])
@pytest.mark.parametrize(
    "settings",
    [
        replace(SMALL, augment="digits"),
        replace(SMALL, model="cnn", widths=(4, 4), augment="strong", accumulate=2),
    ],
    ids=["mlp", "cnn"],
)
def test_stopped_anywhere_it_ends_the_same(tmp_path, monkeypatch, at, settings) -> None:
    """Six steps an epoch; a checkpoint after every step."""
    undisturbed = trained(tmp_path / "a", settings)
    monkeypatch.setattr(run_state, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    steps = 0
    update = run_state.WeightAverage.update

    def stop(self) -> None:
        nonlocal steps
        steps += 1
        if steps == at:
            raise StoppedError
        update(self)

    monkeypatch.setattr(run_state.WeightAverage, "update", stop)
    with pytest.raises(StoppedError):
        trained(tmp_path / "b", settings)
    resumed = trained(tmp_path / "b", settings)
    assert steps == 18 + 1  # nothing but the step that was stopped is made again
    assert same(undisturbed, resumed)
    assert resumed.curves == undisturbed.curves
    assert resumed.resumed == (at - 1) // 6
    assert [line["epoch"] for line in read_journal(tmp_path / "b")] == [1, 2, 3]


def test_a_finished_run_is_not_trained_again(tmp_path) -> None:
    first = trained(tmp_path)
    before = (tmp_path / LAST).stat().st_mtime_ns
    again = trained(tmp_path)
    assert same(first, again)
    assert again.resumed == again.epochs == 3
    assert (tmp_path / LAST).stat().st_mtime_ns == before


def test_a_folder_of_another_run_is_refused(tmp_path) -> None:
    trained(tmp_path)
    with pytest.raises(ConfigError, match=r"belongs to a run with learning_rate 0\.01, not 0\.02"):
        trained(tmp_path, replace(SMALL, learning_rate=0.02))


PROGRAM = """
    import sys
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    sys.path.insert(0, {folder!r})
    from test_scratch import SMALL, replace, trained
    settings = replace(SMALL, epochs=40, augment="digits")
    trained(Path(sys.argv[1]), settings)
    print("finished")
"""


def program(*arguments: str) -> list[str]:
    code = textwrap.dedent(PROGRAM.format(folder=str(Path(__file__).parent)))
    return [sys.executable, "-c", code, *arguments]


@pytest.mark.slow
def test_killed_it_ends_the_same(tmp_path) -> None:
    undisturbed = trained(tmp_path / "a", replace(SMALL, epochs=40, augment="digits"))
    folder = tmp_path / "b"
    killed = 0
    for after in (3, 17, 31):
        with subprocess.Popen(program(str(folder)), stdout=subprocess.PIPE) as child:
            while child.poll() is None and len(read_journal(folder)) < after:
                pass
            child.send_signal(signal.SIGKILL)
            child.wait()
            killed += child.returncode == -signal.SIGKILL
    assert killed >= 1
    resumed = trained(folder, replace(SMALL, epochs=40, augment="digits"))
    assert resumed.resumed >= 3
    assert same(undisturbed, resumed)
    assert resumed.curves == undisturbed.curves


# ---- Two processes ----

IN_TWO = """
    import sys
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    sys.path.insert(0, {folder!r})
    from test_scratch import in_parts, trained
    trained(Path(sys.argv[1]), in_parts())
"""


def in_parts() -> ScratchSettings:
    return replace(SMALL, dropout=0.0, augment="digits", average=True, epochs=3)


def test_two_processes_have_the_loss_curve_of_one(tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(IN_TWO.format(folder=str(Path(__file__).parent))))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
        "--nproc-per-node", "2", str(script), str(tmp_path / "two"),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one = trained(tmp_path / "one", in_parts())
    alone, together = read_journal(tmp_path / "one"), read_journal(tmp_path / "two")
    assert len(together) == 3
    for name in ("loss in the loop", "training loss", "validation loss", "validation accuracy"):
        expected = [line[name] for line in alone]
        assert [line[name] for line in together] == pytest.approx(expected, rel=1e-4), name
    assert (tmp_path / "two" / BEST).exists()
    assert len(one.curves["training loss"]) == 3


# ---- Progress and errors ----


def test_progress_counts_every_picture_and_says_how_it_goes(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("silverprint.training.ticker.SECONDS_BETWEEN_NOTES", 0.0)
    told = []

    def advance(count: int, note: str = "") -> None:
        told.append((count, note))

    trained(tmp_path, advance=advance)
    assert sum(count for count, _ in told) == 3 * 192
    pattern = r"epoch 2/3, loss \d\.\d{4}, training accuracy [01]\.\d{4}, validation accuracy [01]"
    assert any(re.match(pattern, note) for _, note in told)


def test_the_journal_has_what_the_loop_knows(tmp_path) -> None:
    trained(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert set(lines[0]) >= {"loss in the loop", "learning rate", "seconds", "pictures per second"}
    assert lines[2]["learning rate"] < lines[1]["learning rate"]


def test_a_loss_that_is_no_number_stops_it(tmp_path) -> None:
    settings = replace(SMALL, optimiser="sgd", learning_rate=100.0, schedule="constant", warm_up=0)
    settings = replace(settings, widths=(16, 16, 16, 16), epochs=20, dropout=0.0)
    message = (
        r"loss became (nan|inf) at step \d of 6 in epoch \d+, with a learning rate of 100; try"
    )
    with pytest.raises(ConfigError, match=message):
        trained(tmp_path, settings)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model", "mpl", r"model must be one of mlp, cnn, resnet; got 'mpl'\. Did you mean 'mlp'"),
        ("preset", "two", r"preset of mlp must be one of two-layer, three-layer; got 'two'\."),
        ("epochs", 0, r"epochs must lie within 1\.\.100000; got 0\."),
        ("epochs", 1.5, r"epochs must lie within 1\.\.100000; got 1\.5\."),
        ("batch_size", True, r"batch_size must lie within .*; got True\."),
        ("learning_rate", 0, r"learning_rate must lie within 0\.\.100, 0 excluded; got 0\."),
        ("learning_rate", "0.1", r"learning_rate must lie within .*; got '0\.1'\."),
        ("learning_rate", float("nan"), r"learning_rate must lie within .*; got nan\."),
        ("dropout", 1.0, r"dropout must lie within 0\.\.0\.99; got 1\.0\."),
        ("widths", (8, 0), r"widths must lie within 1\.\.65536; got 0\."),
        ("augment", "digit", r"policy must be one of .*; got 'digit'\. Did you mean 'digits'"),
        ("initialisation", "hey", r"initialisation must be one of .*; got 'hey'\. Did you mean"),
        ("optimiser", "adam", r"optimiser must be one of adamw, sgd; got 'adam'\. Did you mean"),
        ("metric", "accuracy", r"metric must be one of validation loss, validation accuracy; got"),
        ("clip", 0.0, r"clip must lie within 0\.\.1000000, 0 excluded; got 0\.0\."),
        ("patience", 0, r"patience must lie within 1\.\.100000; got 0\."),
        ("device", "gpu", r"device must be one of auto, cpu, cuda, mps; got 'gpu'\."),
        ("seed", -1, r"seed must lie within 0\.\.2147483647; got -1\."),
    ],
)
def test_settings_are_checked(field, value, message) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **{field: value})


def test_a_device_that_is_not_there_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device 'mps' is not to be found here; use auto or cpu"):
        trained(tmp_path, replace(SMALL, device="mps"))


def test_widths_from_a_list_are_a_tuple() -> None:
    assert ScratchSettings(widths=[4, 8]).widths == (4, 8)
