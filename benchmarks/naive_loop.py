"""The usual tutorial: ImageFolder, DataLoader, a frozen network run again in every epoch."""

import sys
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from silverprint.backbones.networks import load_backbone
from silverprint.backbones.registry import choose_backbone


def main(folder: Path, pictures: int) -> None:
    """Print the training pictures a second of one epoch."""
    backbone = load_backbone(choose_backbone())
    network = backbone.trunk
    steps = [
        transforms.Resize((backbone.size, backbone.size)),
        transforms.ToTensor(),
        transforms.Normalize(backbone.mean, backbone.std),
    ]
    dataset = ImageFolder(str(folder / "train"), transforms.Compose(steps))
    every = max(1, len(dataset) // pictures)
    subset = Subset(dataset, range(0, len(dataset), every))
    loader = DataLoader(subset, batch_size=32, shuffle=True, num_workers=2)
    head = torch.nn.Linear(1280, len(dataset.classes))
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-3)
    began = time.perf_counter()
    for batch, labels in loader:
        with torch.no_grad():
            features = network(batch)
        loss = torch.nn.functional.cross_entropy(head(features), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(len(subset) / (time.perf_counter() - began))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
