"""A character model, from a text to the folder that writes."""

import json
import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from silverprint.data.text import Text, read_text
from silverprint.errors import BundleError, ConfigError
from silverprint.models.char_lstm import CharLSTM
from silverprint.recipes.char_lm import evaluate
from silverprint.recipes.char_lm_settings import TextSettings
from silverprint.runtime.bundle import read_bundle
from silverprint.runtime.text import read_text_model, side_by_side
from silverprint.training.fabric import start_fabric
from silverprint.training.progress import Progress
from silverprint.workflows.write import _passages, train_text_model

CONTENT = "".join(f"Night {n}: <b>é😀</b> & the moon\n" for n in range(400))
TEXT = Text("moon.txt", CONTENT, round(0.9 * len(CONTENT)))
SETTINGS = TextSettings(width=16, epochs=2, batch_size=8, length=64, device="cpu")


@pytest.fixture(autouse=True)
def ready() -> None:
    """These tests need no trained bundle."""


@pytest.fixture(scope="module")
def made(
    tmp_path_factory,
):
    folder = tmp_path_factory.mktemp("moon")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SILVERPRINT_CACHE", str(folder / "cache"))
        run = train_text_model(TEXT, folder / "moon", SETTINGS, Progress(quiet=True))
        assert not list((folder / "cache" / "runs").glob("*"))
    return folder / "moon", run


def test_what_is_shipped_is_what_was_judged(made) -> None:
    folder, run = made
    assert sorted(path.name for path in folder.iterdir()) == [
        "bundle.json", "metrics.jsonl", "report.html", "step.onnx", "weights.safetensors",
    ]  # fmt: skip
    told = json.loads((folder / "bundle.json").read_text("utf-8"))
    assert told["task"] == "text"
    assert told["characters"] == "".join(sorted(set(CONTENT)))
    assert told["settings"]["width"] == 16
    assert told["parity"] == run.parity < 1e-5
    measures = told["metrics"]["validation"]
    model = read_text_model(folder)
    assert measures["nats"] == pytest.approx(model.nats(TEXT.validation), abs=1e-9)
    assert measures["perplexity"] == pytest.approx(math.exp(measures["nats"]))
    assert measures["n"] == len(TEXT.validation) - 1
    assert repr(model) == f"<TextModel of {len(set(CONTENT))} characters: 2 x 16 units>"
    best = run.fitted.curves["validation loss"][run.fitted.best_epoch - 1]
    assert measures["nats"] == pytest.approx(best, abs=0.01)  # that one may be of bf16


def test_the_weights_are_those_of_the_file(made) -> None:
    folder, _ = made
    network = CharLSTM(len(TEXT.characters), width=16)
    network.load_state_dict(load_file(folder / "weights.safetensors"))
    laid_out = tuple(map(torch.from_numpy, side_by_side(TEXT.places(CONTENT[:900]))))
    nats = evaluate(network, laid_out, start_fabric("cpu", "f32"))
    assert nats == pytest.approx(read_text_model(folder).nats(CONTENT[:900]), abs=1e-5)


def test_the_page_shows_curves_and_what_it_writes(made) -> None:
    folder, run = made
    page = (folder / "report.html").read_text("utf-8")
    assert "validation loss" in page
    for words in ("temperature 0.5", "temperature 0.8", "temperature 1, top p 0.9"):
        assert words in page
    assert all(len(passage.text) == 500 for passage in run.passages)
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert f"{run.measures['nats']:.3f}" in page
    assert "different ones among them, in 2 epochs; the other" in page
    assert "<dt>Cell penalty</dt>" in page
    assert [one.prime for one in run.passages] == ["Night 361: <b>é😀</b> & the moon"] * 4


def test_it_is_no_classifier(made) -> None:
    with pytest.raises(BundleError, match=r"holds no classifier \(text\); `silverprint write`"):
        read_bundle(made[0])


def test_a_place_that_is_taken_is_told_before_any_work(tmp_path) -> None:
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(ConfigError, match="is a folder with other files in it"):
        train_text_model(TEXT, tmp_path, SETTINGS, Progress(quiet=True))


def test_many_characters_are_embedded(tmp_path) -> None:
    content = "".join(chr(0x4E00 + n * n % 300) for n in range(3000))
    settings = replace(SETTINGS, epochs=1, length=32)
    text = Text("han.txt", content, 2700)
    run = train_text_model(text, tmp_path / "han", settings, Progress(quiet=True))
    assert run.fitted.network.embedding is None  # these are few
    settings = replace(settings, embedding=6)
    run = train_text_model(text, tmp_path / "han", settings, Progress(quiet=True))
    assert run.fitted.network.embedding is not None
    assert len(read_text_model(tmp_path / "han").sample(content[:5], 20)) == 20


@pytest.mark.slow
@pytest.mark.shared
def test_a_novel(shared_data, tmp_path) -> None:
    text = read_text(shared_data / "text" / "anna.txt")
    assert (len(text.content), len(text.characters)) == (1_985_223, 83)
    settings = TextSettings(width=96, layers=1, epochs=1, learning_rate=0.01)
    run = train_text_model(text, tmp_path / "anna", settings, Progress(quiet=True))
    assert run.measures["nats"] < 2.3  # its letters alone, without order, need 3.1
    words = set(text.content.lower().split())
    written = run.passages[0].text.lower().split()
    assert sum(word in words for word in written) > 0.3 * len(written)


@pytest.mark.parametrize(
    ("held", "prime"),
    [("lf a word\n\nA whole line.\nMore.", "A whole line."), ("lf a word", "a word"), ("\n", "")],
)
def test_it_writes_on_from_whole_words(held, prime) -> None:
    class Parrot:
        def sample(self, prime, *_given) -> str:
            return prime

    text = Text("a.txt", f"ha{held}", 2)
    assert {one.prime for one in _passages(Parrot(), text, 0)} == {prime}
