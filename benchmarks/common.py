"""What the benchmarks share: child processes, spreads, tables, and the results file."""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
NOISE = 0.1  # a ratio that fell by less is not called a loss
PROGRAM = Path(sys.executable).parent / "silverprint"


def interleaved(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every way once a round, so that a noisy minute strikes all of them alike."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
    return found


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Write "median (least to most)"."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({least:,.{digits}f} to {most:,.{digits}f})"


def guarded(name: str, values: Sequence[float]) -> str:
    """Write a ratio, larger being better, into the results so that `losses` finds it.

    It does not show on the page.
    """
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"<!-- ratio {name}: {middle:.4g} ({least:.4g} to {most:.4g}) -->"


def losses(before: str, after: str) -> list[str]:
    """Say which ratios fell by more than a tenth, and below all that was measured before."""
    known = _ratios(before)
    return [
        f"{name}: {middle:.4g} ({least:.4g} to {most:.4g}), before {was:.4g} ({low:.4g} to "
        f"{high:.4g})"
        for name, (middle, least, most) in _ratios(after).items()
        for was, low, high in [known.get(name, (0.0, 0.0, 0.0))]
        if most < low and middle < (1 - NOISE) * was
    ]


def _ratios(text: str) -> dict[str, tuple[float, float, float]]:
    found = re.findall(r"<!-- ratio (.+): (\S+) \((\S+) to (\S+)\) -->", text)
    return {name: (float(middle), float(least), float(most)) for name, middle, least, most in found}


def percent(share: float) -> str:
    """Write 0.9234 as "92.34 %"."""
    return f"{100 * share:.2f} %"


def timed(command: Sequence[str], cache: Path | None = None) -> tuple[float, str, float]:
    """Run a command; return its wall seconds, its stdout, and its peak memory in MB."""
    environment = dict(os.environ)
    if cache is not None:
        environment["SILVERPRINT_CACHE"] = str(cache)
    began = time.perf_counter()
    with subprocess.Popen(
        [str(part) for part in command], env=environment, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if child.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {child.returncode}")
    return seconds, output, usage.ru_maxrss / 1024


def train(data: Path, cache: Path, out: Path, *options: str) -> tuple[float, dict, float]:
    """Run `silverprint train --json`; return its wall seconds, its result, its peak MB."""
    command = [PROGRAM, "train", data, "--out", out, "--json", "--quiet", *options]
    seconds, output, memory = timed(command, cache)
    return seconds, json.loads(output), memory


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def machine() -> str:
    """Say what this was measured on."""
    model = platform.processor() or platform.machine()
    flags = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        facts = dict(
            (part.strip() for part in line.split(":", 1))
            for line in cpuinfo.read_text().splitlines()
            if ":" in line
        )
        model = facts.get("model name", model)
        wanted = ("avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
        flags = " ".join(flag for flag in wanted if flag in facts.get("flags", "").split())
    libraries = ("torch", "openvino", "onnxruntime", "timm", "pillow")
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    return (
        f"{os.cpu_count()} cores of {model} ({flags}), Python {platform.python_version()}, "
        f"{versions}."
    )


def write_section(path: Path, name: str, text: str) -> None:
    """Put a section into the results file, in place of the one of that name."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    whole = path.read_text("utf-8") if path.exists() else "# Results\n"
    section = f"{begin}\n{text.strip()}\n{end}\n"
    before, found, rest = whole.partition(begin)
    if found:
        whole = before + section + rest.partition(f"{end}\n")[2]
    else:
        whole = f"{whole.rstrip()}\n\n{section}"
    path.write_text(whole, "utf-8")
