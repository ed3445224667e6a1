"""How fast the frozen network runs in each engine, and how near that is to the machine's limit."""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from common import guarded, interleaved, spread, table
from silverprint.backbones.engines import engine_candidates, import_openvino, make_engine
from silverprint.backbones.networks import reload_backbone
from silverprint.backbones.prepare import PreparedBackbone, prepare_backbone
from silverprint.backbones.quantise import quantise
from silverprint.backbones.registry import choose_backbone

BATCH = 32
THREADS = 2


def section(rounds: int) -> str:
    """Measure all engines on the same pixels; return the Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare_backbone(choose_backbone(), Path(folder), notify=lambda _: None)
        pixels = np.random.default_rng(0).integers(
            0, 256, (BATCH, 3, prepared.size, prepared.size), dtype=np.uint8
        )
        quantise(prepared, pixels)
        speeds = interleaved(_ways(prepared, pixels), rounds)
        dense, depthwise = operations(prepared)
        shares = time_by_kind(prepared)
    limits = {kind: gemm_rate(kind) for kind in (torch.float32, torch.bfloat16)}
    eager = speeds["torch eager f32"]
    rows, marks = [], []
    for name, values in speeds.items():
        kind = torch.bfloat16 if "bf16" in name else torch.float32
        ratios = [value / base for value, base in zip(values, eager, strict=True)]
        share = statistics.median(values) * (dense + depthwise) / limits[kind]
        shown = "–" if "int8" in name else f"{100 * share:.0f} %"
        rows.append([name, spread(values, 0), spread(ratios), shown])
        if not name.startswith("torch"):
            marks.append(guarded(f"{name} / torch eager", ratios))
    return (
        f"## Extraction\n\nEfficientNet-Lite0, 224 px, {BATCH} pictures of noise a call, "
        f"{rounds} rounds interleaved; median (least to most).\n\n"
        + table(["engine", "pictures/s", "times torch eager", "of the matrix limit"], rows)
        + f"\n\nThe network takes {(dense + depthwise) / 1e9:.3f} GFLOP a picture, of which "
        f"{depthwise / 1e9:.3f} are depthwise convolutions, which no matrix unit can do. Measured "
        f"limit of a matrix product of 4096: f32 {limits[torch.float32] / 1e9:,.0f}, "
        f"bf16 {limits[torch.bfloat16] / 1e9:,.0f} GFLOP/s. OpenVINO bf16 spends "
        + ", ".join(f"{100 * share:.0f} % of its time in {kind}" for kind, share in shares.items())
        + ".\n\n"
        + "\n".join(marks)
    )


def _ways(prepared: PreparedBackbone, pixels: np.ndarray) -> dict[str, Callable[[], float]]:
    network = reload_backbone(prepared.choice, prepared.size, prepared.weights)
    last = reload_backbone(prepared.choice, prepared.size, prepared.weights).to(
        memory_format=torch.channels_last
    )
    batch = torch.from_numpy(pixels)

    def eager() -> None:
        with torch.inference_mode():
            network(batch)

    def channels_last() -> None:
        with torch.inference_mode():
            last(batch.contiguous(memory_format=torch.channels_last))

    def autocast() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            last(batch.contiguous(memory_format=torch.channels_last))

    ways = {
        "torch eager f32": _speed(eager),
        "torch channels_last f32": _speed(channels_last),
        "torch channels_last bf16": _speed(autocast),
    }
    openvino = [name for name in engine_candidates() if name.startswith("openvino")]
    for name in ["onnxruntime-f32", *reversed(openvino), "openvino-int8"]:
        engine = make_engine(name, prepared)
        parts = np.array_split(pixels, len(pixels) // engine.batch)
        pool = ThreadPoolExecutor(THREADS)
        ways[name] = _speed(lambda e=engine, p=parts, t=pool: list(t.map(e.features, p)))
    return ways


def _speed(call: Callable[[], object]) -> Callable[[], float]:
    call()

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(4):
            call()
        return 4 * BATCH / (time.perf_counter() - began)

    return measure


def gemm_rate(kind: torch.dtype, side: int = 4096) -> float:
    """Return FLOP/s of a square matrix product, the best of five."""
    matrix = torch.randn(side, side).to(kind)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def operations(prepared: PreparedBackbone) -> tuple[float, float]:
    """Count a picture's floating-point operations: (dense, depthwise), two a multiply-add."""
    counts = {"dense": 0.0, "depthwise": 0.0}

    def count(layer: torch.nn.Conv2d, _: object, output: torch.Tensor) -> None:
        inputs = layer.weight.shape[1] * layer.weight.shape[2] * layer.weight.shape[3]
        kind = "depthwise" if layer.groups == layer.in_channels else "dense"
        counts[kind] += 2 * inputs * output.numel()

    network = reload_backbone(prepared.choice, prepared.size, prepared.weights)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 3, prepared.size, prepared.size, dtype=torch.uint8))
    return counts["dense"], counts["depthwise"]


def time_by_kind(prepared: PreparedBackbone) -> dict[str, float]:
    """Return the share of OpenVINO bf16's time that each kind of layer takes."""
    openvino = import_openvino()
    model = openvino.Core().read_model(prepared.graph)
    model.reshape([8, 3, prepared.size, prepared.size])
    settings = {"PERF_COUNT": True, "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "bf16"}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    pixels = np.zeros((8, 3, prepared.size, prepared.size), dtype=np.uint8)
    seconds: dict[str, float] = {}
    for _ in range(5):
        request.infer([pixels])
    for layer in request.profiling_info:
        kinds = {"Convolution": "dense convolutions", "GroupConvolution": "depthwise convolutions"}
        kind = kinds.get(layer.node_type, "everything else")
        seconds[kind] = seconds.get(kind, 0.0) + layer.real_time.total_seconds()
    return {kind: value / sum(seconds.values()) for kind, value in seconds.items()}


if __name__ == "__main__":
    print(section(int(sys.argv[1])))
