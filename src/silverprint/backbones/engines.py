"""Ways to run a frozen network over a batch: pixels in, features out.

An engine's name is part of the feature cache's key, so features of different engines never mix.
"""

import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.prepare import PreparedBackbone
from silverprint.errors import ConfigError, MissingExtraError, closest

EngineName = Literal[
    "openvino-bf16", "openvino-f32", "openvino-int8", "torch-cuda", "torch-mps", "torch-cpu"
]
ENGINES: tuple[str, ...] = get_args(EngineName)
# A batch for one core stays in its caches; larger ones were slower in benchmarks/extraction.py.
CORE_BATCH = 8
CPU_BATCH = 32
GPU_BATCH = 256


class Engine(ABC):
    """A frozen network that is ready to run.

    Attributes:
        name: what it runs on and its precision.
        batch: how many pictures it takes at once.
    """

    name: str
    batch: int

    @abstractmethod
    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, d) features of pixels (n, 3, S, S), n <= batch."""


class OpenVinoEngine(Engine):
    """OpenVINO on the processor: one batch a core at a time, in one precision."""

    def __init__(self, prepared: PreparedBackbone, precision: str) -> None:
        openvino = import_openvino()
        self.name = f"openvino-{precision}"
        self.batch = batch_of(self.name)
        core = openvino.Core()
        graph = prepared.int8_graph if precision == "int8" else prepared.graph
        model = core.read_model(graph)
        model.reshape([self.batch, 3, prepared.size, prepared.size])
        settings = {
            "NUM_STREAMS": os.cpu_count(),
            "INFERENCE_NUM_THREADS": os.cpu_count(),
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        self._compiled = core.compile_model(model, "CPU", settings)
        self._own = threading.local()  # each thread has a request of its own

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, d) features; a short batch is padded, because the shape is compiled in."""
        count = len(pixels)
        if count < self.batch:
            pixels = np.concatenate(
                [pixels, np.zeros_like(pixels, shape=(self.batch - count, *pixels.shape[1:]))]
            )
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        result: NDArray[np.float32] = self._own.request.infer([pixels])[0][:count].copy()
        return result


class OnnxRuntimeEngine(Engine):
    """ONNX Runtime: it runs what ships, so it holds the final examination.

    On one thread, so that each of the threads that decode can run it.
    """

    def __init__(self, prepared: PreparedBackbone, precision: str) -> None:
        import onnxruntime

        self.name = f"onnxruntime-{precision}"
        self.batch = batch_of(self.name)
        graph = prepared.int8_graph if precision == "int8" else prepared.graph
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(graph), options, ["CPUExecutionProvider"])

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, d) features."""
        result: NDArray[np.float32] = self._session.run(["features"], {"pixels": pixels})[0]
        return result


class TorchEngine(Engine):
    """torch: compiled bf16 on an accelerator, plain f32 on the processor as the reference."""

    def __init__(self, prepared: PreparedBackbone, device: str) -> None:
        import torch

        from silverprint.backbones.networks import reload_backbone

        self.name = f"torch-{device}"
        self.batch = batch_of(self.name)
        self._device = torch.device(device)
        self._reduced = device != "cpu"
        network = reload_backbone(prepared.choice, prepared.size, prepared.weights)
        self._network = network.to(self._device).to(memory_format=torch.channels_last)
        self._forward: Callable[[Any], Any] = self._network
        if device == "cuda":
            self._forward = torch.compile(self._network, dynamic=False)

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, d) features; on an accelerator a short batch is padded to one shape."""
        import torch

        count = len(pixels)
        batch = torch.from_numpy(pixels)
        if self._reduced and count < self.batch:
            batch = torch.cat([batch, batch.new_zeros((self.batch - count, *batch.shape[1:]))])
        batch = batch.to(self._device, memory_format=torch.channels_last)
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._reduced),
        ):
            result = self._forward(batch)
        features: NDArray[np.float32] = result[:count].float().cpu().numpy()
        return features


def engine_candidates(requested: str = "auto") -> list[str]:
    """Return the engines to try, best first.

    Raises:
        ConfigError: the requested engine is unknown, or this machine does not have it.
    """
    if requested != "auto":
        if requested not in ENGINES:
            raise ConfigError(
                f"engine must be auto or one of {', '.join(ENGINES)}; got {requested!r}."
                f"{closest(requested, ENGINES)}"
            )
        if requested == "openvino-bf16" and not _has_bf16():
            raise ConfigError("engine openvino-bf16: this processor has no bf16; use openvino-f32.")
        if requested in ("torch-cuda", "torch-mps") and requested != f"torch-{_accelerator()}":
            raise ConfigError(
                f"engine {requested}: torch finds no such device here; use auto or torch-cpu."
            )
        return [requested]
    accelerator = _accelerator()
    if accelerator:
        return [f"torch-{accelerator}", "torch-cpu"]
    openvino = ["openvino-bf16", "openvino-f32"] if _has_bf16() else ["openvino-f32"]
    return [*openvino, "torch-cpu"]


def shipping_engines(precision: str) -> list[str]:
    """Return the engines that may answer for the network as it ships, the fastest first.

    In f32 OpenVINO and ONNX Runtime give the same to six digits. What int8 gives depends on the
    runtime, so there it is the one that serves.
    """
    names = [f"onnxruntime-{precision}"]
    if precision == "f32" and find_spec("openvino"):
        names.insert(0, "openvino-f32")
    return names


def batch_of(name: str) -> int:
    """Return how many pictures an engine takes at once."""
    if not name.startswith("torch"):
        return CORE_BATCH
    return CPU_BATCH if name == "torch-cpu" else GPU_BATCH


def make_engine(name: str, prepared: PreparedBackbone) -> Engine:
    """Build the engine of that name; compiling takes a second or less on a processor."""
    kinds: dict[str, Callable[[PreparedBackbone, str], Engine]] = {
        "openvino": OpenVinoEngine,
        "onnxruntime": OnnxRuntimeEngine,
        "torch": TorchEngine,
    }
    kind, _, detail = name.partition("-")
    try:
        return kinds[kind](prepared, detail)
    except ImportError as error:
        raise MissingExtraError(f"engine {name}", "train") from error


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which otherwise reports every import to its makers."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    # Of two threads that are the first to touch a tensor's array, one may wait for ever for the
    # interpreter's lock while the other holds that and waits for it. So it is done here, alone.
    assert openvino.Tensor(openvino.Type.u8, openvino.Shape([1])).data.shape == (1,)
    return openvino


def _accelerator() -> str | None:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def _has_bf16() -> bool:
    try:
        openvino = import_openvino()
    except ImportError:
        return False
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
