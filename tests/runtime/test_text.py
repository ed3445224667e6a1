from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from silverprint.errors import ConfigError
from silverprint.models.char_lstm import CharLSTM
from silverprint.runtime.text import Taste, TextModel, run_up, side_by_side

CHARACTERS = "\nabcdefgh"


class Session:
    """Answers as ONNX Runtime would, by torch."""

    def __init__(self, network: CharLSTM) -> None:
        self.network = network

    def get_inputs(self):
        shape = [len(self.network.layers), "n", self.network.width]
        return [type("Input", (), {"shape": shape})] * 3

    @torch.no_grad()
    def run(self, names, given):
        assert names == ("logits", "hidden_after", "cell_after")
        places, hidden, cell = (
            torch.from_numpy(given[k]) for k in ("characters", "hidden", "cell")
        )
        logits, memory = self.network(places[None], (hidden, cell))
        return [logits[0].numpy(), *(part.numpy() for part in memory)]


@pytest.fixture
def model() -> TextModel:
    torch.manual_seed(0)
    network = CharLSTM(len(CHARACTERS), width=16)
    for parameter in network.parameters():
        parameter.data.mul_(2)  # so that it has a taste
    return TextModel(Session(network.eval()), CHARACTERS, {})


def likelihood(model: TextModel, text: str) -> float:
    """The mean loss, read from the beginning to the end."""
    places = torch.tensor([CHARACTERS.index(letter) for letter in text])
    with torch.no_grad():
        network = model._session.network
        logits, _ = network(places[:-1, None], network.nothing(1))
    return torch.nn.functional.cross_entropy(logits[:, 0].double(), places[1:]).item()


@pytest.mark.parametrize("length", [2, 3, 250, 257, 258, 900])
def test_a_text_is_judged_as_if_read_from_the_beginning(model, length) -> None:
    random = np.random.default_rng(length)
    text = "".join(random.choice(list(CHARACTERS), length))
    assert model.nats(text) == pytest.approx(likelihood(model, text), abs=1e-5)


@given(st.integers(2, 40_000))
@settings(max_examples=60)
def test_every_character_but_the_first_counts_once_with_its_run_up(length) -> None:
    given_, expected, counted = side_by_side(np.arange(length))
    assert sorted(expected[counted]) == list(range(1, length))
    assert (expected[counted] == given_[counted] + 1).all()
    start = run_up(counted)
    assert not counted[:start].any()
    readers = given_.shape[1]
    assert start == (256 if readers > 1 else 0)
    assert readers <= 64
    for reader in range(1, readers):  # each has read just what stands before its part
        first = given_[start, reader]
        assert given_[:start, reader].tolist() == list(range(first - 256, first))


def test_the_same_seed_writes_the_same(model) -> None:
    wild = Taste(1.0)
    once = model.sample("abba", 80, wild, seed=4)
    assert once == model.sample("abba", 80, wild, seed=4)
    assert once != model.sample("abba", 80, wild, seed=5)
    assert len(once) == 80
    assert set(once) <= set(CHARACTERS)
    assert model.sample("abba", 30, wild, seed=4) == once[:30]
    assert model.sample("ab\r\nba", 9) == model.sample("ab\nba", 9)
    assert model.sample("", 40, wild) == model.sample("\n", 40, wild)
    assert model.sample("a", 20, Taste(0), 1) == model.sample("a", 20, Taste(5, top_k=1), 2)


def test_what_it_wrote_is_what_it_found_likely(model) -> None:
    careful, wild = (model.sample("a", 100, Taste(t), seed=1) for t in (0.2, 3.0))
    assert model.nats("a" + careful) < model.nats("a" + wild)


def test_drawing_follows_the_probabilities() -> None:
    logits, random = np.log(np.float32([0.1, 0.6, 0.05, 0.25])), np.random.default_rng(0)

    def shares(taste):
        seen = Counter(taste.draw(logits, random) for _ in range(5_000))
        return [seen[place] / 5_000 for place in range(4)]

    squared = np.square([0.1, 0.6, 0.05, 0.25])
    for taste, expected in (
        (Taste(1), [0.1, 0.6, 0.05, 0.25]),
        (Taste(0.5), squared / squared.sum()),
        (Taste(1, top_k=2), [0, 0.6 / 0.85, 0, 0.25 / 0.85]),
        (Taste(1, top_p=0.59), [0, 1, 0, 0]),
        (Taste(1, top_p=0.8), [0, 0.6 / 0.85, 0, 0.25 / 0.85]),
        (Taste(1, top_p=0.9), [0.1 / 0.95, 0.6 / 0.95, 0, 0.25 / 0.95]),
        (Taste(1, top_k=3, top_p=0.8), [0, 0.6 / 0.85, 0, 0.25 / 0.85]),
        (Taste(0), [0, 1, 0, 0]),
    ):
        np.testing.assert_allclose(shares(taste), expected, atol=0.03)


@example([3e4, -3e4], 5e-324, 0, 1.0, 0)
@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=90),
    st.floats(0, 100), st.integers(0, 100), st.floats(1e-6, 1), st.integers(0, 9),
)  # fmt: skip
def test_whatever_the_logits_a_place_is_drawn(logits, temperature, top_k, top_p, seed) -> None:
    given_ = np.array(logits, np.float32)
    place = Taste(temperature, top_k, top_p).draw(given_, np.random.default_rng(seed))
    assert 0 <= place < len(logits)
    if top_k:
        assert (given_ > given_[place]).sum() < top_k


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"temperature": -0.1}, r"temperature must lie within 0\.\.100; got -0\.1"),
        ({"temperature": float("nan")}, "temperature must lie within"),
        ({"top_k": -1}, "top_k must lie within 0 and up; got -1"),
        ({"top_p": 0.0}, r"top_p must lie within 0\.\.1, 0 excluded; got 0\.0"),
    ],
)
def test_tastes_out_of_range(given_, words) -> None:
    with pytest.raises(ConfigError, match=words):
        Taste(**given_)


def test_what_it_cannot_write_on_from(model) -> None:
    with pytest.raises(ConfigError, match=r"the model never saw 'z' \(U\+007A"):
        model.stream("abz", 5, Taste(), 0)  # before anything is written
    with pytest.raises(ConfigError, match="length must lie within"):
        model.sample("a", 0)
    with pytest.raises(ConfigError, match="seed must lie within"):
        model.sample("a", 5, seed=-1)
    with pytest.raises(ConfigError, match="the text's length must lie within 2 and up; got 1"):
        model.nats("a")
