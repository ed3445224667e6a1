"""Do explanations point at the thing? Prints a Markdown section.

    SILVERPRINT_DATA=... python benchmarks/explain.py BUNDLE

BUNDLE is one that was trained on the clothing photos. On five of their test photos a box was drawn
around the object by eye, before any explanation of them was seen: photos in which the object fills
well under half of the picture. A map that knew nothing would have as much of its mass in the box as
the box has of the area. Where captum is installed, Grad-CAM is compared with its.
"""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from common import percent, table
from silverprint.export.network import load_network, normalise, preprocessing_of
from silverprint.inspection.attribution import (
    grad_cam,
    last_map,
    log_odds_of,
    occlusion,
    probability,
    score_of,
)
from silverprint.inspection.view import View, view
from silverprint.runtime.bundle import read_bundle


@dataclass(frozen=True)
class Box:
    """Where the object lies, as shares of the picture's width and height."""

    file: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)

    def inside(self, values: np.ndarray) -> np.ndarray:
        height, width = values.shape
        rows = slice(round(self.top * height), round(self.bottom * height))
        return values[rows, round(self.left * width) : round(self.right * width)]


BOXES = (
    Box("hat/2a12baab-f020-42e3-8e6b-5d82e3ed0b55.jpg", 0.24, 0.27, 0.68, 0.75),
    Box("shoes/0dd87e47-ca85-4d5c-9fd1-59f5a01eb656.jpg", 0.13, 0.13, 0.78, 0.67),
    Box("shoes/15120826-cc4c-44d4-8648-7f334bf5fd69.jpg", 0.21, 0.24, 0.76, 0.735),
    Box("skirt/24963db3-649c-4f04-8da3-0375ede8e0a6.jpg", 0.08, 0.265, 0.86, 0.79),
    Box("shorts/15ce3cc0-4803-428f-8a4b-fb76cf30f297.jpg", 0.07, 0.215, 0.95, 0.71),
)


def share_inside(box: Box, seen: View, values: np.ndarray) -> tuple[float, bool]:
    """Return the share of a map's mass in the box, and whether its peak lies there."""
    laid = seen.lay(values).clip(min=0)
    height, width = laid.shape
    row, column = np.unravel_index(int(laid.argmax()), laid.shape)
    hit = box.left <= (column + 0.5) / width <= box.right
    hit = hit and box.top <= (row + 0.5) / height <= box.bottom
    return float(box.inside(laid).sum() / laid.sum()), bool(hit)


def difference_from_captum(network: torch.nn.Module, pixels: torch.Tensor, layer: str,
                           number: int, found: np.ndarray) -> float | None:  # fmt: skip
    try:
        from captum.attr import LayerGradCam
    except ImportError:
        return None
    given = pixels.clone().requires_grad_()
    theirs = LayerGradCam(network, network.get_submodule(layer)).attribute(
        given, target=number, relu_attributions=True
    )
    return float(np.abs(theirs[0, 0].detach().numpy() - found).max() / found.max())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    bundle = read_bundle(parser.parse_args().bundle)
    network, preprocessing = load_network(bundle), preprocessing_of(bundle)
    link = bundle.manifest["architecture"]["link"]
    odds = log_odds_of(link, bundle.manifest["calibration"]["temperature"])
    folder = Path(os.environ["SILVERPRINT_DATA"]) / "clothing" / "test"
    rows, differences = [], []
    for box in BOXES:
        seen = view(folder / box.file, box.file, preprocessing)
        pixels = normalise(torch.from_numpy(seen.pixels[None].copy()), preprocessing)
        with torch.no_grad():
            told = odds(network(pixels))[0]
        number = int(told.argmax())
        layer = last_map(network, pixels)
        cam = grad_cam(network, pixels, layer, score_of(link), [number])[0]
        differences.append(difference_from_captum(network, pixels, layer, number, cam))
        patch = round(preprocessing.size / 5)
        hidden = occlusion(network, pixels, odds, [number], patch, patch // 2)
        cam_share, cam_hit = share_inside(box, seen, cam)
        hidden_share, hidden_hit = share_inside(box, seen, hidden.falls[0])
        rows.append([
            box.file.partition("-")[0],
            f"{bundle.classes[number]} {percent(probability(float(told[number])))}",
            percent(box.area), percent(cam_share), f"{cam_share / box.area:.2f}",
            "yes" if cam_hit else "no", percent(hidden_share), "yes" if hidden_hit else "no",
        ])  # fmt: skip
    head = ["photo", "answer", "box's share of the area", "Grad-CAM's mass in it", "times chance",
            "peak in it", "occlusion's mass in it", "peak in it"]  # fmt: skip
    print("## Explanations point at the thing\n\n" + table(head, rows))
    if None not in differences:
        print(f"\nGrad-CAM differs from captum's by {max(differences):.1e} of its largest value.")


if __name__ == "__main__":
    main()
