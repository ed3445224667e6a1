"""An application around a bundle that tells red from green from blue."""

import importlib.util
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from silverprint.serving.app import create_app
from silverprint.serving.settings import Settings

NEIGHBOUR = Path(__file__).parents[1] / "runtime" / "conftest.py"
_spec = importlib.util.spec_from_file_location("runtime_conftest", NEIGHBOUR)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
make_bundle = _module.make_bundle

COLOURS = {"red": (250, 5, 5), "green": (5, 250, 5), "blue": (5, 5, 250)}
UNIFORM = [i / 20 for i in range(21)]
REFERENCE = {"pictures": 5_000, "confidence": UNIFORM, "distance": UNIFORM}


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Return a function that gives a picture of one colour as a file's bytes."""

    def make(colour: str = "red", kind: str = "PNG", size: tuple[int, int] = (20, 20)) -> bytes:
        buffer = io.BytesIO()
        pixels = np.full((size[1], size[0], 3), COLOURS[colour], np.uint8)
        Image.fromarray(pixels).save(buffer, kind)
        return buffer.getvalue()

    return make


@pytest.fixture
def client_of(make_bundle: Callable[..., Path]) -> Iterator[Callable[..., TestClient]]:
    """Return a function that starts an application with these settings, and gives its client."""
    with ExitStack() as stack:

        def start(bundles: Any = None, *, raising: bool = True, **settings: Any) -> TestClient:
            bundles = bundles or {"colours": make_bundle(distance=True, reference=REFERENCE)}
            app = create_app(bundles, Settings(**{"threads": 1, **settings}))
            return stack.enter_context(TestClient(app, raise_server_exceptions=raising))

        yield start


@pytest.fixture
def client(client_of: Callable[..., TestClient]) -> TestClient:
    return client_of()
