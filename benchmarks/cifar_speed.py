"""Training speed of `resnet` at the sizes of published CIFAR-10 speed runs, on whatever is here.

    python benchmarks/cifar_speed.py [DEVICE] [PICTURES] [EPOCHS]

Pictures are random, 32 x 32, in colour: speed does not depend on what they show. Every epoch is
the whole recipe: flips and translations, loss, moving average, optimiser. The first epoch warms up
and is not counted. Operations are those of the forward pass, two a multiplication, times three.

Published, on one NVIDIA A100:

    airbench94    3.83 s for 9.9 epochs of 50,000, 0.36e15 operations, batch 1,024
                  (K. Jordan, cifar10-airbench, airbench94.py and README; arXiv 2404.00498)
    hlb-CIFAR10   9.70 s for 10 epochs of 50,000, batch 512, float16
                  (T. Balsam, hlb-CIFAR10, README's baselines at commit 32f7d5e)
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from common import machine, spread, table
from silverprint.models.catalogue import build_network
from silverprint.recipes.scratch import ScratchSettings, WithClassifier, train_from_scratch
from silverprint.training.fabric import start_fabric
from silverprint.training.pixels import PixelData

EPOCH = 50_000
BASE = ScratchSettings(model="resnet", augment="small")
SIZES = {
    "as wide as airbench94": replace(BASE, preset="airbench", batch_size=1024),
    "as wide as hlb-CIFAR10": replace(BASE, widths=(128, 256, 512), batch_size=512),
    "small, the default": replace(BASE, batch_size=128),
}
PUBLISHED = [
    ["airbench94, A100", f"{9.9 * EPOCH / 3.83:,.0f}", f"{0.36e15 / (9.9 * EPOCH) / 1e9:.2f}",
     f"{0.36e15 / 3.83 / 1e12:.1f}"],
    ["hlb-CIFAR10, A100", f"{10 * EPOCH / 9.70:,.0f}", "–", "–"],
]  # fmt: skip


def operations(settings: ScratchSettings, sample: torch.Tensor) -> float:
    """Count the operations that training on one picture takes."""
    network = build_network(
        settings.model, 10, sample, preset=settings.preset, widths=settings.widths
    )
    counted = 0.0

    def count(layer: nn.Module, _: object, result: torch.Tensor) -> None:
        nonlocal counted
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        places = result[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
        counted += 2.0 * weight.numel() * places

    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        WithClassifier(network.eval())(sample[:1])
    return 3 * counted


def main(device: str, pictures: int, epochs: int) -> None:
    """Print pictures a second beside the published figures."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (pictures, 3, 32, 32), dtype=np.uint8)
    data = PixelData(pixels, generator.integers(0, 10, pictures))
    lines = []
    for name, settings in SIZES.items():
        settings = replace(settings, device=device, epochs=epochs + 1)
        with tempfile.TemporaryDirectory() as folder:
            train_from_scratch(data, None, 10, "softmax", settings, Path(folder))
            journal = (Path(folder) / "metrics.jsonl").read_text().splitlines()[1:]
        speeds = [json.loads(line)["pictures per second"] for line in journal]
        each = operations(settings, torch.from_numpy(pixels[:256]))
        rate = np.median(speeds) * each
        lines.append([name, spread(speeds, 0), f"{each / 1e9:.2f}", f"{rate / 1e12:.3f}"])
    header = [
        "network",
        "pictures a second",
        "1e9 operations a picture",
        "1e12 operations a second",
    ]
    print(table(header, lines + PUBLISHED))
    fabric = start_fabric(device)
    where = torch.cuda.get_device_name() if fabric.device.type == "cuda" else str(fabric.device)
    print(f"\nHere: {where}; {pictures:,} pictures an epoch, {epochs} counted. {machine()}")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        given[0] if given else "auto",
        int(given[1]) if len(given) > 1 else EPOCH,
        int(given[2]) if len(given) > 2 else 3,
    )
