"""A gan on MNIST against a VAE and against real digits; its sheet.

    SILVERPRINT_DATA=... python benchmarks/gan.py --judge CLASSIFIER --vae VAE
    python benchmarks/gan.py --judge CLASSIFIER --ways nearest,transposed --epochs 1

The judge is a classifier trained here on the same digits. Without --judge or --vae each is trained
first. CPU seconds are of the whole process, reading and judging included.
"""

import argparse
import json
import os
import resource
import tempfile
from pathlib import Path

import frechet
from common import PROGRAM, percent, table, timed
from silverprint.data.read import read
from silverprint.training.progress import Progress
from silverprint.workflows.generative import read_material
from silverprint.workflows.judge import Judge


def main() -> None:
    """Train what is not there, and print a section."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("SILVERPRINT_DATA", "")) / "mnist"
    parser.add_argument("--data", default=str(default))
    parser.add_argument("--judge", type=Path)
    parser.add_argument("--vae", type=Path)
    parser.add_argument("--gan", type=Path, help="one that is trained already")
    parser.add_argument("--ways", default="nearest", help="of upsampling")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3, help="of the codes")
    parser.add_argument("--sheet", type=Path, help="write the first gan's sheet here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(section(options, Path(folder)))


def section(options: argparse.Namespace, folder: Path) -> str:
    """Return the section."""
    judge = options.judge or classifier(options.data, folder)
    told, bundles = [], [options.gan] if options.gan else []
    for way in () if options.gan else options.ways.split(","):
        words, bundle = trained(options, judge, way, folder)
        told.append(words)
        bundles.append(bundle)
    bundles.append(options.vae or vae(options.data, folder))
    if options.sheet:
        timed([PROGRAM, "generate", "sample", bundles[0], "--n", "100", "--out", options.sheet])
    material = read_material(read(options.data), Progress(quiet=True))
    table_ = frechet.compared(bundles, Judge(str(judge)), material, options.seeds)
    head = ["gan", "minutes", "CPU minutes", "threads", "told apart", "spread", "apartness"]
    training = f"{table(head, told)}\n\n" if told else ""
    return f"## A gan against a VAE\n\n{training}{table_}\n"


def trained(
    options: argparse.Namespace, judge: Path, way: str, folder: Path
) -> tuple[list[object], Path]:
    """Train a gan as a person would; return its row, and its bundle."""
    out = folder / f"gan-{way}"
    command = [PROGRAM, "generate", "gan", options.data, "--out", out, "--judge", judge,
               "--epochs", options.epochs, "--upsampling", way, "--json", "--quiet"]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, output, _ = timed([str(part) for part in command], folder / "cache")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = json.loads(output)["metrics"]
    threads = os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    shares = [percent(found[name]) for name in ("told apart", "spread", "apartness")]
    name = f"{way}, {options.epochs} epochs"
    return [name, f"{seconds / 60:.1f}", f"{busy / 60:.1f}", threads, *shares], out


def classifier(data: str, folder: Path) -> Path:
    """Train the judge."""
    command = [PROGRAM, "train", data, "--from-scratch", "--model", "cnn", "--out",
               folder / "judge", "--quiet"]  # fmt: skip
    timed(command, folder / "cache")
    return folder / "judge"


def vae(data: str, folder: Path) -> Path:
    """Train what a gan is compared with."""
    timed([PROGRAM, "generate", "vae", data, "--out", folder / "vae", "--quiet"], folder / "cache")
    return folder / "vae"


if __name__ == "__main__":
    main()
