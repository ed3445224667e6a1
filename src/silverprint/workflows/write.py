"""Train a character model on a text, and write the folder it is used from."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from silverprint import __version__
from silverprint.data.conventions import counted
from silverprint.data.text import Text
from silverprint.export.bundle import check_output
from silverprint.export.generative import export_part
from silverprint.models.char_lstm import CharLSTM, Step
from silverprint.recipes.char_lm import FittedText, train_char_lm
from silverprint.recipes.char_lm_settings import TextSettings
from silverprint.reports.writing import Passage, Writing, writing_page
from silverprint.runtime.generative import STEP
from silverprint.runtime.text import INPUTS, OUTPUTS, Taste, TextModel
from silverprint.training.progress import Progress
from silverprint.workflows.generative import count_earlier, provenance, ship
from silverprint.workflows.run_folders import hold_run

TASTES = (Taste(0.5), Taste(0.8), Taste(1.0), Taste(1.0, top_p=0.9))
PASSAGE = 500  # characters
PRIME = 40  # most characters


@dataclass(frozen=True)
class Written:
    """A finished training.

    Attributes:
        fitted: what came of it.
        measures: of what was held out, by the file that ships.
        parity: largest difference of the file from the network.
        passages: what it writes.
        notices: what the user should know.
    """

    fitted: FittedText
    measures: dict[str, float]
    parity: float
    passages: list[Passage]
    notices: list[str]

    def summary(self) -> str:
        """Say the result in words."""
        measures = self.measures
        return (
            f"validation {measures['nats']:.4f} nats a character "
            f"(perplexity {measures['perplexity']:.3f}, {measures['n']:,} characters)"
        )


def train_text_model(
    text: Text, out: Path, settings: TextSettings, progress: Progress, *,
    fresh: bool = False, command: str = "",
) -> Written:  # fmt: skip
    """Train a character model and write its folder.

    Args:
        text: to learn from and to judge by.
        out: the folder; a model that was there is replaced once all is written.
        settings: how to train.
        progress: shows it.
        fresh: forget a stopped run of the same text and settings.
        command: for the page.

    Raises:
        DataError: the text is too short.
        ConfigError: a setting does not suit, or the folder cannot be written.
    """
    check_output(out)
    told = [__version__, "text", repr(settings), text.cut]
    folder = hold_run(told, (text.content.encode(),), fresh=fresh)
    notices: list[str] = []
    if text.left_out:
        notices.append(f"Left out: {text.left_out:,} characters of Project Gutenberg's own.")
    total = len(text.training) * settings.epochs
    with progress.stage("train", total, f"characters of {text.name}") as advance:
        fitted = train_char_lm(text, settings, folder, advance=advance)
    count_earlier(progress, folder, fitted.resumed, notices)
    with progress.stage("export"):
        parity = _export(fitted.network, folder / STEP)
        model = _opened(folder / STEP, text.characters)
    with progress.stage("evaluate"):
        nats = model.nats(text.validation)
    measures = {"nats": nats, "perplexity": math.exp(nats), "n": len(text.validation) - 1}
    with progress.stage("write"):
        passages = _passages(model, text, settings.seed)
        run = Written(fitted, measures, parity, passages, notices)

        ship(
            out, folder, "text", fitted.network.state_dict(),
            writing_page(_page(text, settings, run, progress.seconds, command)),
            _told(text, settings, run),
        )  # fmt: skip
    return run


def _export(network: CharLSTM, path: Path) -> float:
    """Write the network for one step; return its largest difference from the network itself."""
    with torch.no_grad():
        places = torch.arange(12).reshape(6, 2) % network.last.out_features
        _, memory = network(places, network.nothing(2))
    inputs = dict(zip(INPUTS, (places[0], *memory), strict=True))
    rows = dict.fromkeys((*INPUTS[1:], *OUTPUTS[1:]), 1)
    return export_part(Step(network), inputs, OUTPUTS, path, batch_axis=rows)


def _opened(path: Path, characters: str) -> TextModel:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return TextModel(session, characters, {})


def _passages(model: TextModel, text: Text, seed: int) -> list[Passage]:
    """Let it write on from the second line of what was held out, for the first is cut."""
    first, *others = text.validation.strip().split("\n")
    whole = first.partition(" ")[2] or first  # but for the word that may be cut
    line = next((other.strip() for other in others if other.strip()), whole)
    prime = line[:PRIME].rsplit(" ", 1)[0] if len(line) > PRIME else line
    return [
        Passage(_words(taste), prime, model.sample(prime, PASSAGE, taste, seed)) for taste in TASTES
    ]


def _words(taste: Taste) -> str:
    words = f"temperature {taste.temperature:g}"
    return words + (f", top p {taste.top_p:g}" if taste.top_p < 1 else "")


def _told(text: Text, settings: TextSettings, run: Written) -> dict[str, Any]:
    fitted = run.fitted
    return {
        "characters": text.characters,
        "text": {
            "name": text.name,
            "characters": len(text.content),
            "cut": text.cut,
            "left_out": text.left_out,
        },
        "settings": asdict(settings),
        "metrics": {"validation": run.measures},
        "parity": run.parity,
        "network": {
            "parameters": sum(p.numel() for p in fitted.network.parameters()),
            "best_epoch": fitted.best_epoch,
            "epochs": fitted.epochs,
            "curves": fitted.curves,
        },
    }


def _page(
    text: Text, settings: TextSettings, run: Written, seconds: Mapping[str, float], command: str
) -> Writing:
    fitted, measures = run.fitted, run.measures
    return Writing(
        title=text.name,
        summary=f"Learned to write from {text.cut:,} characters, {len(text.characters):,} "
        f"different ones among them, in {counted(fitted.epochs, 'epoch')}; the other "
        f"{len(text.validation):,} judged. The network of epoch {fitted.best_epoch} ships.",
        nats=measures["nats"],
        perplexity=measures["perplexity"],
        curves=fitted.curves,
        passages=run.passages,
        notices=run.notices,
        seconds=dict(seconds),
        provenance={
            **provenance(command, settings, {"weights": fitted.network}),
            "largest difference of the exported file": f"{run.parity:.1e}",
        },
    )
