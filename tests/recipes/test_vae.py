"""Training a variational autoencoder: it learns, keeps its terms apart, and can be stopped."""

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from silverprint.errors import ConfigError
from silverprint.models.vae import Terms
from silverprint.recipes.vae import TrainedVae, VaeSettings, drawn, losses_of, train_vae
from silverprint.training import run_state
from silverprint.training.journal import read_journal
from silverprint.training.pixels import PixelData

SMALL = VaeSettings(
    latent=2, network="mlp", widths=(32,), epochs=3, batch_size=32, device="cpu",
    learning_rate=5e-3,
)  # fmt: skip


def bars(count: int, seed: int = 0, channels: int = 1) -> PixelData:
    """Return pictures of one bright bar each, upright or lying."""
    chance = np.random.default_rng(seed)
    pixels = np.full((count, channels, 16, 16), 20, np.uint8)
    labels = np.arange(count) % 2
    for row, label in enumerate(labels):
        place = chance.integers(2, 12)
        pixels[row].swapaxes(1, 2)[:, place : place + 3] = 230 if label else 20
        pixels[row, :, place : place + 3] = pixels[row, :, place : place + 3] if label else 230
    return PixelData(pixels, labels)


def trained(folder: Path, settings: VaeSettings = SMALL, channels: int = 1) -> TrainedVae:
    return train_vae(
        bars(160, channels=channels), bars(40, seed=1, channels=channels), settings, folder,
        classes=2,
    )  # fmt: skip


def same(one: TrainedVae, other: TrainedVae) -> bool:
    pair = one.network.state_dict(), other.network.state_dict()
    return all(torch.equal(pair[0][name], pair[1][name]) for name in pair[0])


@pytest.mark.parametrize(
    "changes",
    [{}, {"prior": "flow"}, {"samples": 3}, {"conditional": True}, {"likelihood": "gaussian"},
     {"network": "cnn", "widths": (4, 8), "blocks": 1, "epochs": 4}],
    ids=str,
)  # fmt: skip
def test_it_learns_and_both_terms_add_up(tmp_path: Path, changes: dict[str, object]) -> None:
    settings = replace(SMALL, epochs=12)
    found = trained(tmp_path, replace(settings, **changes))  # type: ignore[arg-type]
    losses = found.curves["validation loss"]
    assert losses[-1] < losses[0] - 5
    parts = zip(found.curves["validation reconstruction"], found.curves["validation divergence"],
                strict=True)  # fmt: skip
    assert losses == pytest.approx([sum(pair) for pair in parts])
    assert found.best_epoch == int(np.argmin(losses)) + 1
    assert [line["epoch"] for line in read_journal(tmp_path)] == list(range(1, len(losses) + 1))


def test_colour_takes_a_gaussian_likelihood_by_itself(tmp_path: Path) -> None:
    assert trained(tmp_path, channels=3).network.shape.likelihood == "gaussian"


def test_pixels_are_drawn_anew_in_training_but_once_for_judging(tmp_path: Path) -> None:
    found = trained(tmp_path)
    one, _ = drawn(found.network, bars(40), 0)
    again, _ = drawn(found.network, bars(40), 0)
    other, _ = drawn(found.network, bars(40), 1)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert set(one.unique().tolist()) == {0.0, 1.0}
    assert one.mean() == pytest.approx(bars(40).pixels.mean() / 255, abs=0.01)


class StoppedError(Exception):
    """Stands for whatever ends the process."""


@pytest.mark.parametrize("at", [1, 4, 5, 6, 13])
@pytest.mark.parametrize(
    "settings",
    [SMALL, replace(SMALL, prior="flow", samples=2),
     replace(SMALL, network="cnn", widths=(4,), conditional=True)],
    ids=["mlp", "flow", "cnn"],
)  # fmt: skip
def test_stopped_anywhere_it_ends_the_same(tmp_path, monkeypatch, at, settings) -> None:
    """Five steps an epoch; a checkpoint after every step."""
    undisturbed = trained(tmp_path / "a", settings)
    monkeypatch.setattr(run_state, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    steps, update = 0, run_state.WeightAverage.update

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
    assert steps == 15 + 1  # nothing but the step that was stopped is made again
    assert same(undisturbed, resumed)
    assert resumed.curves == undisturbed.curves
    assert resumed.resumed == (at - 1) // 5


IN_TWO = """
    import sys
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    sys.path.insert(0, {folder!r})
    from test_vae import SMALL, trained
    trained(Path(sys.argv[1]), SMALL)
"""


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(tmp_path: Path) -> None:
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
    trained(tmp_path / "one")
    alone, together = (
        [line["loss in the loop"] for line in read_journal(tmp_path / name)]
        for name in ("one", "two")
    )
    assert together == pytest.approx(alone, rel=1e-4)
    assert len(together) == 3


def test_a_loss_that_is_no_number_stops_it(tmp_path: Path, monkeypatch) -> None:
    factors = iter([1.0, float("nan"), *[1.0] * 20])
    monkeypatch.setattr(
        "silverprint.recipes.vae.losses_of", lambda *given: losses_of(*given) * next(factors)
    )
    with pytest.raises(ConfigError, match="the loss became nan at step 2 of 5 in epoch 1"):
        trained(tmp_path)


def test_free_bits_are_paid_for_even_where_less_is_told() -> None:
    units = torch.tensor([[0.1, 2.0], [0.3, 4.0]])
    terms = Terms(torch.zeros(1, 2), torch.zeros(1, 2), units)
    assert losses_of(terms).tolist() == pytest.approx([2.1, 4.3])
    assert losses_of(terms, beta=2.0).tolist() == pytest.approx([4.2, 8.6])
    assert losses_of(terms, free_bits=0.5).tolist() == pytest.approx([2.5, 4.5])


def test_several_samples_make_the_importance_weighted_bound() -> None:
    terms = Terms(torch.tensor([[3.0], [1.0]]), torch.zeros(2, 1), torch.zeros(1, 1))
    expected = -np.log((np.exp(-3) + np.exp(-1)) / 2)
    assert losses_of(terms).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"latent": 0}, r"latent must lie within 1\.\.4096; got 0"),
        ({"network": "cnnn"}, "network must be one of cnn, mlp; got 'cnnn'. Did you mean 'cnn'?"),
        ({"prior": "flow", "free_bits": 0.1}, "which a flow prior mixes"),
        ({"prior": "flow", "latent": 1}, "a flow prior needs latent of at least 2"),
        ({"samples": 5, "beta": 2.0}, "has no terms to weigh"),
        ({"widths": (0,)}, "widths must lie within"),
    ],
)
def test_settings_that_will_not_do(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(SMALL, **changes)  # type: ignore[arg-type]
