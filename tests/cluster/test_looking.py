"""The pass of a cluster against that of one machine, with Ray played by one process."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from silverprint.backbones.engines import Engine
from silverprint.backbones.look import Look, look
from silverprint.backbones.prepare import FACTS, PreparedBackbone
from silverprint.backbones.reading import View
from silverprint.backbones.registry import BackboneChoice
from silverprint.backbones.verify import EngineRejectedError
from silverprint.cluster import looking
from silverprint.cluster.looking import Cluster, Known, place_of
from silverprint.errors import BackboneError, ConfigError
from silverprint.runtime.paths import cache_folder
from silverprint.runtime.preprocessing import Preprocessing

from .conftest import FakeRay

ENGINE = "onnxruntime-f32"
SMALL = Preprocessing(size=16)


class Bands(Engine):
    """Features are means of four bands of each channel; pictures are counted."""

    name = ENGINE
    batch = 8
    seen = 0

    def features(self, pixels: np.ndarray) -> np.ndarray:
        Bands.seen += len(pixels)
        bands = pixels.reshape(len(pixels), 3, 4, -1).astype(np.float32)
        return bands.mean(axis=3).reshape(len(pixels), 12)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreparedBackbone:
    folder = tmp_path / "made-up-16-v1-0123456789abcdef"
    folder.mkdir()
    for name in (FACTS, "backbone.onnx", "weights.safetensors"):
        (folder / name).write_bytes(name.encode())
    Bands.seen = 0
    monkeypatch.setattr("silverprint.backbones.look.make_engine", lambda *_: Bands())
    monkeypatch.setattr("silverprint.backbones.look.verify_engine", lambda *_: None)
    choice = BackboneChoice("made-up", "made-up", "file", folder / "weights", "none")
    return PreparedBackbone(
        choice=choice, folder=folder, features=12, size=16, mean=(0.5,) * 3, std=(0.5,) * 3,
        crop=1.0, parameters=0, classifier=False,
    )  # fmt: skip


def pictures(folder: Path, count: int) -> list[Path]:
    """Write pictures, of which one is broken and two are copies."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:03d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        random = np.random.default_rng(number % (count - 2))
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    paths[5].write_bytes(b"no picture")
    return paths


def seen(network: PreparedBackbone, sources: list, on: str | None, **options: object) -> Look:
    cache = cache_folder() / str(on)
    names = [f"picture {i}" for i in range(len(sources))]
    place = place_of(on)
    return look(network, SMALL, sources, names, cache=cache, engine=ENGINE, place=place, **options)


@pytest.mark.usefixtures("fake_ray")
def test_the_same_as_on_one_machine(network: PreparedBackbone, tmp_path: Path) -> None:
    sources = [*pictures(tmp_path / "p", 90), np.zeros((16, 16), np.uint8)]
    rows = np.random.default_rng(0).permutation(91)
    done: list[int] = []
    ours, theirs = (
        seen(network, sources, None, rows=rows),
        seen(network, sources, "ray", rows=rows, advance=done.append),
    )
    assert theirs.rows.tolist() == ours.rows.tolist()
    assert list(theirs.digests) == list(ours.digests)
    assert theirs.refused == ours.refused == [("picture 5", ours.refused[0][1])]
    assert theirs.looked == ours.looked == 88  # of 91 one is broken, and two are copies
    assert (theirs.features() == ours.features()).all()
    assert sum(done) == 91


@pytest.mark.usefixtures("fake_ray")
def test_what_is_in_the_cache_is_not_looked_at(network: PreparedBackbone, tmp_path: Path) -> None:
    sources = pictures(tmp_path / "p", 40)
    seen(network, sources[:20], "ray")
    Bands.seen = 0
    again = seen(network, sources, "ray")
    assert again.looked == Bands.seen == 37 - 19  # two of the new ones are copies
    assert len(again.rows) == 39


def test_a_driver_that_stops_keeps_what_came(
    network: PreparedBackbone, tmp_path: Path, fake_ray: FakeRay
) -> None:
    sources = pictures(tmp_path / "p", 160)  # in chunks of 16
    fake_ray.fails = (4, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        seen(network, sources, "ray")
    fake_ray.fails = None
    Bands.seen = 0
    assert seen(network, sources, "ray").looked == Bands.seen == 157 - 63


@pytest.mark.usefixtures("fake_ray")
def test_a_lost_result_is_done_again(network: PreparedBackbone, tmp_path: Path) -> None:
    sources = pictures(tmp_path / "p", 8)
    job = looking.Job(ENGINE, network, {}, SMALL, None, False, np.zeros(0, "S32"))
    looker = looking.Looker(job)
    chunk = looking.Chunk(np.arange(8), sources, [str(path) for path in sources])
    (_, first), (_, again) = looker.work(chunk), looker.work(chunk)
    assert len(first) == 5  # of 8, one is broken, and 6 and 7 are copies of 0 and 1
    assert first.keys() == again.keys()


@pytest.mark.usefixtures("fake_ray")
def test_views_travel(network: PreparedBackbone, tmp_path: Path) -> None:
    sources = pictures(tmp_path / "p", 10)
    view = View("darker", lambda pixels, digest: pixels // 2)  # noqa: ARG005
    ours, theirs = (seen(network, sources, on, view=view).features() for on in (None, "ray"))
    assert (ours == theirs).all()


@pytest.mark.usefixtures("fake_ray")
def test_an_engine_that_a_node_rejects(
    network: PreparedBackbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reject(*_: object) -> None:
        raise EngineRejectedError("engine x was dropped: it is wrong")

    monkeypatch.setattr("silverprint.backbones.look.verify_engine", reject)
    with pytest.raises(BackboneError, match=r"no engine works for made-up: engine x was dropped"):
        seen(network, pictures(tmp_path / "p", 9), "ray")


@pytest.mark.usefixtures("fake_ray")
def test_an_engine_that_a_node_has_not(network: PreparedBackbone, tmp_path: Path) -> None:
    job = looking.Job("torch-mps", network, {}, SMALL, None, False, np.zeros(0, "S32"))
    sources = pictures(tmp_path / "p", 9)
    told = looking.Looker(job).work(looking.Chunk(np.arange(9), sources, list("abcdefghi")))
    assert told == (
        "engine torch-mps was dropped: a node does not have it (engine torch-mps: torch finds no "
        "such device here; use auto or torch-cpu.)"
    )


def test_known_digests() -> None:
    digests = [bytes([first]) + bytes(31) for first in (0, 7, 200, 255)]
    known = Known(np.sort(np.array(digests, "S32")))
    assert all(digest in known for digest in digests)
    assert bytes([7]) + bytes(30) + b"\1" not in known
    assert b"\xff" * 32 not in known
    assert digests[0] not in Known(np.zeros(0, "S32"))


@pytest.mark.usefixtures("fake_ray")
def test_a_node_says_which_engines_there_are() -> None:
    assert Cluster("ray").candidates("torch-cpu") == ["torch-cpu"]
    with pytest.raises(ConfigError, match="engine must be auto or one of"):
        Cluster("ray").candidates("nonsense")
