"""Every test is hermetic: what it needs it makes, and what it changes is put back or reported."""

import colorsys
import ipaddress
import os
import random
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
# Two workers with two threads each would wait for each other, spinning.
os.environ["OMP_NUM_THREADS"] = "1"
ORIGINAL_DATA = os.environ.get("SILVERPRINT_DATA")
# pytest itself changes this one while a test runs.
NOT_OURS = "PYTEST_CURRENT_TEST"

MakePhotos = Callable[..., Path]


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Let nothing out but to loopback. Programs that a test starts are told to stay offline."""
    connect, connect_ex, resolve = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def checked_connect(self, address):
        _refuse_outside(self.family, address)
        return connect(self, address)

    def checked_connect_ex(self, address):
        _refuse_outside(self.family, address)
        return connect_ex(self, address)

    def checked_resolve(host, *arguments, **options):
        _refuse_outside(socket.AF_INET, (host,))
        return resolve(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", checked_connect)
        patch.setattr(socket.socket, "connect_ex", checked_connect_ex)
        patch.setattr(socket, "getaddrinfo", checked_resolve)
        patch.setenv("HF_HUB_OFFLINE", "1")
        # `import openvino` reports to its maker through this package, from a process of its own.
        patch.setitem(sys.modules, "openvino_telemetry", None)
        yield


def _refuse_outside(family: int, address: object) -> None:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return
    host = address[0] if isinstance(address, tuple) else address
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return
    try:
        numeric = ipaddress.ip_address(name)
    except ValueError:
        numeric = None
    if numeric is None or not (numeric.is_loopback or numeric.is_unspecified):
        # Not an OSError: libraries try again after those.
        raise RuntimeError(f"a test reached for the network: {name}")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_this_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures that outlive a test never touch the user's cache, nor another worker's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SILVERPRINT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    base = tmp_path_factory.mktemp("homes")
    return (base / f"{number:05d}" for number in count())


@pytest.fixture(autouse=True)
def hermetic(_homes: Iterator[Path]) -> Iterator[None]:
    """Give the test a cache and a data folder of its own; put back what it changed.

    Neither folder exists yet. torch's settings must be as they were, because the next test would
    silently run under others.
    """
    environment, folder = dict(os.environ), Path.cwd()
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    torch_before, torch_random = _torch_settings(), _torch_random()
    home = next(_homes)
    os.environ["SILVERPRINT_CACHE"] = str(home / "cache")
    os.environ["SILVERPRINT_DATA"] = str(home / "data")
    yield
    os.chdir(folder)
    _restore_environment(environment)
    random.setstate(python)
    np.random.set_state(numbers)  # noqa: NPY002
    if torch_random is not None:
        sys.modules["torch"].set_rng_state(torch_random)
    _refuse_leaks(torch_before)


def _restore_environment(before: Mapping[str, str]) -> None:
    for name in (set(os.environ) - set(before)) - {NOT_OURS}:
        del os.environ[name]
    for name, value in before.items():
        if name != NOT_OURS and os.environ.get(name) != value:
            os.environ[name] = value


def _torch_settings() -> dict[str, object]:
    """Return torch's settings, or nothing where it is not imported."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    return {
        "grad mode": torch.is_grad_enabled(),
        "default dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
    }


def _torch_random():
    torch = sys.modules.get("torch")
    return None if torch is None else torch.get_rng_state()


def _refuse_leaks(before: Mapping[str, object]) -> None:
    after = _torch_settings()
    leaks = [
        f"{name} is {after[name]}, was {value}"
        for name, value in before.items()
        if after[name] != value
    ]
    if leaks:
        torch = sys.modules["torch"]
        torch.set_grad_enabled(before["grad mode"])
        torch.set_default_dtype(before["default dtype"])
        torch.set_num_threads(before["threads"])
        torch.use_deterministic_algorithms(before["deterministic algorithms"])
        pytest.fail(f"the test left torch changed: {'; '.join(leaks)}", pytrace=False)


@pytest.fixture
def shared_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of real data, and let SILVERPRINT_DATA name it; mark the test `shared`."""
    if not ORIGINAL_DATA:
        pytest.skip("SILVERPRINT_DATA does not name the shared data")
    folder = Path(ORIGINAL_DATA)
    if not folder.is_dir():
        pytest.skip(f"SILVERPRINT_DATA names {folder}, which is not a folder")
    monkeypatch.setenv("SILVERPRINT_DATA", str(folder))
    return folder


@pytest.fixture(scope="session")
def make_photos() -> MakePhotos:
    """Return a function that writes a folder of small photos."""
    return _make_photos


def _make_photos(
    root: Path,
    classes: Mapping[str, int] | None = None,
    size: tuple[int, int] = (40, 32),
    seed: int = 0,
    splits: Sequence[str] | None = None,
) -> Path:
    """Write JPEG photos as root/class/0000.jpg, or root/split/class/0000.jpg; return the root.

    Each class has a hue of its own, which a frozen network tells apart. No two photos resemble each
    other otherwise, so none is taken for a duplicate. The same arguments give the same bytes.

    Args:
        root: folder to write into; made where missing.
        classes: how many photos of each class, here and in each split.
        size: width and height in pixels.
        seed: another seed gives other photos of the same classes.
        splits: names of the splits' folders.
    """
    counts = {"cat": 5, "dog": 4} if classes is None else classes
    for part, split in enumerate(splits or ("",)):
        for position, (name, number) in enumerate(counts.items()):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(number):
                generator = np.random.default_rng((seed, part, position, i))
                photo = _photo(generator, _hue(position), size)
                photo.save(folder / f"{i:04d}.jpg", quality=95)
    return root


def _hue(position: int) -> float:
    # The golden ratio spreads any number of hues, and an added class changes no other's.
    return position * 0.618034 % 1


def _photo(generator: np.random.Generator, hue: float, size: tuple[int, int]) -> Image.Image:
    """Return a photo of one hue, with light and dark areas and noise."""
    colour = np.array(colorsys.hsv_to_rgb((hue + generator.normal(0, 0.01)) % 1, 0.8, 1.0))
    areas = Image.fromarray(generator.integers(70, 256, (4, 5), dtype=np.uint8))
    light = np.asarray(areas.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    noise = generator.normal(0, 12, (size[1], size[0], 3))
    pixels = light[:, :, None] * colour + noise
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
