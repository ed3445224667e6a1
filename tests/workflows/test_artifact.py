"""How closely the written file and its two halves must agree."""

from types import SimpleNamespace

import numpy as np
import pytest

from silverprint.models.head import Head
from silverprint.workflows.artifact import AGREEMENT, _rounding


@pytest.mark.parametrize(
    ("largest", "temperature", "room"), [(8, 0.64, 1.5e-6), (240_000, 20, 1.4e-3)]
)
def test_only_huge_logits_get_more_room(largest, temperature, room) -> None:
    head = Head(np.ones((2, 1), np.float32), np.zeros(2, np.float32))
    run = SimpleNamespace(head=head, temperature=temperature)
    found = _rounding(run, np.array([[1], [-largest]], np.float32))
    assert found == pytest.approx(room, rel=0.05)
    assert (found < AGREEMENT) == (largest < 1000)
