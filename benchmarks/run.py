"""Measure Silverprint, and write what was measured into RESULTS.md.

SILVERPRINT_DATA=... make bench
python benchmarks/run.py --only heads,start
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import networks
from common import (
    HERE,
    PROGRAM,
    guarded,
    interleaved,
    losses,
    machine,
    spread,
    table,
    timed,
    train,
    write_section,
)

sys.path.append(str(HERE / "peers"))
import trial
import venvs

SWEEP = ("--learning-rate", "1e-4,1e-3,1e-2,1e-1", "--hidden-size", "10,100,1000",
         "--dropout", "0,0.2,0.5,0.8")  # fmt: skip
EPOCHS = 10


def main() -> None:
    """Run the sections asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("SILVERPRINT_DATA", "")) / "clothing"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    committed = _committed(options.out)
    lost: list[str] = []
    write_section(options.out, "machine", f"Measured on {machine()}")
    for name in options.only.split(","):
        if name != "extraction" and name != "decoding" and not options.data.is_dir():
            print(f"{name}: skipped, {options.data} is not there; set SILVERPRINT_DATA or --data")
            continue
        with tempfile.TemporaryDirectory() as folder:
            text = SECTIONS[name](options.data, options.rounds, Path(folder))
        print(f"\n{text}\n", flush=True)
        write_section(options.out, name, text)
        lost += losses(committed, text)
    if lost:
        raise SystemExit("\n".join(["slower than what is committed, beyond noise:", *lost]))


def _committed(results: Path) -> str:
    """Return the results as they are committed; as they stand where there is no git."""
    command = ["git", "show", f"HEAD:./{results.name}"]
    shown = subprocess.run(command, cwd=results.parent, capture_output=True, text=True, check=False)
    if shown.returncode == 0:
        return shown.stdout
    return results.read_text("utf-8") if results.exists() else ""


def extraction(_: Path, rounds: int, __: Path) -> str:
    """Engines."""
    return timed([sys.executable, HERE / "extraction.py", str(max(5, rounds))])[1]


def training(data: Path, rounds: int, folder: Path) -> str:
    """A cold and a warm run against loops that look again in every epoch."""
    pictures = 384
    counts = {part: len(list((data / part).glob("*/*"))) for part in ("train", "validation")}
    results: dict[str, dict] = {}

    def cold() -> float:
        shutil.rmtree(folder / "cache", ignore_errors=True)
        seconds, results["cold"], _ = train(data, folder / "cache", folder / "bundle")
        return seconds

    def warm() -> float:
        other = ("--hidden-size", "64", "--learning-rate", "3e-3")
        seconds, results["warm"], _ = train(data, folder / "cache", folder / "bundle", *other)
        return seconds

    def naive() -> float:
        command = [sys.executable, HERE / "naive_loop.py", data, str(pictures)]
        return EPOCHS * counts["train"] / float(timed(command)[1])

    def fastai() -> float:
        home = Path(tempfile.mkdtemp(dir=folder))
        photos = trial.lay(data, home / "photos", pictures, pictures // 9)
        run = trial.must(trial.job("fastai", home, "train", photos, home, 2))
        return EPOCHS * trial.noted(run, "seconds")[1] * counts["train"] / pictures

    ways = {"cold run": cold, "warm run, other head": warm, "naive loop, 10 epochs": naive}
    has_fastai = venvs.python("fastai").exists()
    if has_fastai:
        ways["fastai frozen, 10 epochs"] = fastai
    found = interleaved(ways, rounds)
    rows, marks = [], []
    for name, seconds in found.items():
        ratios = [value / base for value, base in zip(seconds, found["cold run"], strict=True)]
        rows.append([name, spread(seconds), spread(ratios, 2)])
        if name == "warm run, other head":
            marks.append(guarded("cold run / warm run", [1 / ratio for ratio in ratios]))
        elif name != "cold run":
            marks.append(guarded(f"{name} / cold run", ratios))
    stages = [
        f"- last {name} run: "
        + ", ".join(f"{stage} {value:.2f} s" for stage, value in results[name]["seconds"].items())
        + f"; test accuracy {results[name]['metrics']['test']['accuracy']:.4f}"
        for name in ("cold", "warm")
    ]
    return (
        f"## Training\n\n{data.name}: {counts['train']:,} training and {counts['validation']:,} "
        f"validation photos, {rounds} rounds interleaved; whole processes for our runs. The naive "
        f"loop and fastai are timed on one epoch of {pictures} photos (fastai: its second, with "
        f"held-out ones), without their start, and scaled to {EPOCHS} epochs of all; all use the "
        "same weights.\n\n"
        + table(["what", "seconds", "times our cold run"], rows)
        + "\n\n"
        + "\n".join(stages)
        + ("" if has_fastai else "\n\nfastai was not measured: `make bench-peers` builds its venv.")
    )


def heads(data: Path, rounds: int, folder: Path) -> str:
    """48 heads at once, warm."""
    train(data, folder / "cache", folder / "bundle")
    seconds, stage = [], []
    for _ in range(rounds):
        wall, result, _ = train(data, folder / "cache", folder / "bundle", *SWEEP)
        seconds.append(wall)
        stage.append(result["seconds"]["heads"])
    return (
        f"## 48 heads at once\n\n4 learning rates x 3 hidden sizes x 4 dropouts on cached "
        f"features, {rounds} runs: fitting {spread(stage)} s, whole process {spread(seconds)} s."
    )


def start(data: Path, rounds: int, folder: Path) -> str:
    """How long small commands take."""
    train(data, folder / "cache", folder / "bundle")
    photo = next(iter(sorted((data / "test").glob("*/*"))))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import silverprint": [sys.executable, "-c", "import silverprint"],
        "silverprint --help": [PROGRAM, "--help"],
        "silverprint predict, one photo": [PROGRAM, "predict", folder / "bundle", photo],
        "import torch": [sys.executable, "-c", "import torch"],
    }
    ways = {name: lambda c=command: timed(c)[0] for name, command in commands.items()}
    found = interleaved(ways, 3 * rounds)
    rows = [[name, spread(values, 2)] for name, values in found.items()]
    marks = [
        guarded(f"import torch / {name}", [a / b for a, b in zip(torch, found[name], strict=True)])
        for torch in [found["import torch"]]
        for name in ("silverprint --help", "silverprint predict, one photo")
    ]
    told = table(["command", "seconds"], rows)
    return "\n\n".join([f"## Start\n\n{3 * rounds} rounds interleaved.", told, "\n".join(marks)])


def memory(data: Path, _: int, folder: Path) -> str:
    """Peak memory of a cold run, for few and for many photos."""
    rows = []
    for count in (300, 3000):
        root = folder / str(count)
        for part, share in (("train", count * 5 // 6), ("validation", count // 6)):
            files = sorted((data / "train").glob("*/*"))[part == "validation" :: 2]
            for i in range(share):
                file = files[i * len(files) // share]
                place = root / part / file.parent.name
                place.mkdir(parents=True, exist_ok=True)
                (place / f"{i}-{file.name}").symlink_to(file.resolve())
        _, result, peak = train(root, folder / f"cache{count}", folder / "bundle")
        rows.append([f"{result['pictures']:,}", f"{peak:,.0f}"])
    return (
        "## Memory\n\nPeak resident memory of a cold run, a sixth of the photos for validation."
        "\n\n" + table(["photos", "MB"], rows)
    )


def kill(data: Path, _: int, __: Path) -> str:
    """Ten kills."""
    command = [sys.executable, HERE / "kill_test.py", data]
    lines = timed(command)[1].strip().splitlines()
    return "## Kill -9\n\n" + "\n".join(f"- {line}" for line in lines)


def decoding(_: Path, __: int, ___: Path) -> str:
    """Decoders; measured by decoding.py in a venv that has them all."""
    return (HERE / "decoding.md").read_text("utf-8")


def usual_loop(data: Path, rounds: int, _: Path) -> str:
    """An MNIST epoch against the usual loop."""
    output = timed([sys.executable, HERE / "mnist.py", data.parent / "mnist", str(rounds)])[1]
    return f"## An epoch of an MLP against the usual loop\n\n{output}"


def epoch(data: Path, rounds: int, _: Path) -> str:
    """An epoch of fine-tuning against the plain loop."""
    output = timed([sys.executable, HERE / "finetune.py", data, "--rounds", str(rounds)])[1]
    return f"## An epoch of fine-tuning against the plain loop\n\n{output}"


def serving(data: Path, rounds: int, _: Path) -> str:
    """The server under load, against peers, and against hostile clients."""
    return timed([sys.executable, HERE / "serving.py", data, "--rounds", str(rounds)])[1]


def export(data: Path, _: int, folder: Path) -> str:
    """Exported files against the bundle: answers, and int8."""
    train(data, folder / "cache", folder / "bundle")
    return timed([sys.executable, HERE / "export.py", folder / "bundle"], folder / "cache")[1]


def browser(data: Path, _: int, folder: Path) -> str:
    """The exported page in a headless browser against Python."""
    train(data, folder / "cache", folder / "bundle")
    command = [sys.executable, HERE / "browser.py", folder / "bundle", "--data", data / "test"]
    return timed(command)[1]


def audit(data: Path, rounds: int, _: Path) -> str:
    """Planted faults, and what finds them."""
    return timed([sys.executable, HERE / "audit.py", data, "--seeds", str(rounds)])[1]


def door(_: Path, __: int, folder: Path) -> str:
    """Whom the door for Bo lets in."""
    return timed([sys.executable, HERE / "door.py"], folder / "cache")[1]


def unknown(_: Path, __: int, folder: Path) -> str:
    """Which detector knows the unknown."""
    return timed([sys.executable, HERE / "unknown.py"], folder / "cache")[1]


def conformal(data: Path, _: int, folder: Path) -> str:
    """Which sets of labels hold the truth as often as asked."""
    train(data, folder / "cache", folder / "bundle")
    command = [sys.executable, HERE / "conformal.py", folder / "bundle", data]
    return timed(command, folder / "cache")[1]


def next_(_: Path, rounds: int, folder: Path) -> str:
    """Which pictures to label next; draws docs/labelling/*.svg."""
    command = [sys.executable, HERE / "next.py", "--seeds", str(2 * rounds)]
    return timed(command, folder / "cache")[1]


def autoencoders(_: Path, rounds: int, __: Path) -> str:
    """Autoencoders against PCA, the denoiser's gain, the checkerboard."""
    return timed([sys.executable, HERE / "autoencoders.py", "--seeds", str(rounds)])[1]


def vae(data: Path, _: int, folder: Path) -> str:
    """A variational autoencoder of digits: likelihood, and what its own look like."""
    return timed([sys.executable, HERE / "vae.py", data.parent / "mnist"], folder / "cache")[1]


def gan(data: Path, rounds: int, folder: Path) -> str:
    """A gan of digits against a vae and real ones."""
    command = [sys.executable, HERE / "gan.py", "--data", data.parent / "mnist", "--seeds", rounds]
    return timed([str(part) for part in command], folder / "cache")[1]


def text(data: Path, rounds: int, _: Path) -> str:
    """A character model's speed against the usual course network."""
    command = [sys.executable, HERE / "text.py", data.parent / "text" / "anna.txt"]
    return "## A character model's speed\n\n" + timed([*command, "--rounds", str(rounds)])[1]


def scale(_: Path, __: int, folder: Path) -> str:
    """Whether a picture costs the same, whatever came before it."""
    command = [sys.executable, HERE / "scale.py", "--pictures", "5000,100000", "--folder", folder]
    return timed(command)[1]


def cluster(_: Path, __: int, ___: Path) -> str:
    """Two Ray nodes against one machine, with kills."""
    return timed([sys.executable, HERE / "cluster.py"])[1]


SECTIONS = {
    "extraction": extraction,
    "training": training,
    "heads": heads,
    "start": start,
    "memory": memory,
    "kill": kill,
    "decoding": decoding,
    "usual-loop": usual_loop,
    "epoch": epoch,
    "serving": serving,
    "export": export,
    "browser": browser,
    "audit": audit,
    "unknown": unknown,
    "vae": vae,
    "gan": gan,
    "next": next_,
    "conformal": conformal,
    "door": door,
    "autoencoders": autoencoders,
    "text": text,
    "scale": scale,
    "cluster": cluster,
    **networks.SECTIONS,
}

if __name__ == "__main__":
    main()
