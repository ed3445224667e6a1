"""Fine-tuning against the plain loop: seconds an epoch, the whole run, and kills.

    python benchmarks/finetune.py DATA                  an epoch, interleaved, on a share of DATA
    python benchmarks/finetune.py DATA --full           `train --finetune`, with its test accuracy
    python benchmarks/finetune.py DATA --kills 5        killed at random moments, then finished

DATA has train/, validation/ and test/ with a folder a class.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from common import PROGRAM, guarded, interleaved, spread, table, train
from silverprint.backbones.networks import load_backbone
from silverprint.backbones.prepare import prepare_backbone
from silverprint.backbones.registry import choose_backbone
from silverprint.data.read import read
from silverprint.models.head import Head
from silverprint.recipes.finetune import FinetuneSettings, finetune, picture_side
from silverprint.runtime.preprocessing import Preprocessing
from silverprint.training.journal import read_journal
from silverprint.training.pixels import PixelData, load_pixels

BATCH = 32


def main() -> None:
    """Do what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=224)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.full:
            print(whole_run(options.data, Path(folder)))
        elif options.kills:
            same = kills(options.data, options.kills, options.pictures, options.seed, Path(folder))
            raise SystemExit(not same)
        else:
            print(an_epoch(options.data, options.pictures, options.rounds, Path(folder)))


# ---- An epoch ----


def an_epoch(data: Path, pictures: int, rounds: int, folder: Path) -> str:
    """Time the loops alone, each on the same share of the training pictures; scale to all."""
    dataset = read(data)
    everything = dataset.rows("train")
    rows = everything[:: len(everything) // pictures][:pictures]
    prepared = prepare_backbone(choose_backbone(), folder, notify=lambda _: None)
    classes = len(dataset.classes)

    def pixels(side: int, chosen: np.ndarray) -> PixelData:
        values = load_pixels(dataset, Preprocessing(size=side), chosen).values
        return PixelData(values, dataset.labels[chosen])

    given = pixels(picture_side(prepared.size), rows)
    held = pixels(prepared.size, rows[:BATCH])
    zeros = np.zeros((classes, prepared.features), dtype=np.float32)
    head = Head(zeros, np.zeros(classes, dtype=np.float32))

    def ours(**settings: object) -> Callable[[], float]:
        def run() -> float:
            shutil.rmtree(folder / "run", ignore_errors=True)
            chosen = FinetuneSettings(epochs=1, batch_size=BATCH, **settings)  # type: ignore[arg-type]
            finetune(prepared, head, given, held, classes, "softmax", chosen, folder / "run")
            return len(everything) / read_journal(folder / "run")[0]["pictures per second"]

        return run

    plain = PlainLoop([dataset.sources[row] for row in rows], dataset.labels[rows], classes)
    ways = {
        "plain loop": lambda: plain.seconds_a_picture() * len(everything),
        "everything learns": ours(),
        "the last 2 stages learn": ours(unfreeze=2, views=1),
    }
    found = interleaved(ways, rounds)
    ratios = {
        name: [plain / mine for plain, mine in zip(found["plain loop"], values, strict=True)]
        for name, values in found.items()
    }
    lines = [(name, spread(values), spread(ratios[name], 2)) for name, values in found.items()]
    head = (f"epoch of {len(everything):,} pictures, from {len(rows)}", "seconds", "times as fast")
    marks = [guarded(f"plain loop / {name}", ratios[name]) for name in list(ways)[1:]]
    return "\n\n".join([table(head, lines), "\n".join(marks)])


class PlainLoop:
    """Eager torch: bf16 autocast, channels_last, frozen batch norms, one worker, nothing kept.

    Pictures are decoded and reduced beforehand, which is more than most such loops do.
    """

    def __init__(self, files: list, labels: np.ndarray, classes: int) -> None:
        backbone = load_backbone(choose_backbone())
        steps = [
            v2.RandomResizedCrop(backbone.size, scale=(0.5, 1)),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(backbone.mean, backbone.std),
        ]
        pictures = [reduced(file) for file in files]
        dataset = Pictures(pictures, labels, v2.Compose(steps))
        self.loader = DataLoader(dataset, BATCH, shuffle=True, num_workers=1, drop_last=True)
        layers = (backbone.trunk, torch.nn.Flatten(), torch.nn.Linear(1280, classes))
        self.network = torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.network.requires_grad_(True).train()
        for module in self.network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        self.optimiser = torch.optim.AdamW(self.network.parameters(), 3e-4, weight_decay=0.05)

    def seconds_a_picture(self) -> float:
        """Train on all pictures; the first batch, which waits for the worker, is not counted."""
        began, count = 0.0, 0
        for number, (batch, labels) in enumerate(self.loader):
            if number == 1:
                began = time.perf_counter()
            count += len(batch) if number else 0
            self.optimiser.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                logits = self.network(batch.to(memory_format=torch.channels_last))
                loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
            loss.backward()
            self.optimiser.step()
        return (time.perf_counter() - began) / count


class Pictures(Dataset):
    """Decoded pictures, transformed one by one."""

    def __init__(
        self, pictures: list[Image.Image], labels: np.ndarray, transform: v2.Transform
    ) -> None:
        self.pictures, self.labels, self.transform = pictures, labels, transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.pictures[row]), int(self.labels[row])


def reduced(file: Path) -> Image.Image:
    """Return the picture with its shorter side at 256 pixels."""
    with Image.open(file) as image:
        picture = image.convert("RGB")
    factor = 256 / min(picture.size)
    size = (round(picture.width * factor), round(picture.height * factor))
    return picture.resize(size, Image.Resampling.BICUBIC)


# ---- The whole command ----


def whole_run(data: Path, folder: Path) -> str:
    """Train and examine; everything from files to bundle counts."""
    frozen, plain, _ = train(data, folder / "cache", folder / "frozen")
    seconds, result, memory = train(data, folder / "other-cache", folder / "tuned", "--finetune")
    rows = [
        (
            "frozen network, head alone",
            f"{frozen:.0f}",
            f"{plain['metrics']['test']['accuracy']:.4f}",
        ),
        ("--finetune", f"{seconds:.0f}", f"{result['metrics']['test']['accuracy']:.4f}"),
    ]
    return f"{table(('', 'seconds', 'test accuracy'), rows)}\n\nAt most {memory:,.0f} MB."


def kills(data: Path, number: int, pictures: int, seed: int, folder: Path) -> bool:
    """Say what each kill left, and whether the finished run equals an undisturbed one."""
    subset = folder / "subset"
    for part, most in (("train", pictures), ("validation", pictures // 4), ("test", pictures // 4)):
        files = sorted((data / part).glob("*/*"))
        for file in files[:: max(1, len(files) // most)][:most]:
            target = subset / part / file.parent.name / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    how = ("--finetune", "--finetune-epochs", "3")
    seconds, calm, _ = train(subset, folder / "calm", folder / "calm-bundle", *how)
    moments = random.Random(seed)
    cache, bundle = folder / "disturbed", folder / "bundle"
    for count in range(number):
        child = subprocess.Popen(
            [PROGRAM, "train", subset, "--out", bundle, "--quiet", *how],
            env={**os.environ, "SILVERPRINT_CACHE": str(cache)},
            stdout=subprocess.DEVNULL,
        )
        moment = moments.uniform(0.2, 0.6) * seconds
        time.sleep(moment)
        finished = child.poll() is not None
        child.send_signal(signal.SIGKILL)
        child.wait()
        epochs = [len(read_journal(run)) for run in (cache / "runs").glob("*")]
        state = "had finished" if finished else "killed"
        print(f"{count + 1}: {state} after {moment:.1f} s, epochs done: {epochs}", flush=True)
    _, result, _ = train(subset, cache, bundle, *how)
    same = json.dumps(result["metrics"]) == json.dumps(calm["metrics"])
    print(f"metrics {'are the same' if same else 'DIFFER'}")
    return same


if __name__ == "__main__":
    main()
