"""One TorchScript file with preprocessing inside; `torch.jit.load` needs nothing of ours.

    images (n, h, w, 3) uint8 -> probabilities (n, classes) float32

The network is the one of weights.safetensors, traced. Preprocessing is scripted, because its steps
depend on the picture's size; it computes as backbones/graphs.py does, with the same integers.
"""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from silverprint.export.network import load_network, preprocessing_of
from silverprint.export.onnx_file import facts_of
from silverprint.export.parity import Answer, Pixels
from silverprint.runtime.bundle import Bundle
from silverprint.runtime.preprocessing import Preprocessing


class Preprocess(nn.Module):
    """Images (n, h, w, 3) uint8 -> normalised pixels (n, 3, S, S) float32; it can be scripted."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.size = preprocessing.size
        self.fit = preprocessing.fit
        self.thousandths = round(preprocessing.crop * 1000)
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(preprocessing.mean).reshape(shape))
        self.register_buffer("std", torch.tensor(preprocessing.std).reshape(shape))

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's input."""
        planes = images.permute(0, 3, 1, 2)
        height, width = planes.size(2), planes.size(3)
        if self.fit == "crop":
            side = max((min(height, width) * self.thousandths + 500) // 1000, 1)
            top, left = (height - side) // 2, (width - side) // 2
            planes = planes[:, :, top : top + side, left : left + side]
        rows, columns = self.size, self.size
        if self.fit == "pad":
            longest = max(height, width)
            rows = max((2 * self.size * height + longest) // (2 * longest), 1)
            columns = max((2 * self.size * width + longest) // (2 * longest), 1)
        # Across, then down, rounded between, as Pillow does.
        pixels = self.resize(planes.float(), planes.size(2), columns)
        pixels = self.resize(pixels, rows, columns)
        if self.fit == "pad":
            top, left = (self.size - rows) // 2, (self.size - columns) // 2
            border = [left, self.size - columns - left, top, self.size - rows - top]
            pixels = F.pad(pixels, border)
        return (pixels / 255 - self.mean) / self.std

    def resize(self, pixels: Tensor, rows: int, columns: int) -> Tensor:
        """Return values rounded to 0..255; with antialiasing torch's cubic has a = -0.5 too."""
        resized = F.interpolate(pixels, [rows, columns], mode="bicubic", antialias=True)
        return resized.round().clamp(0, 255)


class Probabilities(nn.Module):
    """Logits -> probabilities, as the bundle's `link` and temperature say; it can be scripted."""

    def __init__(self, link: str, temperature: float) -> None:
        super().__init__()
        self.link = link
        self.temperature = temperature

    def forward(self, logits: Tensor) -> Tensor:
        """Return (n, classes)."""
        calibrated = logits / self.temperature
        if self.link == "softmax":
            return calibrated.softmax(dim=1)
        if self.link == "sigmoid":
            return calibrated.sigmoid()
        return torch.cat([(-calibrated).sigmoid(), calibrated.sigmoid()], dim=1)


def write_torchscript(bundle: Bundle, path: Path) -> None:
    """Build an f32 network again, trace it, and write it with its preprocessing.

    Raises:
        BundleError: the network cannot be built again, or the weights do not fit it.
    """
    network, preprocessing = load_network(bundle), preprocessing_of(bundle)
    link = str(bundle.manifest.get("architecture", {}).get("link", "softmax"))
    temperature = float(bundle.manifest["calibration"]["temperature"])
    example = torch.zeros(2, 3, preprocessing.size, preprocessing.size)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # Not check_trace: parity.py compares answers on pictures, not on this example.
        traced = torch.jit.trace(network, example, check_trace=False)
        whole = nn.Sequential(Preprocess(preprocessing), traced, Probabilities(link, temperature))
        scripted = torch.jit.script(whole.eval().requires_grad_(False))
        # In memory: where the disk is full, torch's own writer ends the whole process.
        made = io.BytesIO()
        torch.jit.save(scripted, made, _extra_files=facts_of(bundle))
    path.write_bytes(made.getbuffer())


def open_torchscript(path: Path) -> Answer:
    """Return what answers as the file does, on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load = cast(Callable[[str], nn.Module], torch.jit.load)
        module = load(str(path))

    def answer(images: Pixels) -> NDArray[Any]:
        with torch.inference_mode():
            found: NDArray[Any] = module(torch.from_numpy(images.copy())).numpy()
        return found

    return answer
