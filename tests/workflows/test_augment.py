"""The augmentation sheet: what is on it, what it refuses."""

import os

import numpy as np
import pytest
from PIL import Image

from silverprint.data.read import read
from silverprint.data.table import Dataset
from silverprint.errors import ConfigError, DataError
from silverprint.workflows.augment import CAPTION, GAP, augmentation_sheet


@pytest.fixture(scope="module")
def photos(make_photos, tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"), {"cat": 4, "dog": 2, "emu": 1})


def tile(sheet, row, column, side=112):
    """Return one picture of a sheet as an array."""
    left = GAP + column * (side + GAP) + GAP * (column > 0)
    top = GAP + row * (side + GAP + CAPTION)
    with Image.open(sheet) as picture:
        return np.asarray(picture.convert("RGB"))[top : top + side, left : left + side]


def grey_arrays(count=6, classes=("0", "1")):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return Dataset(
        name="squares",
        classes=classes,
        sources=list(pixels),
        names=[f"squares[{i}]" for i in range(count)],
        labels=np.arange(count) % len(classes),
        splits=np.zeros(count, dtype=np.int8),
    )


def test_rows_are_the_pictures_and_then_their_views(tmp_path) -> None:
    dataset, out = grey_arrays(), tmp_path / "sheet.png"
    sheet = augmentation_sheet(dataset, out, policy="digits", pictures=4, views=3)
    assert (sheet.size, sheet.views, sheet.policy, sheet.reason) == (28, 3, "digits", "")
    assert [label for _, label in sheet.pictures] in (["0", "1", "0", "1"], ["1", "0", "1", "0"])
    for row, (file, _) in enumerate(sheet.pictures):
        original = dataset.sources[dataset.names.index(file)]
        large = np.kron(original, np.ones((4, 4), dtype=np.uint8))  # enlarged, and not blurred
        assert (tile(out, row, 0) == large[..., None]).all()
        views = [tile(out, row, column) for column in (1, 2, 3)]
        assert all((view[::4, ::4].repeat(4, 0).repeat(4, 1) == view).all() for view in views)
        assert len({view.tobytes() for view in (*views, tile(out, row, 0))}) == 4


def test_a_policy_that_does_nothing_shows_the_picture_again(tmp_path) -> None:
    out = tmp_path / "sheet.png"
    augmentation_sheet(grey_arrays(), out, policy="none", pictures=2, views=2)
    for row in range(2):
        assert (tile(out, row, 2) == tile(out, row, 0)).all()


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_the_seed_decides_and_the_folder_is_made(photos, tmp_path, ending) -> None:
    dataset = read(photos)
    files = [tmp_path / "new" / f"{name}.{ending}" for name in "abc"]
    sheets = [
        augmentation_sheet(dataset, file, pictures=3, views=2, seed=seed)
        for file, seed in zip(files, (1, 1, 2), strict=True)
    ]
    assert sorted(label for _, label in sheets[0].pictures) == ["cat", "dog", "emu"]
    first, second, third = (file.read_bytes() for file in files)
    assert first == second != third
    assert sorted(path.name for path in files[0].parent.iterdir()) == [f.name for f in files]


def test_small_photos_keep_their_size_and_large_ones_get_the_usual(photos, tmp_path) -> None:
    out = tmp_path / "sheet.png"
    sheet = augmentation_sheet(read(photos), out, pictures=9, views=1)
    assert sheet.size == 40
    assert len(sheet.pictures) == 7  # all there are
    assert (sheet.policy, "pixels" in sheet.reason) == ("small", True)
    assert augmentation_sheet(read(photos), out, size=100).policy == "photos"
    large = Image.new("RGB", (300, 200))
    for name in ("a", "b"):
        (tmp_path / "large" / name).mkdir(parents=True)
        large.save(tmp_path / "large" / name / "1.png")
    assert augmentation_sheet(read(tmp_path / "large"), out).size == 128


def test_pictures_that_cannot_be_read_are_passed_over_and_named(photos, tmp_path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "mixed" / name).mkdir(parents=True)
        (tmp_path / "mixed" / name / "bad.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (tmp_path / "mixed" / "cat" / "good.jpg").write_bytes(
        next(photos.glob("cat/*.jpg")).read_bytes()
    )
    sheet = augmentation_sheet(read(tmp_path / "mixed"), tmp_path / "sheet.png")
    assert [file for file, _ in sheet.pictures] == ["cat/good.jpg"]
    assert sorted(file for file, _ in sheet.refused) == ["cat/bad.jpg", "dog/bad.jpg"]
    (tmp_path / "mixed" / "cat" / "good.jpg").unlink()
    with pytest.raises(DataError, match=r"none of its 2 pictures can be read\. The first: .*bad"):
        augmentation_sheet(read(tmp_path / "mixed"), tmp_path / "sheet.png")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"policy": "digit"}, r"policy must be one of none, .*'digit'\. Did you mean 'digits'\?"),
        ({"pictures": 0}, "pictures must be at least 1; got 0"),
        ({"views": -1}, "views must be at least 1; got -1"),
        ({"size": 8}, r"size must lie within 16\.\.512 pixels; got 8"),
        ({"views": 500}, r"500 views of 28 pixels would be .* too large; ask for fewer"),
    ],
)
def test_arguments_outside_their_range_are_refused(tmp_path, options, text) -> None:
    out = tmp_path / "sheet.png"
    with pytest.raises(ConfigError, match=text):
        augmentation_sheet(grey_arrays(), out, **options)
    assert not out.exists()


def test_places_that_cannot_be_written_are_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    for place, text in (
        ("sheet.gif", r"out must end with \.png, \.jpg, \.jpeg, \.webp; got .*sheet\.gif"),
        ("sheet", "out must end with"),
        ("folder.png", "is a folder; name a file in it"),
        ("file/sheet.png", "cannot be written .*name another place"),
    ):
        with pytest.raises(ConfigError, match=text):
            augmentation_sheet(grey_arrays(), tmp_path / place)
    if os.geteuid():  # root may write everywhere
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(ConfigError, match="its folder is read-only"):
            augmentation_sheet(grey_arrays(), tmp_path / "closed" / "sheet.png")


def test_labels_of_several_classes_are_all_written() -> None:
    from silverprint.workflows.augment import _label

    single = grey_arrays()
    several = Dataset(
        name="several", classes=("a", "b", "c"), sources=single.sources[:2],
        names=single.names[:2], labels=np.array([[1, 0, 1], [0, 0, 0]], dtype=np.uint8),
        splits=single.splits[:2], task="multi-label",
    )  # fmt: skip
    assert _label(several, 0) == "a, c"
    assert _label(several, 1) == ""
