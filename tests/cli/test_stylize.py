"""stylize on the command line: what is printed, and one line for each mistake."""

import numpy as np
import pytest
from PIL import Image

from silverprint.recipes import style_transfer

QUICK = ("--size", 48, "--steps", 3, "--backbone", "random", "--device", "cpu")


@pytest.fixture(autouse=True)
def ready() -> None:
    """These tests need no trained bundle."""


@pytest.fixture
def pictures(tmp_path):
    paths = []
    for seed in (1, 2):
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{seed}.png")
        Image.fromarray(coarse).resize((48, 36)).save(paths[-1])
    return paths


def test_one_json_object(cli, pictures, tmp_path) -> None:
    out = tmp_path / "out.png"
    ran = cli("stylize", *pictures, "--out", out, "--strip", tmp_path / "s.png", *QUICK, "--json",
              "--layers", "0,5", "--content-layers", "5", "--start", "noise", "--blend", "1",
              "--keep-colours", "luminance", "--set", "optimiser=adam")  # fmt: skip
    assert ran.code == 0
    assert ran.json["picture"] == str(out)
    assert ran.json["settings"]["layers"] == ["0", "5"]
    assert ran.json["report"] == str(tmp_path / "out.report.html")
    assert ran.json["command"].startswith("silverprint")
    assert ran.json["steps"] == 3
    assert set(ran.json["losses"]) == {"content", "style", "total_variation"}
    assert out.exists()


def test_lines_for_people(cli, pictures, tmp_path) -> None:
    ran = cli("stylize", *pictures, pictures[0], "--out", tmp_path / "out.jpg", *QUICK)
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].startswith("note: 1 scale instead of 3")
    assert lines[1].startswith("content 0.")
    assert " steps at 1 scale with random, " in lines[2]
    assert lines[3] == f"picture {tmp_path / 'out.jpg'}, 48 x 36 pixels"
    assert lines[4] == f"report {tmp_path / 'out.report.html'}"


def test_ctrl_c_writes_the_best_so_far_and_says_so(cli, pictures, tmp_path, monkeypatch) -> None:
    whole = style_transfer.Work.note

    def stop_at_two(work, *given) -> None:
        whole(work, *given)
        if work.steps == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(style_transfer.Work, "note", stop_at_two)
    out = tmp_path / "out.png"
    ran = cli("stylize", *pictures, "--out", out, *QUICK)
    assert ran.code == 130
    told = (
        "Stopped after step 2 of 3: this is the best picture so far. The same command goes on from "
        "the start of scale 1 of 1."
    )
    assert f"note: {told}\n" in ran.out
    assert out.exists()
    assert told in (tmp_path / "out.report.html").read_text("utf-8")
    assert told in cli("stylize", *pictures, "--out", out, *QUICK, "--json").json["notices"]
    assert "Stopped before its end." in (tmp_path / "out.report.html").read_text("utf-8")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--style-weight", "-1"], "style_weight must lie within 0..1e6; got -1.0."),
    (["--size", "5000"], "size must lie within 32..2048 pixels; got 5000."),
    (["--layers", "conv1"], "layer 'conv1' is no feature map of random, which has, closest"),
    (["--start", "nois"], "got 'nois'. Did you mean 'noise'?"),
    (["--blend", "1,2"], "--blend has 2 weights for 1 style picture; give one each."),
    (["--blend", "a"], "--blend takes numbers with commas between; got 'a'."),
    (["--set", "blend=1,2"], "--blend has 2 weights for 1 style picture; give one each."),
    (["--set", "blend=a"], "blend takes weights above 0, at most 1e6; got 'a'."),
    (["--set", "layers=0,99"], "layer '99' is no feature map of random, which has, closest"),
    (["--set", "stepz=3"], "setting 'stepz' is unknown. Did you mean 'steps'?"),
    (["--backbone", "vgg19-encoder"], "network 'vgg19-encoder' needs --weights FILE"),
    (["--backbone", "efficientnet-lite9"], "efficientnet-lite9"),
    (["--out", "out.tif"], "the result must end with .png, .jpg, .jpeg, .webp; got 'out.tif'."),
])  # fmt: skip
def test_what_is_refused(cli, pictures, tmp_path, monkeypatch, arguments, message) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli("stylize", *pictures, *QUICK, *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "stylized.png").exists()
