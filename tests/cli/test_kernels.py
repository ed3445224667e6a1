"""kernels: the figure, its files, and what is refused."""

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2", reason="the extra explain is not installed")
pytest.importorskip("resvg_py", reason="the extra explain is not installed")


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((180, 120)).save(tmp_path / "road.png")
    return tmp_path / "road.png"


def test_a_figure_and_a_file_for_each_filter(cli, photo, tmp_path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("1 1 1\n1 -8 1\n1 1 1\n")
    ran = cli("kernels", photo, "--kernel", "0,0,1", "--kernel", own, "--out", tmp_path / "k.png",
              "--separate", tmp_path / "parts", "--json")  # fmt: skip
    assert ran.code == 0
    told = ran.json
    assert (told["height"], told["width"]) == (120, 180)
    names = [one["name"] for one in told["filters"]]
    assert names[:6] == ["Gaussian blur", "sharpen", "emboss", "Sobel x", "Sobel y", "Laplacian"]
    assert names[6:] == ["custom 1", "own.txt"]
    assert all(one["largest_difference"] < 2e-3 for one in told["filters"])
    assert told["filters"][3]["kernel"] == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    with Image.open(tmp_path / "k.png") as figure:
        assert figure.width > 1500
    assert len(told["files"]) == 9
    with Image.open(told["files"]["Canny"]) as edges:
        assert edges.size == (180, 120)
        assert set(np.unique(np.asarray(edges))) <= {0, 255}


def test_a_table_for_people(cli, photo, tmp_path) -> None:
    ran = cli("kernels", photo, "--out", tmp_path / "k.svg", "--size", 64)
    assert ran.code == 0
    assert "0,1,0; 1,-4,1; 0,1,0" in ran.out
    assert "cv2.GaussianBlur" in ran.out
    assert f"figure {tmp_path / 'k.svg'}, of 64 x 43 pixels" in ran.out


@pytest.mark.parametrize(("arguments", "message"), [
    (["--kernel", "1,x"], "'x' is not a number, and no file has that name"),
    (["--canny", "200,100"], "canny takes LOW,HIGH with 0 <= LOW <= HIGH; got 200,100."),
    (["--canny", "9"], "canny takes two thresholds, LOW,HIGH; got 1."),
    (["--canny", "a,b"], "--canny takes numbers with commas between; got 'a,b'."),
    (["--size", "3"], "size must lie within 16..4096 pixels; got 3."),
    (["--out", "figure.gif"], "a figure must end with .svg or .png; got 'figure.gif'."),
    (["--size", "16", "--kernel", ";".join(["1"] * 31)], "larger than the picture"),
])  # fmt: skip
def test_what_is_refused(cli, photo, arguments, message) -> None:
    ran = cli("kernels", photo, *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_a_picture_that_is_none(cli, tmp_path) -> None:
    ran = cli("kernels", tmp_path / "none.jpg", "--out", tmp_path / "k.svg")
    assert ran.code == 2
    assert "does not exist; check the path" in ran.err
