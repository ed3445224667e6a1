"""A character model learns, can be stopped anywhere, and one seed gives one result."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from silverprint.data.text import Text
from silverprint.errors import ConfigError, DataError
from silverprint.models.char_lstm import CharLSTM
from silverprint.recipes.char_lm import Lesson, Reader, train_char_lm
from silverprint.recipes.char_lm_settings import TextSettings
from silverprint.training import run_state
from silverprint.training.fabric import start_fabric

SMALL = TextSettings(
    width=16, layers=2, dropout=0.1, epochs=3, batch_size=4, length=29, learning_rate=0.02,
    precision="f32", device="cpu",
)  # fmt: skip


def song(verses: int = 20) -> Text:
    """Counts down, over and over: after enough of it there is next to nothing to guess."""
    content = "".join(f"{n % 10} green bottles on the wall.\n" for n in range(10 * verses, 0, -1))
    return Text("song.txt", content, round(0.9 * len(content)))


def same(one, two) -> bool:
    pairs = zip(one.network.state_dict().values(), two.network.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_it_learns_a_song(tmp_path) -> None:
    ticks = []
    settings = replace(SMALL, layers=1, epochs=6, width=32, batch_size=8)
    found = train_char_lm(
        song(), settings, tmp_path, advance=lambda count, note="": ticks.append((count, note))
    )
    losses = found.curves["validation loss"]
    assert losses[-1] < 0.3
    assert losses[-1] < 0.5 * losses[0]
    assert found.curves["validation perplexity"] == [
        pytest.approx(np.exp(loss)) for loss in found.curves["validation loss"]
    ]
    assert found.best_epoch == 1 + int(np.argmin(found.curves["validation loss"]))
    assert not found.network.training
    # Every character is told but the first of all and what eight equal strips leave over.
    assert 0 < 6 * song().cut - sum(count for count, _ in ticks) <= 6 * 8
    assert "validation loss" in ticks[-1][1]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 6
    for name in ("training loss", "loss in the loop", "characters per second", "learning rate"):
        assert f'"{name}"' in lines[-1]


@pytest.mark.parametrize(
    "settings",
    [replace(SMALL, precision="bf16"), replace(SMALL, average=False, layers=1, embedding=8)],
    ids=["one-hot, bf16", "embedded, f32"],
)
@pytest.mark.parametrize("at", [2, 8, 12])
def test_stopped_anywhere_it_ends_the_same(tmp_path, monkeypatch, at, settings) -> None:
    """Seven steps an epoch; a checkpoint after every step."""
    text = song(3)
    undisturbed = train_char_lm(text, settings, tmp_path / "a")
    steps, clip = 0, torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(run_state, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)

    def stop(parameters, most):
        nonlocal steps
        steps += 1
        if steps == at:
            raise KeyboardInterrupt
        return clip(parameters, most)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", stop)
    with pytest.raises(KeyboardInterrupt):
        train_char_lm(text, settings, tmp_path / "b")
    resumed = train_char_lm(text, settings, tmp_path / "b")
    assert steps == 3 * 7 + 1  # nothing but the step that was stopped is made again
    assert same(undisturbed, resumed)
    assert resumed.curves == undisturbed.curves
    assert resumed.resumed == (at - 1) // 7


def test_the_seed_decides(tmp_path) -> None:
    text, settings = song(3), replace(SMALL, epochs=1)
    one = train_char_lm(text, settings, tmp_path / "a")
    before = torch.get_rng_state()
    assert same(one, train_char_lm(text, settings, tmp_path / "b"))
    assert torch.equal(torch.get_rng_state(), before)
    assert not same(one, train_char_lm(text, replace(settings, seed=1), tmp_path / "c"))


def test_what_it_remembers_is_carried_from_step_to_step() -> None:
    fabric = start_fabric("cpu", "f32")
    lesson = Lesson.of(song(3), SMALL, fabric)
    torch.manual_seed(0)
    reader = Reader(CharLSTM(len(song(3).characters), width=8), rows=4, chance=1.0).eval()
    given, expected = zip(*map(lesson.batch, range(lesson.steps)), strict=True)
    whole, _ = reader.network(torch.cat(given), reader.network.nothing(4))
    for _ in range(2):
        reader.forget()
        pieces = [reader(places)[0] for places in given]
        torch.testing.assert_close(torch.cat(pieces), whole)
    content = song(3).places(song(3).training)
    strips = torch.cat(given).T
    assert strips.flatten().tolist() == content[: strips.numel()].tolist()
    assert torch.cat(expected).T.flatten().tolist() == content[1 : strips.numel() + 1].tolist()


def test_now_and_then_a_strip_forgets_everything() -> None:
    torch.manual_seed(0)
    network = CharLSTM(5, width=8)
    places = torch.zeros(1, 400, dtype=torch.long)
    reader = Reader(network, rows=400, chance=0.25).train()
    reader.hidden, reader.cell = (part + 1 for part in network.nothing(400))
    fresh, _ = network(places, network.nothing(400))
    forgot = (reader(places)[0] - fresh).abs().amax((0, 2)) < 1e-6
    assert forgot.float().mean().item() == pytest.approx(0.25, abs=0.07)


def test_the_penalty_keeps_cells_small(tmp_path) -> None:
    sizes = []
    for penalty in (0.0, 1.0):
        settings = replace(SMALL, epochs=3, cell_penalty=penalty)
        found = train_char_lm(song(3), settings, tmp_path / str(penalty))
        places = torch.from_numpy(song(3).places(song(3).training))[:, None]
        _, (_, cell) = found.network(places, found.network.nothing(1))
        sizes.append(cell.square().mean().item())
    assert sizes[1] < 0.5 * sizes[0]


def test_patience_and_bf16(tmp_path) -> None:
    settings = replace(SMALL, epochs=50, patience=1, learning_rate=1e-9, precision="bf16")
    found = train_char_lm(song(3), replace(settings, average=False), tmp_path)
    assert found.epochs < 50
    assert found.network.last.weight.dtype == torch.float32


def test_a_checkpoint_of_another_run_is_refused(tmp_path) -> None:
    train_char_lm(song(3), replace(SMALL, epochs=1), tmp_path)
    with pytest.raises(ConfigError, match=r"belongs to a run with seed 0, not 1"):
        train_char_lm(song(3), replace(SMALL, epochs=1, seed=1), tmp_path)


def test_a_loss_that_is_no_number_stops_it(tmp_path, monkeypatch) -> None:
    def spoiled(self) -> None:
        self.last.bias.data.fill_(torch.nan)

    monkeypatch.setattr(CharLSTM, "_initialise", spoiled)
    words = r"the loss became nan at step \d+ of \d+ in epoch 1.* or --set clip=0\.1\."
    with pytest.raises(ConfigError, match=words):
        train_char_lm(song(3), SMALL, tmp_path)


@pytest.mark.parametrize("length", [5, 60])
def test_too_short(tmp_path, length) -> None:
    text = Text("haiku.txt", "ab" * length, round(1.8 * length))
    with pytest.raises(DataError) as caught:
        train_char_lm(text, SMALL, tmp_path)
    assert "haiku.txt is too short" in str(caught.value)
    assert "4 strips of 29 characters need 117 and 2; name a longer text" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"width": 0}, r"width must lie within 1\.\.16384; got 0"),
        ({"dropout": 1.0}, r"dropout must lie within 0\.\.0\.99; got 1\.0"),
        ({"held_out": 0.0}, r"held_out must lie within 0\.001\.\.0\.9"),
        ({"schedule": "cosin"}, "schedule must be one of .* Did you mean 'cosine'"),
        ({"average": 3}, "average must be true or false; got 3"),
        ({"length": 2.5}, "length must lie within"),
    ],
)
def test_settings_out_of_range(given, words) -> None:
    with pytest.raises(ConfigError, match=words):
        TextSettings(**given)
