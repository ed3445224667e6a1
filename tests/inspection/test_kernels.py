"""Kernels: OpenCV and torch agree, and what is written on the command line is read right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.errors import ConfigError
from silverprint.inspection.kernels import (
    STANDARD,
    Kernel,
    by_opencv,
    by_torch,
    canny,
    grey,
    parse_kernel,
    shown,
)

pytest.importorskip("cv2", reason="the extra explain is not installed")
ROUNDING = 2e-6  # of 255 times the sum of the absolute weights


def picture(height: int, width: int, colour: bool = True) -> np.ndarray:
    shape = (height, width, 3) if colour else (height, width)
    return np.random.default_rng(height).uniform(0, 255, shape).astype(np.float32)


@pytest.mark.parametrize("kernel", STANDARD, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("colour", [True, False])
def test_opencv_and_torch_agree(kernel, colour) -> None:
    values = picture(23, 31, colour)
    expected = by_opencv(kernel, values)
    found = by_torch(kernel, values)
    assert found.shape == expected.shape == values.shape
    limit = ROUNDING * 255 * np.abs(kernel.weights).sum()
    np.testing.assert_allclose(found, expected, atol=limit)


@given(
    height=st.integers(1, 7), width=st.integers(1, 7), seed=st.integers(0, 999),
)  # fmt: skip
def test_they_agree_on_any_kernel_even_sides_too(height, width, seed) -> None:
    weights = np.random.default_rng(seed).normal(0, 1, (height, width)).astype(np.float32)
    kernel, values = Kernel("custom", weights), picture(9, 8, colour=False)
    limit = ROUNDING * 255 * np.abs(weights).sum()
    np.testing.assert_allclose(by_torch(kernel, values), by_opencv(kernel, values), atol=limit)


def test_sobel_finds_the_slope() -> None:
    slope = np.tile(np.arange(20, dtype=np.float32), (12, 1))
    across, down = (
        by_opencv(next(k for k in STANDARD if k.name == name), slope)
        for name in ("Sobel x", "Sobel y")
    )
    assert (across[:, 1:-1] == 8).all()
    assert (down == 0).all()


def test_what_sums_to_zero_is_shown_around_mid_grey() -> None:
    edges = next(k for k in STANDARD if k.name == "Laplacian")
    assert edges.finds_edges
    flat = shown(edges, np.zeros((4, 4), dtype=np.float32))
    assert set(np.unique(flat)) <= {127, 128}
    blur = STANDARD[0]
    assert not blur.finds_edges
    assert shown(blur, np.full((2, 2), 300, dtype=np.float32)).max() == 255


def test_canny_finds_the_border_of_a_square() -> None:
    values = np.zeros((40, 40), dtype=np.float32)
    values[10:30, 10:30] = 200
    edges = canny(values, 100, 200)
    assert set(np.unique(edges)) == {0, 255}
    rows, columns = np.nonzero(edges)
    assert 8 <= rows.min() <= 11
    assert 28 <= columns.max() <= 31
    assert not edges[15:25, 15:25].any()


@pytest.mark.parametrize("low_high", [(-1, 5), (9, 3), (0, float("nan"))])
def test_canny_refuses(low_high) -> None:
    with pytest.raises(ConfigError, match="canny takes LOW,HIGH with 0 <= LOW <= HIGH"):
        canny(picture(9, 9, colour=False), *low_high)


@pytest.mark.parametrize(("text", "expected"), [
    ("0,1,0;1,-4,1;0,1,0", [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    ("1/9 1/9 1/9", [[1 / 9] * 3]),
    (" 1 , 2 ; 3.5 , -4e-1 ", [[1, 2], [3.5, -0.4]]),
    ("7", [[7]]),
])  # fmt: skip
def test_kernels_as_text(text, expected) -> None:
    kernel = parse_kernel(text, 2)
    assert kernel.name == "custom 2"
    np.testing.assert_allclose(kernel.weights, expected, rtol=1e-6)


def test_kernels_in_a_file(tmp_path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("1 0 -1\n\n2, 0, -2\n1\t0\t-1\n")
    kernel = parse_kernel(str(path))
    assert kernel.name == "mine.txt"
    assert kernel.weights.tolist() == [[1, 0, -1], [2, 0, -2], [1, 0, -1]]


@pytest.mark.parametrize(("text", "message"), [
    ("1,2;3", r"must have rows of one length; they have \[2, 1\] numbers"),
    ("", r"kernel '' holds no numbers; write rows such as "),
    ("a,b", "'a' is not a number, and no file has that name"),
    ("1/0", "'1/0' is not a number"),
    ("nan", "'nan' is not a number"),
    ("1,inf", "'inf' is not a number"),
    (";".join(["1"] * 32), "is 32 x 1; at most 31 x 31"),
    ("missing.txt", "'missing.txt' is not a number, and no file has that name"),
])  # fmt: skip
def test_kernels_that_are_refused(text, message) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_kernel(text)


@pytest.mark.parametrize("apply", [by_opencv, by_torch])
def test_a_kernel_larger_than_the_picture(apply) -> None:
    with pytest.raises(ConfigError, match="is 1 x 9, larger than the picture of 5 x 4 pixels"):
        apply(Kernel("long", np.ones((1, 9), dtype=np.float32)), picture(5, 4))


def test_grey_is_luma() -> None:
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [9, 9, 9]]], dtype=np.uint8)
    np.testing.assert_allclose(grey(pixels), [[76.245, 149.685, 9]], rtol=1e-5)
