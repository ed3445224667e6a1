import numpy as np

from silverprint.runtime.sheets import sheet, to_bytes


def test_grey_becomes_rgb_and_what_is_outside_is_cut() -> None:
    pictures = np.array([-0.5, 0, 0.5, 2], np.float32).reshape(4, 1, 1, 1)
    assert to_bytes(pictures)[:, 0, 0].tolist() == [[0] * 3, [0] * 3, [128] * 3, [255] * 3]


def test_rows_lie_under_one_another_and_wrap_together() -> None:
    above = np.linspace(0, 0.4, 5, dtype=np.float32).reshape(5, 1, 1, 1).repeat(2, 2).repeat(2, 3)
    below = above + np.float32(0.5)
    found = sheet([above, below], columns=3, gap=1, enlarge=1)
    # Two groups of two rows of 2 px, 1 px between rows, 4 px between groups; three columns.
    assert found.shape == (2 + 1 + 2 + 4 + 2 + 1 + 2, 3 * 2 + 2, 3)
    np.testing.assert_array_equal(found[0:2, 3:5], to_bytes(above)[1])
    np.testing.assert_array_equal(found[3:5, 3:5], to_bytes(below)[1])
    np.testing.assert_array_equal(found[9:11, 0:2], to_bytes(above)[3])
    assert (found[9:, 6:] == 255).all(), "the last group is not full"


def test_small_pictures_are_enlarged_with_square_pixels() -> None:
    found = sheet([np.random.default_rng(0).random((3, 3, 8, 8), dtype=np.float32)])
    assert found.shape == (32, 3 * 32 + 2 * 2, 3)
    assert (found[0:4, 0:4] == found[0, 0]).all()
