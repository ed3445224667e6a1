"""One epoch of an MLP on MNIST at batch 32, against the usual loop with the same network.

    python benchmarks/mnist.py FOLDER [ROUNDS]      FOLDER holds the four IDX files, packed

The usual loop is that of most tutorials: torchvision's MNIST, ToTensor, Normalize, a DataLoader
that shuffles, AdamW. It is run without worker processes, as DataLoader does by default, and with
two. Both train the same network from the same kind of beginning; both times are those of the epoch
alone, and for ours also of the whole call: pictures to the device, journal, judging, checkpoints.
The optimiser is the same AdamW; the usual loop takes it as torch gives it, ours asks for its fused
kernel. Ours does without the moving average of the weights, which the usual loop has not.
"""

import gzip
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import MNIST

from common import guarded, interleaved, machine, spread, table
from silverprint.data.read import read
from silverprint.models.catalogue import build_network
from silverprint.models.mlp import PRESETS
from silverprint.recipes.scratch import ScratchSettings, WithClassifier, train_from_scratch
from silverprint.runtime.preprocessing import Preprocessing
from silverprint.training.pixels import PixelData, load_pixels

BATCH, RATE, DECAY = 32, 1e-3, 0.05
OURS, ASKED = "silverprint", 4
DEFAULT = PRESETS["two-layer"]
WIDTHS = {
    "784-128-10, as in Keras's first example": (128,),
    "784-256-10, the default": DEFAULT,
    "784-512-512-10": PRESETS["three-layer"],
}
SETTINGS = ScratchSettings(
    model="mlp", epochs=1, batch_size=BATCH, learning_rate=RATE, weight_decay=DECAY, average=False,
    label_smoothing=0.0, dropout=0.0, device="cpu",
)  # fmt: skip


def usual(
    folder: Path, sample: torch.Tensor, widths: tuple[int, ...], workers: int
) -> Callable[[], float]:
    """Return a function that trains an epoch as tutorials do and gives its seconds."""
    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    dataset = MNIST(str(folder), train=True, transform=steps)

    def epoch() -> float:
        model = WithClassifier(build_network("mlp", 10, sample, widths=widths, dropout=0.0))
        # This loop normalises before the network, so the network's own normalisation is taken out.
        body = torch.nn.Sequential(model.network.trunk, model.network.classifier)
        optimiser = torch.optim.AdamW(body.parameters(), lr=RATE, weight_decay=DECAY)
        loader = DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=workers)
        body.train()
        began = time.perf_counter()
        for pixels, labels in loader:
            loss = torch.nn.functional.cross_entropy(body(pixels), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return time.perf_counter() - began

    return epoch


def unpack(source: Path, folder: Path) -> None:
    """Lay the files out as torchvision wants them."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for packed in source.glob("*-ubyte.gz"):
        (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))


def main(source: Path, rounds: int) -> None:
    """Print the seconds of each way, and how many times faster ours is."""
    dataset = read(str(source))
    rows = dataset.rows("train")
    began = time.perf_counter()
    pixels = load_pixels(dataset, Preprocessing(size=28), rows, channels=1)
    data = PixelData(pixels.values, np.asarray(dataset.labels[rows]))
    reading = time.perf_counter() - began
    lines, ratio, marks = [], 0.0, []
    with tempfile.TemporaryDirectory() as name:
        unpack(source, Path(name))
        for network, widths in WIDTHS.items():
            found = measure(data, Path(name), widths, rounds)
            for way, seconds in found.items():
                times = [u / s for u, s in zip(found["usual loop"], seconds, strict=True)]
                lines.append([network, way, spread(seconds, 2), spread(times, 2)])
                if way == OURS:
                    marks.append(guarded(f"usual loop / ours, {network}", times))
            if widths == DEFAULT:
                ratio = statistics.median(found["usual loop"]) / statistics.median(found[OURS])
    print(table(["one epoch, 60,000 digits, batch 32", "way", "seconds", "times as fast"], lines))
    print(f"\nReading the files into memory, once a run: {reading:.2f} s.")
    print(f"\n{rounds} rounds, interleaved; medians (least to most). {machine()}")
    print(*marks, sep="\n")
    print(f"The default is {ratio:.2f} times as fast; {ASKED} was asked for.")


def measure(
    data: PixelData, folder: Path, widths: tuple[int, ...], rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of an epoch by way, in interleaved rounds."""
    whole: list[float] = []
    settings = replace(SETTINGS, widths=widths)

    def ours() -> float:
        with tempfile.TemporaryDirectory() as run:
            began = time.perf_counter()
            train_from_scratch(data, None, 10, "softmax", settings, Path(run))
            whole.append(time.perf_counter() - began)
            return float(json.loads((Path(run) / "metrics.jsonl").read_text())["seconds"])

    ours()  # first use of everything
    whole.clear()
    sample = torch.from_numpy(data.pixels[::60])
    ways = {
        "usual loop": usual(folder, sample, widths, 0),
        "usual loop, 2 worker processes": usual(folder, sample, widths, 2),
        OURS: ours,
    }
    return {**interleaved(ways, rounds), f"{OURS}, the whole call": whole}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)
