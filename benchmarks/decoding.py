"""JPEG bytes to 224 x 224 pixels: Silverprint's decoder beside the other ones in Python.

    python benchmarks/decoding.py --data photos/ [--count 100] [--repeats 9] [--side 224]

Every way runs once in each round, so that a noisy machine slows all of them alike; ratios are taken
within a round, and their median and range are printed. Libraries that are not installed are left
out. The second table says how far decoding at a reduced scale moves the final pixels.
"""

import argparse
import io
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from silverprint.runtime.images import decode

Pixels = NDArray[np.uint8]
Way = Callable[[bytes, int], Pixels]  # a JPEG's bytes and the side wanted


def resized(pixels: Pixels, side: int) -> Pixels:
    return shrunk(Image.fromarray(pixels), side)


def shrunk(picture: Image.Image, side: int) -> Pixels:
    # Pillow's bicubic always smooths what it shrinks.
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))


def pillow_ways() -> dict[str, Way]:
    def reduced(data: bytes, side: int) -> Pixels:
        picture = Image.open(io.BytesIO(data))
        picture.draft("RGB", (side, side))
        return shrunk(picture.convert("RGB"), side)

    return {
        "pillow": lambda data, side: shrunk(Image.open(io.BytesIO(data)).convert("RGB"), side),
        "pillow, draft": reduced,
        "silverprint": lambda data, side: resized(decode(data), side),
        "silverprint, min_side": lambda data, side: resized(decode(data, min_side=side), side),
    }


def simplejpeg_ways() -> dict[str, Way]:
    from simplejpeg import decode_jpeg

    return {
        "simplejpeg": lambda data, side: resized(decode_jpeg(data), side),
        "simplejpeg, eighths": lambda data, side: resized(
            decode_jpeg(data, min_height=side, min_width=side, min_factor=1), side
        ),
    }


def turbojpeg_ways() -> dict[str, Way]:
    from turbojpeg import TJPF_RGB, TurboJPEG

    turbo = TurboJPEG()  # needs the system's libturbojpeg
    return {
        "PyTurboJPEG": lambda data, side: resized(turbo.decode(data, pixel_format=TJPF_RGB), side)
    }


def opencv_ways() -> dict[str, Way]:
    import cv2

    cv2.setNumThreads(1)
    return {
        "opencv": lambda data, side: resized(
            cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2RGB), side
        )
    }


def torchvision_ways() -> dict[str, Way]:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    torch.set_num_threads(1)

    def way(data: bytes, side: int) -> Pixels:
        pixels = decode_jpeg(
            torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB
        )
        smaller = torch.nn.functional.interpolate(
            pixels[None], (side, side), mode="bicubic", antialias=True
        )
        return smaller[0].permute(1, 2, 0).contiguous().numpy()

    return {"torchvision": way}


def all_ways() -> dict[str, Way]:
    ways = pillow_ways()
    for more in (simplejpeg_ways, turbojpeg_ways, opencv_ways, torchvision_ways):
        try:
            ways |= more()
        except (ImportError, RuntimeError, OSError) as error:
            print(f"left out {more.__name__.removesuffix('_ways')}: {str(error).splitlines()[0]}")
    return ways


def seconds(way: Way, files: Sequence[bytes], side: int, threads: int) -> float:
    started = time.perf_counter()
    if threads == 1:
        for data in files:
            way(data, side)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(way, files, [side] * len(files)))
    return time.perf_counter() - started


def measure(
    ways: dict[str, Way], files: Sequence[bytes], side: int, threads: int, repeats: int
) -> None:
    """Print a table: milliseconds a picture, and the speed against Pillow alone."""
    for way in ways.values():
        seconds(way, files[:5], side, threads)
    rounds = [{name: seconds(way, files, side, threads) for name, way in ways.items()}
              for _ in range(repeats)]  # fmt: skip
    print(f"\n{threads} thread(s), {len(files)} pictures, {repeats} rounds\n")
    print("| way | ms a picture, median (range) | times as fast as pillow, median (range) |")
    print("| --- | --- | --- |")
    for name in ways:
        times = [each[name] / len(files) * 1000 for each in rounds]
        ratios = [each["pillow"] / each[name] for each in rounds]
        print(f"| {name} | {spread(times)} | {spread(ratios)} |")


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def moved(files: Sequence[bytes], side: int) -> None:
    """Print how far each scale moves the final pixels, against decoding in full."""
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return
    print("\n| scale | pictures | mean difference (0 to 255) | largest |")
    print("| --- | --- | --- | --- |")
    for eighths in range(7, 0, -1):
        differences: list[NDArray[np.int_]] = []
        for data in files:
            whole = decode_jpeg(data)
            height, width = (-(-length * eighths // 8) for length in whole.shape[:2])
            part = decode_jpeg(data, min_height=height, min_width=width, min_factor=1)
            if part.shape[:2] != (height, width) or min(height, width) < side:
                continue
            differences.append(np.abs(resized(part, side).astype(int) - resized(whole, side)))
        if differences:
            mean, largest = np.mean(differences), max(each.max() for each in differences)
            print(f"| {eighths}/8 | {len(differences)} | {mean:.2f} | {largest} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder of JPEGs, or one JPEG")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--side", type=int, default=224)
    options = parser.parse_args()
    folder = options.data or Path(os.environ["SILVERPRINT_DATA"]) / "clothing" / "test"
    paths = sorted(folder.rglob("*.jpg"))[: options.count] if folder.is_dir() else [folder] * 5
    files = [path.read_bytes() for path in paths]
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    for name in ("pillow", "simplejpeg", "opencv-python-headless", "torchvision"):
        try:
            print(f"{name} {version(name)}", end="; ")
        except ImportError:
            continue
    print()
    ways = all_ways()
    for threads in (1, 2):
        measure(ways, files, options.side, threads, options.repeats)
    moved(files, options.side)


if __name__ == "__main__":
    main()
