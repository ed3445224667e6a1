"""Views: each is looked at once, whatever happens in between."""

import json

import numpy as np
import pytest
import torch

from silverprint.errors import ConfigError
from silverprint.training.views import CHUNK, NOTED, look_at_views

ROWS = 3 * CHUNK + 5


class StoppedError(Exception):
    """Stands for whatever ends the process."""


class Eye:
    """Gives a row's number and a random one; remembers how many rows it was shown."""

    def __init__(self, kind: torch.dtype = torch.float32, stop_after: int | None = None) -> None:
        self.kind, self.stop_after, self.calls, self.shown = kind, stop_after, 0, 0

    def __call__(self, rows: torch.Tensor, chance: torch.Generator | None) -> torch.Tensor:
        self.calls += 1
        if self.stop_after is not None and self.calls > self.stop_after:
            raise StoppedError
        self.shown += len(rows)
        drawn = (
            torch.zeros(len(rows)) if chance is None else torch.rand(len(rows), generator=chance)
        )
        return torch.stack([rows.float(), drawn], 1).view(-1, 2, 1, 1).to(self.kind)


def looked(tmp_path, eye, views: int = 3, **options):
    told: list[int] = []

    def advance(count: int, note: str = "") -> None:
        assert not note
        told.append(count)

    seen = look_at_views(
        eye, ROWS, views, options.pop("seed", 0), tmp_path / "views", key=options.pop("key", ""),
        advance=advance,
    )  # fmt: skip
    assert sum(told) == ROWS * max(views, 1)
    return seen


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_every_row_has_its_views(tmp_path, kind) -> None:
    seen = looked(tmp_path, Eye(kind))
    assert seen.values.shape == (3, ROWS, 2, 1, 1)
    assert seen.values.dtype == kind
    expected = torch.arange(ROWS).to(kind).expand(3, -1)
    assert torch.equal(seen.values[..., 0, 0, 0], expected)
    drawn = seen.values[..., 1, 0, 0].float()
    assert len(drawn.unique()) > (3 * ROWS - 10 if kind == torch.float32 else 100)


def test_epochs_take_turns_and_every_view_has_its_turn(tmp_path) -> None:
    seen = looked(tmp_path, Eye())
    rows = torch.tensor([4, 9, 0])
    by_epoch = torch.stack([seen.of(rows, epoch)[:, 1, 0, 0] for epoch in range(4)])
    assert torch.equal(by_epoch[3], by_epoch[0])
    assert all(len(by_epoch[:3, column].unique()) == 3 for column in range(3))
    assert seen.of(rows, 1)[:, 0, 0, 0].tolist() == [4, 9, 0]


def test_without_views_a_picture_is_looked_at_as_it_is(tmp_path) -> None:
    seen = looked(tmp_path, Eye(), views=0)
    assert seen.count == 1
    assert not seen.values[..., 1, 0, 0].any()


def test_nothing_is_looked_at_again(tmp_path) -> None:
    first = looked(tmp_path, Eye()).values.clone()
    eye = Eye()
    again = looked(tmp_path, eye)
    assert torch.equal(first, again.values)
    assert eye.shown == 1  # to learn the shape


def test_a_stopped_look_goes_on_and_ends_the_same(tmp_path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    undisturbed = looked(tmp_path / "a", Eye()).values.clone()
    with pytest.raises(StoppedError):
        looked(tmp_path / "b", Eye(stop_after=1 + NOTED + 2))
    eye = Eye()
    resumed = looked(tmp_path / "b", eye)
    assert torch.equal(undisturbed, resumed.values)
    assert eye.calls == 1 + 12 - NOTED


@pytest.mark.parametrize("change", [{"key": "other weights"}, {"views": 2}])
def test_another_look_begins_anew(tmp_path, change) -> None:
    looked(tmp_path, Eye())
    eye = Eye()
    looked(tmp_path, eye, **change)
    assert eye.shown == 1 + ROWS * change.get("views", 3)


def test_a_note_without_its_file_is_not_believed(tmp_path) -> None:
    looked(tmp_path, Eye())
    (tmp_path / "views").unlink()
    with pytest.raises(StoppedError):
        looked(tmp_path, Eye(stop_after=2))
    eye = Eye()
    looked(tmp_path, eye)
    assert eye.shown == 1 + 3 * ROWS


def test_a_full_disk_is_said_before_it_is_full(tmp_path, monkeypatch) -> None:
    class Little:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda _: Little)
    with pytest.raises(ConfigError, match=r"3 views of 101 pictures take 0\.00 GiB in .*, where"):
        looked(tmp_path, Eye())
    assert not (tmp_path / "views").exists()


def test_what_is_noted_is_on_disk(tmp_path) -> None:
    looked(tmp_path, Eye())
    note = json.loads((tmp_path / "views.json").read_text())
    assert note == {"key": "", "shape": [3, ROWS, 2, 1, 1], "kind": "torch.float32", "done": 12}
    assert np.fromfile(tmp_path / "views", dtype=np.float32).size == 3 * ROWS * 2
