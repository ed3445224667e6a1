"""Which network paints best: pictures, and what every other network says of them.

    SILVERPRINT_DATA=... python benchmarks/style.py OUT [--size 160] [--steps 100] [--weights DIR]

One content in one style is painted with each network that can be loaded: the packaged one, the
random one, and those whose files lie in DIR. A network is no judge of its own pictures, so each
picture is judged by the others: the style distance (Gram matrices of channels normalised by the
style's, at the judge's own layers) and the content distance, both of them shares of the plain
content's style distance and of the content's variance. The mean over the judges is printed.

The pictures lie in OUT, with a sheet of all: look at them, because no number is an eye.

    python benchmarks/style.py OUT --gallery

paints two contents in three styles with the defaults, and says how long each took.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from common import table
from silverprint.backbones.loss_network import LossNetwork, load_loss_network
from silverprint.inspection.view import reduced
from silverprint.recipes.style_losses import Aim
from silverprint.recipes.style_pictures import to_tensor
from silverprint.recipes.style_transfer import StyleSettings, transfer_style
from silverprint.runtime.images import decode
from silverprint.workflows.stylize import with_layers

CONTENTS, STYLES = ("janelle.png", "octopus.jpg"), ("hockney.jpg", "kahlo.jpg", "delaunay.jpg")
FILES = {
    "vgg19-encoder": ("vgg19_normalised_conv3_1.safetensors", {}),
    "squeezenet1_0": ("squeezenet1_0.safetensors", {}),
    "mobilenetv2_100": (
        "mobilenetv2_100.safetensors",
        {"pad_type": "same", "mean": "0.5", "std": "0.5"},
    ),
}


def load_all(folder: Path | None) -> dict[str, LossNetwork]:
    """Load the networks that need no file, and those whose file is there."""
    found = {name: load_loss_network(name) for name in ("efficientnet-lite0", "random")}
    for name, (file, options) in FILES.items():
        if folder is not None and (folder / file).is_file():
            found[name] = load_loss_network(name, folder / file, options)
    return found


@torch.no_grad()
def judged(
    picture: np.ndarray, content: np.ndarray, style: np.ndarray, judge: LossNetwork,
    settings: StyleSettings,
) -> tuple[float, float]:  # fmt: skip
    """Return a picture's style distance, of the content's own, and its content distance."""
    size = picture.shape[1], picture.shape[0]
    plain = np.asarray(Image.fromarray(content).resize(size, Image.Resampling.LANCZOS))
    device = torch.device("cpu")
    known = to_tensor(plain, device)
    aim = Aim.of(known, [to_tensor(style, device)], judge, with_layers(settings, judge))
    before = aim.measure(known, judge)[1]
    after = aim.measure(to_tensor(picture, device), judge)[1]
    return after.style / before.style, after.content


def gallery(out: Path, pictures: Path) -> str:
    """Paint every content in every style with the defaults; return a table of seconds."""
    network = load_loss_network()
    settings = with_layers(StyleSettings(), network)
    rows, lines = [], []
    for content in CONTENTS:
        tiles = []
        for style in STYLES:
            given = [reduced(decode(pictures / file), 2048) for file in (content, style)]
            began = time.process_time()
            found = transfer_style(given[0], given[1:], network, settings)
            seconds = time.process_time() - began
            tiles.append(Image.fromarray(found.picture))
            tiles[-1].save(out / f"{Path(content).stem}-{Path(style).stem}.png")
            told = found.losses
            lines.append((
                Path(content).stem, Path(style).stem, found.steps, f"{found.seconds:.1f}",
                f"{seconds:.1f}", f"{seconds / found.steps:.3f}", f"{told.content:.2f}",
                f"{told.style:.4f}", f"{told.variation:.3f}",
            ))  # fmt: skip
            print(*lines[-1], flush=True)
        height = min(tile.height for tile in tiles)
        rows.append(np.concatenate([np.asarray(tile)[:height] for tile in tiles], axis=1))
    width = max(row.shape[1] for row in rows)
    padded = [
        np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    Image.fromarray(np.concatenate(padded)).save(out / "gallery.png")
    header = ("content", "style", "steps", "seconds", "CPU seconds", "CPU seconds a step",
              "content loss", "style loss", "variation")  # fmt: skip
    return table(header, lines)


def main() -> None:
    """Paint with each, let the others judge, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--content", default="janelle.png")
    parser.add_argument("--style", default="hockney.jpg")
    parser.add_argument("--gallery", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    pictures = Path(os.environ["SILVERPRINT_DATA"]) / "style"
    if given.gallery:
        print(gallery(given.out, pictures))
        return
    content = reduced(decode(pictures / given.content), 1024)
    style = reduced(decode(pictures / given.style), 1024)
    networks = load_all(given.weights)
    plain = StyleSettings(size=given.size, steps=given.steps, device="cpu")
    painted, seconds = {}, {}
    for name, network in networks.items():
        began = time.process_time()
        found = transfer_style(content, [style], network, with_layers(plain, network))
        seconds[name] = (time.process_time() - began) / found.steps, found.steps
        painted[name] = found.picture
        Image.fromarray(found.picture).save(given.out / f"{name}.png")
    Image.fromarray(np.concatenate(list(painted.values()), axis=1)).save(given.out / "sheet.png")
    rows = []
    for name, picture in painted.items():
        verdicts = [
            judged(picture, content, style, judge, plain)
            for other, judge in networks.items()
            if other != name
        ]
        distance, kept = np.mean(verdicts, axis=0)
        each, steps = seconds[name]
        rows.append((name, f"{distance:.3f}", f"{kept:.2f}", str(steps), f"{each:.3f}"))
    header = ("network", "style distance, judged by the others", "content distance", "steps",
              "CPU seconds a step")  # fmt: skip
    print(table(header, rows))


if __name__ == "__main__":
    main()
