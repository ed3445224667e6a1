import pytest
import torch
import torch.nn.functional as F
from torch import nn

from silverprint.models.char_lstm import CharLSTM, Step


def network(**options) -> CharLSTM:
    torch.manual_seed(3)
    return CharLSTM(7, **{"width": 6, **options}).eval()


PLACES = torch.tensor([[0, 1], [2, 3], [4, 5], [6, 0], [1, 1]])


@pytest.mark.parametrize("embedding", [0, 4])
def test_it_is_torchs_own_lstm(embedding) -> None:
    made = network(embedding=embedding)
    size = embedding or 32
    own = nn.LSTM(size, 6, 2)
    for layer, part in enumerate(made.layers):
        for name, value in part.named_parameters():
            getattr(own, name.replace("l0", f"l{layer}")).data.copy_(value)
    values = made.embedding(PLACES) if embedding else F.one_hot(PLACES, 32).float()
    expected, (hidden, cell) = own(values)
    logits, memory = made(PLACES, made.nothing(2))
    torch.testing.assert_close(logits, made.last(expected))
    torch.testing.assert_close(memory, (hidden, cell))


def test_reading_in_pieces_or_one_by_one_is_reading_at_once() -> None:
    made = network()
    whole, last = made(PLACES, made.nothing(2))
    first, memory = made(PLACES[:2], made.nothing(2))
    second, memory = made(PLACES[2:], memory)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(memory, last)
    step, hidden, cell = Step(made), *made.nothing(2)
    for row, places in enumerate(PLACES):
        logits, hidden, cell = step(places, hidden, cell)
        torch.testing.assert_close(logits, whole[row])


def test_every_weight_learns_and_the_forget_gates_begin_open() -> None:
    made = network(layers=3, embedding=5).train()
    logits, _ = made(PLACES, made.nothing(2))
    logits.square().sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    for layer in made.layers:
        assert (layer.bias_ih_l0 + layer.bias_hh_l0).tolist() == [0.0] * 6 + [1.0] * 6 + [0.0] * 12


def test_dropout_silences_the_same_units_at_all_steps_and_keeps_the_mean() -> None:
    made = network(width=2000, layers=1, dropout=0.25).train()
    made.last = nn.Identity()
    made.last.weight = torch.zeros(())
    torch.manual_seed(0)
    dropped, _ = made(PLACES, made.nothing(2))
    made.eval()
    whole, _ = made(PLACES, made.nothing(2))
    silent = dropped == 0
    assert (silent == silent[0]).all()
    assert not (silent[0, 0] == silent[0, 1]).all()
    assert silent.float().mean().item() == pytest.approx(0.25, abs=0.03)
    torch.testing.assert_close(dropped[~silent], whole[~silent] / 0.75)
