"""From what was measured to the section of RESULTS.md."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import common
from common import machine, percent, table

LITE0 = "EfficientNet-Lite0, ImageNet weights"
NETWORKS = {
    "silverprint": f"{LITE0}; frozen, looked at once",
    "silverprint --finetune": f"{LITE0}; all of it learns",
    "fastai": f"{LITE0}; frozen but for the batch norms, as `vision_learner` does",
    "timm": f"{LITE0}; all of it learns",
    "autogluon": f"{LITE0}; all of it learns",
    "keras": "EfficientNetB0, *random* weights: for time alone; frozen",
    "ultralytics": "YOLO26n-cls, *random* weights: for time alone; all of it learns",
}
TIMED = (
    "tool",
    "network",
    "seconds an epoch",
    "times ours",
    "core seconds an epoch",
    "times ours",
    "peak MB",
)
STARTED = (
    "tool",
    "installed MB",
    "of it CUDA",
    "import, s",
    "first answer, s",
    "again, ms",
    "peak MB",
)
REACHED = (
    "tool",
    "test accuracy at the end",
    "seconds to ours",
    "on the way",
    "as many epochs, alone, s",
    "load average",
    "cores others took",
)
BESIDE = ("load average", "cores others took")
NAMES = {"autogluon": "AutoGluon", "keras": "Keras", "ultralytics": "Ultralytics"}


def render(kept: Mapping[str, dict], peers: Sequence[str]) -> str:
    """Write the section from the parts that were measured."""
    written = [
        write(kept, [peer for peer in peers if peer in kept[part]])
        for part, write in WRITERS.items()
        if part in kept  # accuracy takes an hour; the rest stands without it
    ]
    if "accuracy" not in kept:
        written.append(NO_COURSE)
    return "\n\n".join([HEAD, *written, "### Versions", versions(kept, peers), TERMS]) + "\n"


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Write the median with least and most, or the only value."""
    one = len(values) == 1
    return f"{values[0]:,.{digits}f}" if one else common.spread(values, digits)


def shown(peer: str) -> str:
    return NAMES.get(peer, peer)


def reached(steps: Sequence[Sequence[float]], target: float) -> str:
    """Say when an accuracy was first reached, given [seconds, accuracy] of every epoch."""
    for number, (seconds, right) in enumerate(steps, 1):
        if right >= target:
            return f"{seconds:,.0f}, after epoch {number}"
    return f"not within {len(steps)} epochs, {steps[-1][0]:,.0f} s"


def neighbours(runs: Sequence[Mapping[str, float]]) -> list[str]:
    """Write what else the machine did: its load average, and the cores that others took."""
    return [spread([run["load"] for run in runs]), spread([run["others"] for run in runs])]


def epochs(kept: Mapping[str, dict], peers: Sequence[str]) -> str:
    """Seconds an epoch, and the peak of memory while it trains."""
    found = kept["epochs"]
    whole = [run["seconds"] for run in found["silverprint"]]
    rows = []
    for peer in peers:
        runs = found[peer]
        times = [run.get("epoch", run["seconds"]) for run in runs]
        ratios = [value / base for value, base in zip(times, whole, strict=False)]
        effort = [
            run["work"] / base["work"]
            for run, base in zip(runs, found["silverprint"], strict=False)
        ]
        rows.append([shown(peer), NETWORKS[peer], spread(times), spread(ratios, 2),
                     spread([run["work"] for run in runs], 0), spread(effort, 2),
                     f"{max(run['peak'] for run in runs):,.0f}", *neighbours(runs)])  # fmt: skip
    looks = [run["stages"]["look"] for run in found["silverprint"]]
    part = next(run for peer in peers for run in found[peer] if "photos" in run)
    return (
        f"### An epoch\n\nn = {len(whole)}, interleaved, on all {part['of']:,} training photos. "
        f"For the peers the second epoch on {part['photos']} photos, with a ninth as many held "
        "out, scaled to all, so that what happens once is left out. Ours is the whole cold default "
        f"run as one process, held-out photos too; its one look at the photos took {spread(looks)} "
        "s of it, and later epochs and runs look at none again. Core seconds are the work of all "
        "processes and depend less on what else the machine does. Memory is the peak of the "
        "process tree, shared pages counted once.\n\n" + table([*TIMED, *BESIDE], rows)
    )


def accuracy(kept: Mapping[str, dict], peers: Sequence[str]) -> str:
    """Seconds to the test accuracy of our default run."""
    runs = kept["epochs"]["silverprint"]
    target = runs[-1]["accuracy"]
    whole = [run["seconds"] for run in runs]
    rows = [["silverprint", percent(target), spread(whole, 0), "–", "–", *neighbours(runs)]]
    for peer in peers:
        run = kept["accuracy"][peer]
        name = "silverprint --finetune" if peer == "silverprint" else shown(peer)
        course = "; ".join(f"{right:.3f} at {seconds:,.0f} s" for seconds, right in run["steps"])
        least = reached(run["steps"], target)
        if peer == "silverprint":
            least, passes = f"{run['seconds']:,.0f}, whole process", run["stages"]["fine-tune"] / 4
            course += f"; an epoch {passes:,.1f} s"
        alone = [one["epoch"] for one in kept["epochs"][peer] if "epoch" in one]
        quiet = f"{len(run['steps']) * statistics.median(alone):,.0f}" if alone else "–"
        rows.append([name, percent(run["steps"][-1][1]), least, course, quiet, *neighbours([run])])
    left = " and ".join(shown(peer) for peer, what in NETWORKS.items() if "*random*" in what)
    return (
        f"### To the accuracy of our default run\n\n{percent(target)} of the 372 test photos, "
        "which peers were given in place of a validation folder, so that they report it after each "
        "epoch; ours chose its head on the validation photos. Seconds since the start of the "
        f"process, all photos; ours {len(whole)} runs alone, the others one each beside other "
        "commands, so as many epochs as the table above has them, alone, are given too. For "
        f"{left} no weights can be had offline. Two or three epochs are fewer than these tools "
        "take by default, and schedules are fitted to them: what they reach in the end was not "
        "measured.\n\n" + table(REACHED, rows)
    )


def start(kept: Mapping[str, dict], peers: Sequence[str]) -> str:
    """Installed size, import, one photo."""
    rows = []
    for peer in peers:
        found, sizes = kept["start"][peer], kept["sizes"][peer]
        runs = [
            {"load": a, "others": b} for a, b in zip(found["load"], found["others"], strict=True)
        ]
        rows.append([shown(peer), f"{sizes['megabytes']:,.0f}", f"{sizes['cuda']:,.0f}",
                     spread(found["import"], 2), spread(found["fresh"], 2),
                     spread([1000 * value for value in found["warm"]]),
                     f"{max(found['peak']):,.0f}", *neighbours(runs)])  # fmt: skip
    lean = kept["sizes"]["predict only"]["megabytes"]
    loaded = [run["stages"]["import"] for run in kept["epochs"]["silverprint"]]
    rounds = len(kept["start"]["silverprint"]["import"])
    return (
        f"### Installed, imported, asked\n\nn = {rounds}, interleaved, each a fresh process; "
        "the disk was warm. `import silverprint` puts off what training needs, which takes "
        f"{spread(loaded, 2)} s more when it trains; to predict only, `pip install silverprint` "
        f"brings {lean:,.0f} MB. The first answer counts from the start of the process to the "
        "label of one test photo, and again is the median of ten more of the same.\n\n"
        + table([*STARTED, *BESIDE], rows)
    )


def files(kept: Mapping[str, dict], peers: Sequence[str]) -> str:
    """What becomes of awkward files."""
    found = kept["files"]
    rows = [[kind, *(found[peer][kind] for peer in peers)] for kind in found[peers[0]]]
    for row in rows:
        if row[0].startswith("Thumbs"):  # no picture: nobody misses it
            row[:] = [cell.replace("**", "") for cell in row]
    return (
        "### Awkward files\n\nOne such file at a time among 31 good training photos of two "
        "classes, one epoch, each a process of its own. *Told*: the output names the file. *Used*: "
        "what the tool's own loader makes of it was compared with what the file shows.\n\n"
        + table(["file", *map(shown, peers)], rows)
    )


def versions(kept: Mapping[str, dict], peers: Sequence[str]) -> str:
    """Name what was compared."""
    lines = [
        f"- {shown(peer)}: {kept['sizes'][peer]['versions']}"
        for peer in peers
        if peer in kept["sizes"]
    ]
    return "\n".join([machine(), "", *lines])


WRITERS = {"epochs": epochs, "accuracy": accuracy, "start": start, "files": files}
TERMS = """AutoGluon asks for torch 2.13.0 and timm 1.0.3 of its own accord; Keras reads pictures
with Pillow, which its size includes. AutoGluon takes a table of files, so that `Thumbs.db` is in
it is our job's doing: it lists all that lies in a folder. The runs on awkward files are forked
from one process that has done its imports."""
NO_COURSE = (
    "### To the accuracy of our default run\n\nNot measured: `--parts accuracy` takes half an hour "
    "of a quiet machine. No tool can be there before the end of its first epoch, above."
)
HEAD = """## Peers, side by side

`make bench-peers` builds a venv for each and runs the newcomer's commands, which
`benchmarks/peers/jobs/` holds, on the clothing photos. No hub was reached: the tools that build on
timm find the packaged EfficientNet-Lite0 where the hub's client keeps its downloads, so that their
commands are unchanged. AutoGluon is told to use it in place of a larger network, its own choice.
timm's train script is in no package: what it calls is called in the same order with its defaults,
except for a batch of 32 and no warm-up. Every tool uses as many threads as it likes; idle ones
sleep (`OMP_WAIT_POLICY=PASSIVE`), as in ours."""
