"""Do all formats answer alike, what does int8 cost, and what does reduced JPEG decoding change?

    SILVERPRINT_DATA=... python benchmarks/export.py BUNDLE [BUNDLE ...] [--count 200] [--only PART]

Prints a Markdown section. The first bundle is exported; test photos, brought to mixed sizes, are
answered by each format from the same pixels, and over HTTP from the same bytes. The other bundles,
whose networks take smaller pictures, only show what reduced decoding does.
"""

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from starlette.testclient import TestClient

from common import machine, percent, spread, table
from silverprint.data.read import read
from silverprint.data.table import Dataset
from silverprint.export.formats import write_format
from silverprint.export.parity import Answer
from silverprint.runtime.bundle import Bundle, read_bundle
from silverprint.runtime.images import decode
from silverprint.runtime.predictor import Predictor
from silverprint.serving.app import create_app
from silverprint.serving.settings import Settings
from silverprint.training.progress import Progress
from silverprint.workflows.int8 import write_judged

SIZES = ((0.25, "JPEG"), (0.5, "JPEG"), (1.0, "JPEG"), (1.0, "PNG"), (1.7, "JPEG"), (2.5, "JPEG"),
         (4.0, "JPEG"), (4.0, "PNG"))  # fmt: skip
FORMATS = ("onnx", "torchscript", "openvino", "triton")
CAMERA = 2400  # pixels of a shorter side
ROUNDS = 40
REDUCED = (
    "input", "photos", "count", "decoded at", "mean difference", "largest", "over 0.01",
    "other label", "right in full", "right reduced",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--only", choices=("parity", "int8", "reduced"))
    given = parser.parse_args()
    data = read(Path(os.environ["SILVERPRINT_DATA"]) / "clothing")
    rows = data.rows("test")
    photos = data.take(rows[np.linspace(0, len(rows) - 1, given.count).round().astype(int)])
    first, *_ = bundles = [read_bundle(name) for name in given.bundles]
    print("## Export\n")
    with tempfile.TemporaryDirectory() as folder:
        if given.only in (None, "parity"):
            print(parity(first, photos, Path(folder)), "\n", flush=True)
        if given.only in (None, "int8"):
            print(int8(first, data, Path(folder)), "\n", flush=True)
    if given.only in (None, "reduced"):
        lines = [line for bundle in bundles for line in reduced(bundle, photos)]
        print(table(REDUCED, lines), "\n")
    print(machine())


def parity(bundle: Bundle, photos: Dataset, folder: Path) -> str:
    """Compare every format, and HTTP, with the bundle from Python."""
    predictor = Predictor(bundle)
    answers = {to: write_format(to, bundle, folder / to) for to in FORMATS}
    found: dict[str, list[tuple[float, bool]]] = {way: [] for way in (*FORMATS, "HTTP")}
    sizes = set()
    with TestClient(create_app({"it": str(bundle.path)}, Settings())) as client:
        for data in mixed(photos):
            image = predictor.decode(data)[None]
            sizes.add(image.shape[1:3])
            expected = predictor.probabilities(image)[0]
            told = {to: answer(image)[0] for to, answer in answers.items()}
            told["HTTP"] = over_http(client, data, bundle.classes)
            for way, probabilities in told.items():
                same = bool(probabilities.argmax() == expected.argmax())
                found[way].append((float(np.abs(probabilities - expected).max()), same))
    lines = [
        (way, f"{max(d for d, _ in all_):.6f}", f"{statistics.mean(d for d, _ in all_):.6f}",
         f"{sum(same for _, same in all_)} of {len(all_)}")
        for way, all_ in found.items()
    ]  # fmt: skip
    header = ("against Python", "largest difference of a probability", "mean", "same label")
    return f"{len(photos)} test photos in {len(sizes)} sizes:\n\n{table(header, lines)}"


def mixed(photos: Dataset) -> Iterator[bytes]:
    """Yield files of many sizes, every other one on its side."""
    for number, source in enumerate(photos.sources):
        scale, kind = SIZES[number % len(SIZES)]
        picture = Image.open(source).convert("RGB")
        size = tuple(max(1, round(side * scale)) for side in picture.size)
        picture = picture.resize(size, Image.Resampling.BICUBIC)
        if number % 16 >= 8:
            picture = picture.transpose(Image.Transpose.ROTATE_90)
        yield encoded(picture, kind)


def encoded(picture: Image.Image, kind: str = "JPEG") -> bytes:
    data = io.BytesIO()
    picture.save(data, kind, **({"quality": 92} if kind == "JPEG" else {"compress_level": 1}))
    return data.getvalue()


def over_http(client: TestClient, data: bytes, classes: tuple[str, ...]) -> np.ndarray:
    answer = client.post("/predict", params={"top": len(classes)}, content=data)
    top = dict(answer.raise_for_status().json()[0]["top"])
    return np.array([top[name] for name in classes])


def int8(bundle: Bundle, data: Dataset, folder: Path) -> str:
    """Measure accuracy and speed of the int8 file, on the test and on the validation photos."""
    lines = []
    for split in ("test", "validation"):
        kept = data if split == "test" else data.take(np.flatnonzero(data.splits != 2))
        path = folder / f"{split}.onnx"
        _, cost = write_judged(bundle, kept, path, 1.0, Progress(quiet=True))
        lines.append((split, cost.pictures, percent(cost.before), percent(cost.after),
                      percent(cost.same_label)))  # fmt: skip
    header = ("split", "pictures", "f32 accuracy", "int8 accuracy", "same label")
    files = {"f32": bundle.model, "int8": folder / "test.onnx"}
    seconds = speed(files)
    ratio = [a / b for a, b in zip(seconds["f32"], seconds["int8"], strict=True)]
    speeds = [
        (name, f"{files[name].stat().st_size / 1e6:.1f}", spread([1 / s for s in times], 0))
        for name, times in seconds.items()
    ]
    return (
        f"{table(header, lines)}\n\n"
        f"{table(('file', 'MB', 'pictures/s, one thread'), speeds)}\n\n"
        f"One picture of 400 x 533 at a time, decoded before; {ROUNDS} rounds in turn, by the "
        f"thread's own time. int8 is {spread(ratio, 2)} times as fast."
    )


def speed(files: dict[str, Path]) -> dict[str, list[float]]:
    """Time the whole file in ONNX Runtime on one thread, in seconds of the processor's."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    sessions = {
        name: onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        for name, path in files.items()
    }
    image = np.random.default_rng(0).integers(0, 256, (1, 533, 400, 3), dtype=np.uint8)
    found: dict[str, list[float]] = {name: [] for name in files}
    for number in range(ROUNDS + 3):
        for name, session in sessions.items():
            began = time.process_time()
            session.run(["probabilities"], {"images": image})
            if number >= 3:
                found[name].append(time.process_time() - began)
    return found


def reduced(bundle: Bundle, photos: Dataset) -> Iterator[tuple[object, ...]]:
    """Compare answers for JPEGs that are decoded in full and at reduced scale."""
    predictor, side = Predictor(bundle), bundle.decode_side
    smallest = min(min(Image.open(source).size) for source in photos.sources)
    if smallest >= 2 * side:
        data = [Path(source).read_bytes() for source in photos.sources]
        yield (side, "as they are", *differences(predictor.probabilities, data, side, photos))
    few = photos.take(np.arange(0, len(photos), 4))
    data = [encoded(enlarged(source)) for source in few.sources]
    yield (side, f"enlarged to {CAMERA}", *differences(predictor.probabilities, data, side, few))


def enlarged(source: Path) -> Image.Image:
    picture = Image.open(source).convert("RGB")
    scale = CAMERA / min(picture.size)
    size = tuple(round(part * scale) for part in picture.size)
    return picture.resize(size, Image.Resampling.LANCZOS)


def differences(
    answer: Answer, files: list[bytes], side: int, photos: Dataset
) -> tuple[object, ...]:
    """Return how many, the scale, how far probabilities move, and how many labels change."""
    far, scales, labels = [], [], []
    for data in files:
        full, small = decode(data), decode(data, min_side=side)
        scales.append(round(full.shape[0] / small.shape[0]))
        pair = [answer(image[None])[0] for image in (full, small)]
        far.append(float(np.abs(pair[0] - pair[1]).max()))
        labels.append([probabilities.argmax() for probabilities in pair])
    told = np.array(labels)
    right = (told == photos.labels[:, None]).mean(axis=0)
    return (
        len(files), f"1/{statistics.mode(scales)}",
        f"{statistics.mean(far):.4f}", f"{max(far):.4f}",
        sum(one > 0.01 for one in far), int((told[:, 0] != told[:, 1]).sum()),
        percent(right[0]), percent(right[1]),
    )  # fmt: skip


if __name__ == "__main__":
    main()
