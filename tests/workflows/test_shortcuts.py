"""A class that metadata give away is found; one that they do not is left alone."""

import numpy as np
import pytest

from silverprint.data.audit.facts import DIMENSION, FORMATS, NAMES, Facts
from silverprint.data.splits import folds
from silverprint.data.table import Dataset
from silverprint.workflows.shortcuts import find_shortcuts

COUNT = 120


@pytest.fixture
def plain() -> tuple[Dataset, dict[str, np.ndarray]]:
    """Three classes whose metadata are random."""
    random = np.random.default_rng(0)
    labels = np.arange(COUNT) % 3
    table = Dataset(
        "x",
        ("cat", "dog", "emu"),
        [np.zeros((1, 1), np.uint8)] * COUNT,
        [f"{row}" for row in range(COUNT)],
        labels,
        np.zeros(COUNT, np.int8),
    )
    values = {name: random.uniform(0.2, 0.8, COUNT) for name in NAMES}
    for side in ("width", "height", "bytes"):
        values[side] = random.integers(100, 200, COUNT).astype(float)
    values["format"] = np.full(COUNT, FORMATS.index("JPEG"), float)
    return table, values


def found(table: Dataset, values: dict[str, np.ndarray]) -> list[tuple[str, float]]:
    matrix = np.zeros((COUNT, DIMENSION), np.float32)
    matrix[:, : len(NAMES)] = np.stack([values[name] for name in NAMES], axis=1)
    return list(find_shortcuts(table, Facts(matrix), folds(table.labels, 5)))


def test_random_metadata_tell_nothing(plain) -> None:
    assert found(*plain) == []


def test_a_class_of_another_format_is_named(plain) -> None:
    table, values = plain
    values["format"][table.labels == 1] = FORMATS.index("PNG")
    ((detail, score),) = found(table, values)
    assert detail.startswith("File format alone tells dog (100%) from all others")
    assert score == 1


def test_a_class_of_another_size_is_named(plain) -> None:
    table, values = plain
    values["width"][table.labels == 2] += 300
    details = [detail for detail, _ in found(table, values)]
    assert any(detail.startswith("Size in pixels alone tells emu (100%)") for detail in details)
    assert any(detail.startswith("Shape (width over height) alone tells emu") for detail in details)


def test_of_a_class_with_few_pictures_nothing_is_said(plain) -> None:
    table, values = plain
    table.labels[:] = np.where(np.arange(COUNT) < 6, 2, np.arange(COUNT) % 2)
    values["format"][table.labels == 2] = FORMATS.index("PNG")
    assert not any("emu" in detail for detail, _ in found(table, values))
