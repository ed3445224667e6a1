"""How likely a variational autoencoder holds MNIST's test digits, and what its own look like.

    SILVERPRINT_DATA=... python benchmarks/vae.py MNIST [--bundle DIR] [--classifier DIR]

Without --bundle it is trained first, with the command that the report names; without --classifier
the cnn of `silverprint train` is trained to judge the samples. Prints a Markdown section.

The protocol: the grey test digits become black and white by one Bernoulli draw a pixel with the
grey as probability, with a fixed seed; training sees another draw each time. (The file that most
papers evaluate on is such a draw too, by another seed.) For comparison also cut at half grey, which
no training picture was. The bound is the importance-weighted one: float32 networks, float64 sums.
5,000 codes a digit are a matter of hours for all, so they are taken for some, drawn at random, of
which the 200 codes are known too: the mean difference, which strays far less than the digits
themselves, carries over to all.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

from common import PROGRAM, machine, table, timed
from silverprint.data.read import read
from silverprint.models.shapes import VaeShape
from silverprint.models.vae import Vae
from silverprint.recipes.vae import draw_pixels, losses_of
from silverprint.runtime.bundle import read_bundle
from silverprint.runtime.generative import read_generative
from silverprint.runtime.predictor import Predictor
from silverprint.runtime.sheets import to_bytes
from silverprint.training.choices import Precision
from silverprint.training.fabric import start_fabric
from silverprint.training.importance import importance_bounds
from silverprint.workflows.latent import random_codes

FEW, MANY = 200, 5000
SAMPLES, CONFIDENT = 1000, 0.9
OPTIONS = ("--prior", "flow")


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--classifier", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--digits", type=int, default=10_000, help=f"that get {FEW} codes")
    parser.add_argument("--fewer", type=int, default=300, help=f"that get {MANY} codes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, told = Path(name), "Training was not part of this run."
        bundle, classifier = options.bundle, options.classifier
        if bundle is None:
            bundle = folder / "vae"
            told = train(options.data, bundle, options.epochs, folder / "cache")
        if classifier is None:
            classifier = folder / "cnn"
            judge = ("--from-scratch", "--model", "cnn", "--out", classifier, "--quiet")
            timed([PROGRAM, "train", options.data, *judge], folder / "cache")
        vae = load(bundle)
        digits, labels = held_out_digits(options.data)
        print("## A variational autoencoder of digits\n")
        print(likelihood(vae, digits, options.digits, options.fewer))
        print(f"\n{told} {cost(vae)}\n")
        print(samples(bundle, classifier, digits, labels))
        print(f"\n{machine()} {torch.get_num_threads()} threads.")


def train(data: str, out: Path, epochs: int, cache: Path) -> str:
    """Train with the verb, and say what it took."""
    command = [PROGRAM, "generate", "vae", data, *OPTIONS, "--epochs", epochs, "--out", out]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _, output, memory = timed([*map(str, command), "--json", "--quiet"], cache)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(output)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (
        f"Trained in {result['seconds']['train'] / 60:.1f} minutes ({epochs} epochs; "
        f"{spent / 60:.1f} processor minutes with reading and measuring; {memory:,.0f} MB), by "
        f"`silverprint generate vae mnist {' '.join(OPTIONS)} --epochs {epochs}`; validation bound "
        f"{result['curves']['validation loss'][result['epoch'] - 1]:.2f}."
    )


def load(bundle: Path) -> Vae:
    """Return the network of a bundle, from its safetensors."""
    manifest = read_generative(bundle, ["vae"]).manifest
    vae = Vae(VaeShape(**manifest["network"]))
    vae.load_state_dict(load_file(bundle / "weights.safetensors"))
    return vae.to(memory_format=torch.channels_last).eval()


def held_out_digits(data: str) -> tuple[torch.Tensor, np.ndarray]:
    """Return the digits of the test split, (n, 1, 28, 28) uint8, and their labels."""
    dataset = read(data)
    rows = dataset.rows("test")
    pixels = np.stack([np.asarray(dataset.sources[row]) for row in rows])[:, None]
    return torch.from_numpy(pixels), dataset.labels[rows]


def likelihood(vae: Vae, digits: torch.Tensor, count: int, fewer: int) -> str:
    """Return the table of bounds."""
    chance = torch.Generator().manual_seed(0)
    draws = {
        "one Bernoulli draw": draw_pixels(digits, True, chance),
        "cut at half grey": (digits > 127).float(),
    }
    lines = []
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(digits)))
    for name, pictures in draws.items():
        some = order[: count if name.startswith("one") else min(count, 1000)]
        began = time.perf_counter()
        loose = importance_bounds(vae, pictures[some], None, (1, FEW))
        lines.append([name, "1", *told(loose.by_samples[1]), ""])
        lines.append([name, f"{FEW}", *told(loose.by_samples[FEW]), minutes(began)])
        began, few = time.perf_counter(), order[:fewer]
        tight = importance_bounds(vae, pictures[few], None, (FEW, MANY), seed=1)
        lines.append([name, f"{MANY:,}", *told(tight.by_samples[MANY]), minutes(began)])
        gain = loose.by_samples[FEW][:fewer] - tight.by_samples[MANY]
        carried = loose.by_samples[FEW].mean() - gain.mean()
        error = gain.std(ddof=1) / len(gain) ** 0.5
        whole = np.hypot(error, loose.by_samples[FEW].std(ddof=1) / len(some) ** 0.5)
        lines.append([name, f"{MANY:,}, carried over", f"{len(some):,}",
                      f"**{carried:.2f}** ± {whole:.2f} (the difference: {gain.mean():.2f} ± "
                      f"{error:.2f})", ""])  # fmt: skip
    head = ["digits are", "codes a digit", "digits", "-log p at most, nats ± standard error",
            "minutes"]  # fmt: skip
    return table(head, lines)


def told(values: np.ndarray) -> tuple[str, str]:
    error = values.std(ddof=1) / len(values) ** 0.5
    return f"{len(values):,}", f"{values.mean():.2f} ± {error:.2f}"


def minutes(began: float) -> str:
    return f"{(time.perf_counter() - began) / 60:.1f}"


def cost(vae: Vae, batch: int = 128, rounds: int = 15) -> str:
    """Say what a step takes in bf16 and f32, and what its products alone would."""
    pictures = torch.rand(batch, 1, 28, 28).round()
    noise = torch.randn(1, batch, vae.shape.latent)
    seconds = {
        precision: best(stepper(vae.shape, precision, pictures, noise), rounds)
        for precision in ("bf16", "f32")
    }
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        vae(pictures, noise)
    products = 3 * counter.get_total_flops()
    square = torch.randn(2048, 2048).bfloat16()

    rate = 2 * 2048**3 / best(lambda: square @ square, rounds)
    floor = products / rate
    return (
        f"A step of {batch} takes {1000 * seconds['bf16']:.0f} ms in bf16 and "
        f"{1000 * seconds['f32']:.0f} ms in f32 (best of {rounds}); its "
        f"{products / 1e9:.0f} GFLOP of products alone would take {1000 * floor:.0f} ms at the "
        f"{rate / 1e9:,.0f} GFLOP/s of a large bf16 matrix product."
    )


def stepper(
    shape: VaeShape, precision: Precision, pictures: torch.Tensor, noise: torch.Tensor
) -> Callable[[], None]:
    """Return a function that trains a new network by one step."""
    fabric = start_fabric("cpu", precision)
    model: Any = fabric.setup_module(Vae(shape).to(memory_format=torch.channels_last))
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        fabric.backward(losses_of(model(pictures, noise)).mean())
        optimiser.step()
        optimiser.zero_grad()

    return step


def best(what: Callable[[], object], rounds: int) -> float:
    """Return the seconds of the fastest round."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        what()
        found.append(time.perf_counter() - began)
    return min(found)


def samples(bundle: Path, classifier: Path, digits: torch.Tensor, labels: np.ndarray) -> str:
    """Let a classifier look at new digits, and at real ones."""
    judge, model = Predictor(read_bundle(classifier)), read_generative(bundle, ["vae"])
    made = model.decode(random_codes(model, SAMPLES, seed=0))
    real = digits[:SAMPLES].numpy().astype(np.float32) / 255
    lines = []
    for name, pictures in (("samples, seed 0", made), ("real test digits", real)):
        sure = judge.probabilities(to_bytes(pictures))
        counts = np.bincount(sure.argmax(1), minlength=10)
        share = (sure.max(1) > CONFIDENT).mean()
        lines.append([name, f"{SAMPLES:,}", f"{100 * share:.1f} %", " ".join(map(str, counts))])
    everything = judge.probabilities(to_bytes(digits.numpy().astype(np.float32) / 255))
    right = (everything.argmax(1) == labels).mean()
    head = ["pictures", "n", f"share of which the classifier is surer than {CONFIDENT:g}",
            "of each class 0 to 9"]  # fmt: skip
    return table(head, lines) + f"\n\nThe classifier names {100 * right:.2f} % of the test digits."


if __name__ == "__main__":
    main()
