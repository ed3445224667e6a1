"""Peers, side by side: the newcomer's commands of each, on the same photos, in the same run.

make bench-peers
SILVERPRINT_DATA=... python benchmarks/peers/run.py --parts epochs --peers silverprint,fastai

What was measured is kept in .venvs/measured.json, part by part; the section is written from all of
it, to --out.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from awkward import FILES, judge, obey_permissions, place, right_answer
from PIL import Image
from section import render
from trial import LIMIT, environment, job, lay, must, noted
from venvs import REQUIREMENTS, VENVS, build, python, share_weights, size, versions
from watch import watched

STORE = VENVS / "measured.json"
MODELS = VENVS / "models"
PEERS = [name for name in REQUIREMENTS if name != "predict only"]
IMPORTS = {
    "silverprint": "import silverprint",
    "fastai": "from fastai.vision.all import *",
    "timm": "import timm",
    "autogluon": "from autogluon.multimodal import MultiModalPredictor",
    "keras": "import keras",
    "ultralytics": "from ultralytics import YOLO",
}
# Epochs of the run for accuracy; none where there are no pretrained weights to be had offline.
EPOCHS = {"fastai": 3, "timm": 2, "autogluon": 2, "silverprint": 4}


def main() -> None:
    """Build what is missing, measure the parts asked for, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("SILVERPRINT_DATA", "")) / "clothing"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=192, help="of a timed epoch")
    parser.add_argument("--out", type=Path, default=VENVS / "peers.md")
    options = parser.parse_args()
    os.environ.setdefault("NO_COLOR", "1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a running job is ended too
    if not options.data.is_dir():
        sys.exit(f"{options.data} is not there; set SILVERPRINT_DATA or --data")
    peers = options.peers.split(",")
    for peer in peers:
        build(peer)
    share_weights()
    for part in filter(None, options.parts.split(",")):
        keep(part, PARTS[part](options, peers))
    kept = json.loads(STORE.read_text())
    if missing := {"sizes", "epochs", "start", "files"} - set(kept):
        sys.exit(f"no section yet: {', '.join(sorted(missing))} not measured")
    options.out.write_text(render(kept, PEERS))
    print(f"written to {options.out}")


def keep(part: str, found: dict) -> None:
    """Add what was found to what was measured before."""
    kept = json.loads(STORE.read_text()) if STORE.exists() else {}
    kept[part] = {**kept.get(part, {}), **found}
    STORE.write_text(json.dumps(kept))


def summary(run: dict, **facts: object) -> dict:
    return {key: run[key] for key in ("seconds", "peak", "load", "others")} | facts


# ---- Parts ----


def sizes(_: argparse.Namespace, peers: Sequence[str]) -> dict:
    """Say what was installed, and how much."""
    build("predict only")
    found: dict[str, dict] = {}
    for peer in (*peers, "predict only"):
        whole, cuda = size(peer)
        found[peer] = {"megabytes": whole, "cuda": cuda, "versions": versions(peer)}
    return found


def epochs(options: argparse.Namespace, peers: Sequence[str]) -> dict:
    """Time the second epoch of a part of the photos; of ours, the whole default run as well."""
    data, part = options.data, options.photos
    everything = len(list((data / "train").glob("*/*")))
    found: dict[str, list[dict]] = {peer: [] for peer in peers}
    for _ in range(options.rounds):
        for peer in peers:
            with tempfile.TemporaryDirectory() as name:
                home = Path(name)
                if peer == "silverprint":
                    found[peer].append(whole_run(data, home))
                    continue
                photos = lay(data, home / "photos", part, part // 9)
                run = must(job(peer, home, "train", photos, emptied(MODELS / peer), 2))
                first, second = (note for note in run["notes"] if "epoch" in note)
                scale = everything / part
                work = scale * (second["work"] - first["work"])
                facts = {"epoch": scale * second["seconds"], "work": work}
                found[peer].append(summary(run, **facts, photos=part, of=everything))
                print(peer, found[peer][-1], flush=True)
        keep("epochs", found)
    return found


def emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def whole_run(data: Path, home: Path) -> dict:
    """Run ours as it stands, cold, on everything, its own test photos too."""
    run = must(job("silverprint", home, "train", data, emptied(MODELS / "silverprint"), 0))
    result = noted(run, "result")[0]
    stages = result["seconds"]
    right = result["metrics"]["test"]["accuracy"]
    facts = summary(run, stages=stages, work=noted(run, "work")[0], accuracy=right)
    print("silverprint", facts, flush=True)
    return facts


def accuracy(options: argparse.Namespace, peers: Sequence[str]) -> dict:
    """Train on all photos for a few epochs, once; ours fine-tunes here, beside its default run."""
    found = {}
    for peer in filter(EPOCHS.__contains__, peers):
        with tempfile.TemporaryDirectory() as name:
            home = Path(name)
            ours = peer == "silverprint"
            photos = options.data if ours else lay(options.data, home / "photos")
            run = must(job(peer, home, "train", photos, home, EPOCHS[peer]))
            if ours:
                result = noted(run, "result")[0]
                steps = [[run["seconds"], result["metrics"]["test"]["accuracy"]]]
                facts = {"stages": result["seconds"]}
            else:
                wanted = [note for note in run["notes"] if "epoch" in note]
                steps, facts = [[note["at"], note["accuracy"]] for note in wanted], {}
        found[peer] = summary(run, steps=steps, **facts)
        print(peer, found[peer], flush=True)
        keep("accuracy", found)
    return found


def start(options: argparse.Namespace, peers: Sequence[str]) -> dict:
    """Time an import, and one photo with the model that was timed: a fresh process, and again."""
    photo = sorted((options.data / "test").glob("*/*"))[0]
    found: dict[str, dict[str, list[float]]] = {peer: {} for peer in peers}
    for _ in range(options.rounds):
        for peer in peers:
            for key, value in start_once(peer, photo).items():
                found[peer].setdefault(key, []).append(value)
        keep("start", found)
    return found


def start_once(peer: str, photo: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        command = [python(peer), "-c", IMPORTS[peer]]
        imported = must(watched(command, environment(home), home, LIMIT))
        run = must(job(peer, home, "predict", MODELS / peer, photo, 10))
    fresh = next(note["at"] for note in run["notes"] if "label" in note)
    warm = statistics.median(noted(run, "warm"))
    return {"import": imported["seconds"], "fresh": fresh, "warm": warm, "peak": run["peak"],
            "load": run["load"], "others": run["others"]}  # fmt: skip


def files(options: argparse.Namespace, peers: Sequence[str]) -> dict:
    """Put one awkward file at a time among 31 good photos, train, and see what was made of it."""
    data = options.data
    photo = Image.open(sorted((data / "train" / "dress").glob("*"))[0]).convert("RGB")
    found: dict[str, dict[str, str]] = {}
    for peer in peers:
        with tempfile.TemporaryDirectory() as name:
            home = Path(name)
            kinds = enumerate(("", *FILES))  # numbers, so that no path names what is looked for
            folders = {k: lay_awkward(data, home / str(i), k, photo) for i, k in kinds}
            must(job(peer, home, "each", *folders.values(), before=obey_permissions))
            runs = {kind: read_run(folder) for kind, folder in folders.items()}
            good = must(runs.pop(""))["pictures"] - 1  # one makes way for the awkward file
            found[peer] = {
                kind: judge(runs[kind], right_answer(kind, photo), good) for kind in FILES
            }
        for kind, verdict in found[peer].items():
            last = runs[kind]["output"].strip().splitlines()[-1:] if runs[kind]["code"] else ""
            print(f"{peer}, {kind}: {verdict} {last}", flush=True)
    return found


def lay_awkward(data: Path, folder: Path, kind: str, photo: Image.Image) -> Path:
    """Copy 32 training photos of two classes, one of them replaced by an awkward file, if any."""
    for part, source, count in (("train", "train", 16), ("validation", "test", 4)):
        for label in ("dress", "shoes"):
            place_of = folder / "photos" / part / label
            place_of.mkdir(parents=True)
            # The first dress is what the awkward file shows, so it is none of these.
            for file in sorted((data / source / label).glob("*"))[1 : count + 1]:
                shutil.copy(file, place_of)
    (folder / "out").mkdir()
    if kind:
        sorted((folder / "photos" / "train" / "dress").glob("*"))[0].unlink()
        (folder / "alone" / "dress").mkdir(parents=True)
        for beside in ("photos/train/dress", "alone/dress"):
            place(kind, photo, folder / beside)
    return folder


def read_run(folder: Path) -> dict:
    """Return what one child left: code, output, pictures and seen (16, 16, 3), or None."""
    notes = folder / "notes.jsonl"
    run = {
        "notes": [json.loads(line) for line in notes.read_text().splitlines()]
        if notes.exists()
        else []
    }
    seen, pictures = noted(run, "seen"), noted(run, "pictures")
    return {
        "code": int((folder / "code").read_text()),
        "output": (folder / "log.txt").read_text("utf-8", "replace"),
        "pictures": pictures[0] if pictures else None,
        "seen": np.reshape(seen[0], (16, 16, 3)).astype(np.float32) if seen else None,
    }


PARTS = {"sizes": sizes, "epochs": epochs, "start": start, "files": files, "accuracy": accuracy}

if __name__ == "__main__":
    main()
