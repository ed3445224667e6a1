"""The bundle that tests/runtime makes, which costs nothing."""

import importlib.util
from pathlib import Path

NEIGHBOUR = Path(__file__).parents[1] / "runtime" / "conftest.py"
_spec = importlib.util.spec_from_file_location("runtime_conftest", NEIGHBOUR)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
make_bundle = _module.make_bundle
