"""How far the pictures of generative bundles are from real ones, as a classifier sees them.

    python benchmarks/frechet.py --data mnist --judge CLASSIFIER gan vae

For each bundle as many pictures as the test split has, 10,000 at most, made with its decoder.onnx
from codes of N(0, I); several seeds of codes. The floor is the distance of training pictures to the
same test pictures. All distances in a table are by one judge and one n.
"""

import argparse
from pathlib import Path

from common import percent, spread, table
from silverprint.data.read import read
from silverprint.runtime.generative import read_generative
from silverprint.training.progress import Progress
from silverprint.workflows.generative import Material, read_material
from silverprint.workflows.judge import Judge, Reference, Verdict, judge_bundle

HEADER = ("pictures", "Frechet distance", "precision", "recall", "sure", "seen as asked", "n")


def main() -> None:
    """Judge the bundles given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--judge", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    material = read_material(read(options.data), Progress(quiet=True))
    print(compared(options.bundles, Judge(options.judge), material, options.seeds))


def compared(bundles: list[Path], judge: Judge, material: Material, seeds: int) -> str:
    """Return a table of all bundles, the floor first."""
    reference = Reference.of(judge, material)
    sure = f"{100 * reference.sure:.1f} %"
    floor = f"{reference.floor:.2f}"
    rows: list[list[object]] = [["real, learned from", floor, "–", "–", sure, "–", len(reference)]]
    for path in bundles:
        bundle = read_generative(path, ["gan", "vae"])
        found = [judge_bundle(bundle, reference, seed) for seed in range(seeds)]
        rows.append(row_of(path.name, found))
    return table(HEADER, rows)


def row_of(name: str, found: list[Verdict]) -> list[object]:
    """Return a bundle's row."""
    agree = [one.agree for one in found if one.agree is not None]
    return [
        name,
        spread([one.frechet for one in found], 2),
        spread([one.precision for one in found], 3),
        spread([one.recall for one in found], 3),
        f"{spread([100 * one.sure for one in found])} %",
        percent(sum(agree) / len(agree)) if agree else "–",
        found[0].n,
    ]


if __name__ == "__main__":
    main()
