"""Plant faults in a copy of photos, audit it, and count what was found.

    python benchmarks/audit.py DATA [--seeds 3] [--verdicts audit_verdicts.csv]

DATA has train/, validation/ and test/ with a folder a class. Into a copy go labels moved to another
class (5 %), 50 exact copies and 50 re-encoded, resized or cropped ones in another split, 20
truncated files and 10 files that are no pictures. What the audit finds beside these is counted as
wrong, except what the untouched photos show too and a person has judged: the verdicts file has a
line `kind,files,verdict` for each, verdict being true, false or unsure.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import random
import shutil
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import combinations
from pathlib import Path

from PIL import Image

from common import PROGRAM, percent, spread, table, timed

SPLITS = ("train", "validation", "test")
SWAPPED = 0.05
COPIES, TRUNCATED, OTHERS = 50, 20, 10
Pair = frozenset[str]


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--verdicts", type=Path, default=Path(__file__).with_name("audit_verdicts.csv")
    )
    parser.add_argument("--cache", type=Path, help="kept between calls; else a new one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(measure(options, Path(folder)))


def measure(options: argparse.Namespace, folder: Path) -> str:
    cache = options.cache or folder / "cache"
    cold, plain, _ = audit(options.data, cache, folder)
    warm = [audit(options.data, cache, folder)[0] for _ in range(3)]
    native = Native(options.data, options.verdicts)
    rows = defaultdict(list)
    for seed in range(options.seeds):
        copy = folder / f"planted-{seed}"
        planted = plant(options.data, copy, random.Random(seed))
        _, found, _ = audit(copy, cache, folder)
        for name, counts in compare(planted, found, native).items():
            rows[name].append(counts)
        shutil.rmtree(copy)
    lines = [
        (name, len(counts), *(told(counts, key) for key in ("recall", "precision", "by eye")))
        for name, counts in rows.items()
    ]
    kinds = defaultdict(int)
    for finding in plain["findings"]:
        kinds[finding["kind"]] += 1
    return (
        "Planted faults, means over the runs (least to most). Precision counts everything that "
        "was not planted as wrong; by eye leaves out what the untouched photos show too and was "
        "judged true or unsure.\n\n"
        + table(("planted", "runs", "recall", "precision", "precision by eye"), lines)
        + f"\n\nOn the untouched photos: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}; "
        f"{native.words()}.\n\nSeconds, the whole command: first {cold:.1f}, then {spread(warm)}."
    )  # fmt: skip


def audit(data: Path, cache: Path, folder: Path) -> tuple[float, dict, float]:
    """Run the verb; return its wall seconds, its result, its peak MB."""
    command = [PROGRAM, "audit", data, "--out", folder / "audit.html", "--json", "--quiet"]
    seconds, output, memory = timed(command, cache)
    return seconds, json.loads(output), memory


# ---- Planting ----


def plant(data: Path, copy: Path, dice: random.Random) -> dict[str, set]:
    """Copy the photos and spoil some; return what was planted, by kind."""
    shutil.copytree(data, copy)
    names = sorted(str(path.relative_to(data)) for path in data.glob("*/*/*") if path.is_file())
    classes = sorted({name.split("/")[1] for name in names})
    dice.shuffle(names)
    take = iter(names)
    planted: dict[str, set] = {"label": set(), "exact": set(), "near": set(), "unreadable": set()}
    for _ in range(round(SWAPPED * len(names))):
        split, label, file = next(take).split("/")
        other = dice.choice([name for name in classes if name != label])
        new = f"{split}/{other}/swapped-{file}"
        (copy / split / label / file).rename(copy / new)
        planted["label"].add(new)
    for number in range(2 * COPIES):
        name = next(take)
        split, label, _ = name.split("/")
        target = dice.choice([other for other in SPLITS if other != split])
        new = f"{target}/{label}/copy-{number}.jpg"
        if number < COPIES:
            shutil.copyfile(data / name, copy / new)
        else:
            (copy / new).write_bytes(altered(data / name, number % 3, dice))
        planted["exact" if number < COPIES else "near"].add(frozenset((name, new)))
    for _ in range(TRUNCATED):
        name = next(take)
        content = (data / name).read_bytes()
        (copy / name).write_bytes(content[: int(len(content) * dice.uniform(0.1, 0.9))])
        planted["unreadable"].add(name)
    for number in range(OTHERS):
        new = f"{dice.choice(SPLITS)}/{dice.choice(classes)}/other-{number}.jpg"
        (copy / new).write_bytes(no_picture(number, dice))
        planted["unreadable"].add(new)
    return planted


def altered(path: Path, how: int, dice: random.Random) -> bytes:
    """Return the picture re-encoded, resized, or cropped, as a JPEG."""
    picture, quality = Image.open(path).convert("RGB"), 90
    width, height = picture.size
    if how == 0:
        quality = dice.randrange(40, 80)
    elif how == 1:
        scale = dice.choice((0.4, 0.5, 0.7, 1.5))
        picture = picture.resize((round(width * scale), round(height * scale)))
    else:
        wide, high = (round(side * dice.uniform(0.8, 0.95)) for side in (width, height))
        left, top = dice.randrange(width - wide + 1), dice.randrange(height - high + 1)
        picture = picture.crop((left, top, left + wide, top + high))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def no_picture(number: int, dice: random.Random) -> bytes:
    """Return the bytes of some other file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "a")
    some = (
        b"", b"hello\n", b"%PDF-1.7\n", b"<html><body></body></html>", archive.getvalue(),
        b"path,label\na.jpg,cat\n", dice.randbytes(5000), b"\xff\xd8\xff" + dice.randbytes(3000),
        b"\x89PNG\r\n\x1a\n" + dice.randbytes(100), b"\0" * 1000,
    )  # fmt: skip
    return some[number % len(some)]


# ---- Counting ----


class Native:
    """What the untouched photos show by themselves, and what a person said of it."""

    def __init__(self, data: Path, verdicts: Path) -> None:
        said = {}
        if verdicts.exists():
            with verdicts.open(encoding="utf-8") as file:
                for line in csv.DictReader(file):
                    said[line["kind"], plain_names(line["files"].split("|"))] = line["verdict"]
        self.said = said
        by_content = defaultdict(list)
        for path in data.glob("*/*/*"):
            by_content[hashlib.sha256(path.read_bytes()).digest()].append(path)
        groups = [[str(p.relative_to(data)) for p in paths] for paths in by_content.values()]
        self.exact = set(pairs(groups))

    def excused(self, kind: str, files: Iterable[str]) -> bool:
        """Say whether a person judged this finding true or unsure."""
        return self.said.get((kind, plain_names(files)), "false") != "false"

    def words(self) -> str:
        counts = defaultdict(lambda: defaultdict(int))
        for (kind, _), verdict in self.said.items():
            counts[kind][verdict] += 1
        told = [
            f"{kind}: {', '.join(f'{n} {verdict}' for verdict, n in sorted(of.items()))}"
            for kind, of in counts.items()
        ]
        return f"looked at by eye: {'; '.join(told)}" if told else "none looked at by eye"


def plain_names(files: Iterable[str]) -> frozenset[str]:
    """Return the files' names as they are in the untouched photos, without folders."""
    return frozenset(Path(file).name.removeprefix("swapped-") for file in files)


def compare(planted: dict[str, set], result: dict, native: Native) -> dict[str, dict]:
    """Return recall and precision of each planted kind."""
    files = defaultdict(list)
    for finding in result["findings"]:
        files[finding["kind"]].append(finding["files"])
    single = {kind: {names[0] for names in files[kind]} for kind in ("label", "unreadable")}
    exact = set(pairs(files["exact_duplicate"]))
    near = set(pairs(files["near_duplicate"]))
    leaked = set(pairs(files["leak"]))
    copies = planted["exact"] | planted["near"]
    true_near = {pair for pair in near if native.excused("near_duplicate", pair)}
    true_labels = {name for name in single["label"] if native.excused("label", [name])}
    return {
        "unreadable files": counts(planted["unreadable"], single["unreadable"]),
        "exact copies": counts(planted["exact"], exact, native.exact),
        "near copies": counts(planted["near"], near, true_near | native.exact),
        "copies across splits": counts(copies, leaked, true_near | native.exact),
        "swapped labels": counts(planted["label"], single["label"], true_labels),
    }


def counts(planted: set, found: set, excused: Collection = ()) -> dict[str, float]:
    right = len(planted & found)
    wrong = found - planted
    return {
        "recall": right / len(planted),
        "precision": right / (len(found) or 1),
        "by eye": right / ((right + len(wrong.difference(excused))) or 1),
    }


def pairs(groups: Iterable[Sequence[str]]) -> Iterable[Pair]:
    return (frozenset(pair) for names in groups for pair in combinations(names, 2))


def told(counts: Sequence[dict[str, float]], key: str) -> str:
    values = [found[key] for found in counts]
    return (
        f"{percent(sum(values) / len(values))} ({percent(min(values))} to {percent(max(values))})"
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    main()
