"""What lessons share: pictures drawn by class, and laid out in rows."""

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import silverprint as sp

LESSONS = Path(__file__).parents[2] / "lessons"


@pytest.fixture
def lesson(monkeypatch):
    """Import lessons/lesson.py, whose settings of matplotlib last as long as the test."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    spec = importlib.util.spec_from_file_location("lesson", LESSONS / "lesson.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lesson", module)
    with plt.rc_context():
        spec.loader.exec_module(module)
        monkeypatch.setattr(plt, "show", lambda: None)
        yield module
        plt.close("all")


@pytest.mark.parametrize("most", [7, 30, 100, None])
def test_each_class_has_its_share_of_what_is_drawn(lesson, monkeypatch, most) -> None:
    counts = {"train": (50, 30, 20), "validation": (10, 6, 4), "test": (5, 3, 2)}
    labels = np.concatenate([np.repeat(range(3), each) for each in counts.values()])
    splits = np.repeat([0, 1, 2], [sum(each) for each in counts.values()]).astype(np.int8)
    pictures = list(np.zeros((len(labels), 4, 4), np.uint8))
    names = [str(row) for row in range(len(labels))]
    dataset = sp.Dataset("photos", ("a", "b", "c"), pictures, names, labels, splits)
    monkeypatch.setattr(sp, "list_datasets", list)
    monkeypatch.setattr(sp, "read", lambda _: dataset)
    found = lesson.data("photos", train=most, test=5)
    for split, asked in (("train", most), ("validation", most), ("test", 5)):
        drawn = np.array([*found.class_counts(split).values()])
        whole = sum(counts[split])
        assert drawn.sum() == min(asked or whole, whole)
        share = np.array(counts[split]) * drawn.sum() / whole
        assert abs(drawn - share).max() <= 1
    assert list(found.names) == sorted(found.names, key=int)
    assert list(lesson.data("photos", train=most, test=5).names) == list(found.names)


def test_pictures_of_any_shape_lie_side_by_side(lesson) -> None:
    import matplotlib.pyplot as plt

    sizes = [(40, 60), (40, 30), (60, 40), (20, 20), (10, 50)]
    titles = ["one", "two\nlines", 3, 4, 5]
    lesson.show([np.zeros((*size, 3), np.uint8) for size in sizes], titles, columns=3, side=1.4)
    figure = plt.gcf()
    wide, high = figure.get_size_inches()
    assert wide == pytest.approx(3 * 1.4)
    boxes = []
    for axis, (height, width), title in zip(figure.axes, sizes, titles, strict=True):
        box = axis.get_position()
        assert box.width * wide / (box.height * high) == pytest.approx(width / height)
        assert (axis.get_title(), axis.axison) == (str(title), False)
        boxes.append(box)
    for row, count in ((boxes[:3], 3), (boxes[3:], 2)):
        assert len({round(box.height, 6) for box in row}) == 1
        gaps = [(after.x0 - box.x1) * wide for box, after in pairwise(row)]
        assert gaps == pytest.approx([lesson.GAP] * (count - 1))
        assert row[-1].x1 * wide == pytest.approx(count * 1.4 - lesson.GAP)


@pytest.mark.parametrize("picture", [np.zeros((5, 5)), np.zeros((3, 5, 5)), np.zeros((1, 9, 3))])
def test_one_picture_of_each_kind(lesson, picture) -> None:
    import matplotlib.pyplot as plt

    lesson.show([picture], columns=1, side=6)
    assert plt.gcf().get_size_inches()[0] == pytest.approx(6)
