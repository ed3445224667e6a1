"""Look once: how often the network runs, on what, and what happens when something goes wrong."""

import os
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from silverprint.backbones import look as module
from silverprint.backbones.cache import trim
from silverprint.backbones.engines import CPU_BATCH, Engine, batch_of
from silverprint.backbones.look import WINDOW, Look, join_looks, look
from silverprint.backbones.reading import PictureReader
from silverprint.backbones.verify import verify_engine
from silverprint.errors import BackboneError, ConfigError
from silverprint.runtime.paths import cache_folder
from silverprint.runtime.preprocessing import Preprocessing

SMALL = Preprocessing(size=16)


def array(number: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)


def expected(arrays) -> np.ndarray:
    """What CountingEngine answers for 16-pixel pictures, which preprocessing leaves alone."""
    pixels = np.stack(arrays).transpose(0, 3, 1, 2)
    return pixels.reshape(len(pixels), 3, 4, -1).astype(np.float32).mean(3).reshape(-1, 12)


@pytest.fixture
def looked_at(made_up, request):
    """Look with the stand-in where the test has one."""
    name = "torch-cpu"
    if "engine" in request.fixturenames:
        name = request.getfixturevalue("engine").name

    def call(sources, *, engine: str = name, **options) -> Look:
        names = [f"picture {i}" for i in range(len(sources))]
        return look(made_up, SMALL, sources, names, cache=cache_folder(), engine=engine, **options)

    return call


def written(folder: Path, numbers) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for number in numbers:
        paths.append(folder / f"{number}.png")
        Image.fromarray(array(number)).save(paths[-1])
    return paths


# ---- Once ----


def test_each_picture_passes_once_and_in_order(looked_at, engine) -> None:
    sources = [array(i) for i in range(100)]
    seen = looked_at(sources)
    assert seen.looked == len(engine.seen) == 100
    assert engine.calls == -(-100 // engine.batch)
    np.testing.assert_array_equal(seen.rows, np.arange(100))
    np.testing.assert_array_equal(seen.features(), expected(sources))
    again = looked_at(sources)
    assert again.looked == 0
    assert len(engine.seen) == 100
    np.testing.assert_array_equal(again.features(), expected(sources))


def test_added_pictures_cost_only_themselves(looked_at, engine) -> None:
    old, new = [array(i) for i in range(100)], [array(i) for i in range(100, 120)]
    looked_at(old)
    mixed = new[:7] + old[:50] + new[7:] + old[50:]
    seen = looked_at(mixed)
    assert seen.looked == 20
    assert len(engine.seen) == 120
    np.testing.assert_array_equal(seen.features(), expected(mixed))


def test_duplicates_cost_one(looked_at, engine) -> None:
    sources = [array(i % 3) for i in range(90)]
    seen = looked_at(sources)
    assert seen.looked == len(engine.seen) == 3
    assert len(seen.digests) == 90
    np.testing.assert_array_equal(seen.features(), expected(sources))


def test_a_file_is_known_by_its_bytes_and_not_by_its_name(looked_at, engine, tmp_path) -> None:
    paths = written(tmp_path / "photos", range(5))
    looked_at(paths)
    moved = [path.rename(tmp_path / f"renamed-{path.name}") for path in paths]
    assert looked_at(moved).looked == 0
    Image.fromarray(array(77)).save(moved[2])
    changed = looked_at(moved)
    assert changed.looked == 1
    np.testing.assert_array_equal(changed.features()[2], expected([array(77)])[0])
    assert len(engine.seen) == 6


def test_pictures_that_judge_are_decoded_in_full_and_kept_apart(lite0, tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(noise).save(path, quality=95)
    preprocessing = Preprocessing(size=lite0.size)
    quick, exact, whole = (
        PictureReader(preprocessing, [source], ["a"], exact=exact).see(0, ()).pixels
        for source, exact in ((path, False), (path, True), (np.asarray(Image.open(path)), False))
    )
    np.testing.assert_array_equal(exact, whole)
    assert not np.array_equal(quick, exact)
    for exact in (False, True):
        seen = look(
            lite0, preprocessing, [path], ["a"], cache=cache_folder(), engine="onnxruntime-f32",
            exact=exact,
        )  # fmt: skip
        assert seen.looked == 1, "what one saw is not taken for what the other sees"


def test_an_array_and_a_file_of_the_same_pixels_look_the_same(looked_at, engine, tmp_path) -> None:
    paths = written(tmp_path, range(3))
    mixed = [paths[0], array(1), paths[2], array(0)]
    seen = looked_at(mixed)
    np.testing.assert_array_equal(seen.features(), expected([array(i) for i in (0, 1, 2, 0)]))
    assert len(engine.seen) == 4


def test_arrays_of_other_shapes_do_not_mix(looked_at, engine) -> None:
    flat = np.arange(64, dtype=np.uint8)
    seen = looked_at([flat.reshape(8, 8), flat.reshape(4, 16), flat.reshape(16, 4)])
    assert len(set(seen.digests)) == 3
    assert len(engine.seen) == 3


def test_other_preprocessing_looks_again(made_up, engine) -> None:
    sources, names = [array(i, 20) for i in range(4)], list("abcd")
    for fit, looked in (("pad", 4), ("squash", 4), ("pad", 0)):
        options = {"cache": cache_folder(), "engine": engine.name}
        seen = look(made_up, Preprocessing(size=16, fit=fit), sources, names, **options)
        assert seen.looked == looked
    assert len(engine.seen) == 8


def test_only_the_rows_asked_for(looked_at, engine) -> None:
    sources = [array(i) for i in range(10)]
    seen = looked_at(sources, rows=np.array([7, 2, 5]))
    np.testing.assert_array_equal(seen.rows, [7, 2, 5])
    np.testing.assert_array_equal(seen.features(), expected([sources[i] for i in (7, 2, 5)]))
    np.testing.assert_array_equal(seen.features(np.array([2])), expected([sources[5]]))
    assert len(engine.seen) == 3


def test_nothing_to_look_at(looked_at, engine) -> None:
    seen = looked_at([])
    assert seen.features().shape == (0, 12)
    assert engine.calls == 0


# ---- Progress and refusals ----


def test_unreadable_pictures_are_listed_and_the_rest_goes_on(looked_at, engine, tmp_path) -> None:
    sources = [*written(tmp_path, range(40))]
    sources[3].write_bytes(sources[3].read_bytes()[:60])
    sources[5].write_text("a shopping list")
    sources[20].unlink()
    sources[21] = tmp_path
    advanced: list[int] = []
    seen = looked_at(sources, advance=advanced.append)
    assert [name for name, _ in seen.refused] == [f"picture {i}" for i in (3, 5, 20, 21)]
    reasons = [reason for _, reason in seen.refused]
    assert "truncated" in reasons[0]
    assert "no such file" in reasons[2]
    assert "is a folder" in reasons[3]
    assert sum(advanced) == 40
    good = [i for i in range(40) if i not in (3, 5, 20, 21)]
    np.testing.assert_array_equal(seen.rows, good)
    np.testing.assert_array_equal(seen.features(), expected([array(i) for i in good]))
    assert len(engine.seen) == 36


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_and_not_waited_for(looked_at, engine, tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    seen = looked_at([tmp_path / "pipe.jpg", array(0)])
    assert seen.refused == [("picture 0", "is a folder, a pipe or a device, not a file")]
    assert engine.calls == 1


def test_a_file_too_large_for_a_picture_is_not_read(looked_at, engine, tmp_path) -> None:
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(2**30 + 1)  # sparse
    seen = looked_at([huge, array(0)])
    assert [name for name, _ in seen.refused] == ["picture 0"]
    assert "1,073,741,825 bytes" in seen.refused[0][1]
    assert engine.calls == 1


# ---- Memory ----


def test_no_more_than_the_window_is_in_memory(looked_at, engine, monkeypatch) -> None:
    alive: weakref.WeakSet = weakref.WeakSet()
    most = 0

    class Tracked(np.ndarray):
        pass

    plain = PictureReader.pixels

    def tracked(self, content, name):
        nonlocal most
        pixels = plain(self, content, name).view(Tracked)
        alive.add(pixels)
        most = max(most, len(alive))
        return pixels

    monkeypatch.setattr(PictureReader, "pixels", tracked)
    monkeypatch.setattr(Tracked, "__hash__", object.__hash__, raising=False)
    monkeypatch.setattr(Tracked, "__eq__", object.__eq__, raising=False)
    seen = looked_at([array(i) for i in range(400)])
    assert seen.looked == len(engine.seen) == 400
    window = max(WINDOW, 2 * (os.cpu_count() or 1))
    assert engine.batch <= most <= window * engine.batch


# ---- Interruption ----


@pytest.mark.parametrize("failing", [RuntimeError, KeyboardInterrupt])
def test_what_was_seen_before_an_interruption_is_kept(looked_at, engine, failing) -> None:
    sources = [array(i) for i in range(200)]

    def fail() -> None:
        if engine.calls == 4:
            raise failing("stop")

    engine.on_call = fail
    with pytest.raises(failing, match="stop"):
        looked_at(sources)
    engine.on_call = lambda: None
    seen = looked_at(sources)
    if engine.name.startswith("torch"):
        assert seen.looked == 200 - 3 * engine.batch
        assert len(engine.seen) == 200
    else:  # chunks that were under way beside the failing one are lost
        assert 0 < seen.looked < 200
    np.testing.assert_array_equal(seen.features(), expected(sources))


@pytest.mark.usefixtures("engine")
def test_a_damaged_shard_is_looked_at_again_with_a_notice(looked_at) -> None:
    sources = [array(i) for i in range(20)]
    looked_at(sources)
    (shard,) = cache_folder().rglob("*.shard")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    seen = looked_at(sources)
    assert seen.looked == 20
    assert seen.notices == [
        "1 damaged cache file(s) were dropped and their pictures looked at again."
    ]
    np.testing.assert_array_equal(seen.features(), expected(sources))


def test_features_that_another_run_evicts_are_looked_at_again(looked_at, engine) -> None:
    sources = [array(i) for i in range(20)]
    seen = looked_at(sources)
    trim(cache_folder(), 0)
    np.testing.assert_array_equal(seen.features(), expected(sources))
    assert len(engine.seen) == 40


@pytest.mark.usefixtures("engine")
def test_features_that_vanish_for_ever_end_in_a_sentence(looked_at) -> None:
    seen = looked_at([array(i) for i in range(3)])
    assert seen.again is not None
    honest = seen.again

    def again() -> Look:
        result = honest()
        trim(cache_folder(), 0)
        return result

    trim(cache_folder(), 0)
    seen.again = again
    with pytest.raises(BackboneError, match=r"3 pictures vanished from the cache.*--cache-limit"):
        seen.features()


# ---- Engines ----


class Wrong(Engine):
    """Finite, and nothing like the reference."""

    def __init__(self, name: str, answer: float = 1.0) -> None:
        self.name = name
        self.batch = batch_of(name)
        self.calls = 0
        self.answer = answer

    def features(self, pixels: np.ndarray) -> np.ndarray:
        self.calls += 1
        return np.full((len(pixels), 12), self.answer, np.float32) * np.arange(-5, 7)


@pytest.fixture
def engines(engine, monkeypatch):
    """Let auto try a wrong engine first, then the right one."""
    engine.name = "torch-cpu"
    engine.batch = CPU_BATCH
    monkeypatch.setattr(module, "verify_engine", verify_engine)
    made = {"openvino-bf16": Wrong("openvino-bf16"), "torch-cpu": engine}
    monkeypatch.setattr(module, "engine_candidates", lambda _: list(made))
    for where in ("look", "verify"):
        monkeypatch.setattr(
            f"silverprint.backbones.{where}.make_engine", lambda name, _: made[name]
        )
    return made


@pytest.mark.parametrize("answer", [1.0, float("nan")])
def test_an_engine_with_wrong_features_is_dropped_with_a_notice(looked_at, engines, answer) -> None:
    engines["openvino-bf16"].answer = answer
    sources = [array(i) for i in range(50)]
    advanced: list[int] = []
    seen = looked_at(sources, engine="auto", advance=advanced.append)
    assert seen.engine == "torch-cpu"
    assert seen.looked == 50
    assert sum(advanced) == 50
    (notice,) = seen.notices
    assert notice.startswith("engine openvino-bf16 was dropped: on the first 8 pictures")
    assert notice.endswith("below 0.995.")
    np.testing.assert_array_equal(seen.features(), expected(sources))


def test_a_dropped_engine_is_not_tried_again(looked_at, engines) -> None:
    """Otherwise it might pass on other pictures, and all would be looked at again."""
    sources = [array(i) for i in range(50)]
    looked_at(sources, engine="auto")
    calls = engines["openvino-bf16"].calls
    seen = looked_at([array(99), *sources], engine="auto")
    assert engines["openvino-bf16"].calls == calls
    assert seen.looked == 1
    assert seen.notices == []


def test_other_pictures_give_a_dropped_engine_another_chance(looked_at, engines) -> None:
    looked_at([array(i) for i in range(50)], engine="auto")
    calls = engines["openvino-bf16"].calls
    seen = looked_at([array(i) for i in range(100, 150)], engine="auto")
    assert engines["openvino-bf16"].calls > calls
    assert seen.looked == 50


@pytest.mark.usefixtures("engines")
def test_where_every_engine_is_dropped_the_error_says_why(looked_at, monkeypatch) -> None:
    monkeypatch.setattr(module, "engine_candidates", lambda _: ["openvino-bf16"])
    with pytest.raises(BackboneError, match=r"no engine works for made-up: engine openvino-bf16"):
        looked_at([array(0)], engine="auto")


def test_an_unknown_engine_is_refused_before_anything_is_read(looked_at, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"engine must be auto or one of .* got 'gpu'"):
        looked_at([tmp_path / "missing.jpg"], engine="gpu")


def test_int8_needs_readable_pictures(looked_at, tmp_path) -> None:
    with pytest.raises(BackboneError, match="int8 needs pictures to calibrate on"):
        looked_at([tmp_path / "missing.jpg"], engine="openvino-int8")


def test_looks_at_different_rows_join_in_their_order(looked_at, engine, tmp_path) -> None:
    paths = written(tmp_path / "photos", range(9))
    paths[4].write_bytes(b"no picture")
    odd = looked_at(paths, rows=np.arange(1, 9, 2))
    even = looked_at(paths, rows=np.arange(0, 9, 2))
    joined = join_looks(odd, even)
    assert joined.rows.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert [name for name, _ in joined.refused] == ["picture 4"]
    assert joined.looked == len(engine.seen) == 8
    everything = expected([array(int(row)) for row in joined.rows])
    np.testing.assert_array_equal(joined.features(), everything)
    for positions in ([5, 2, 3], [3, 1], [0]):  # of both looks, and of one alone
        found = joined.features(np.array(positions))
        np.testing.assert_array_equal(found, everything[positions])


def test_many_pictures_beyond_those_run_last_pass_once(looked_at, engine, monkeypatch) -> None:
    monkeypatch.setattr(module, "CLAIMS", 2 * WINDOW * engine.batch)
    sources = [array(i % 1500) for i in range(3000)]
    seen = looked_at(sources)
    assert seen.looked == len(engine.seen) == 1500
    np.testing.assert_array_equal(seen.features()[1500:], seen.features()[:1500])


@pytest.mark.usefixtures("engine")
def test_beyond_memory_features_are_streamed(looked_at, monkeypatch) -> None:
    sources = [array(i) for i in range(600)]
    seen = looked_at(sources)
    assert seen.stream(np.arange(600)) is None
    monkeypatch.setattr("silverprint.backbones.cache.MEMORY_LIMIT", 599 * 12 * 4)
    joined = join_looks(looked_at(sources, rows=np.arange(1, 600)), looked_at(sources[:1]))
    assert joined.stream(np.arange(600)) is None, "from two looks"
    for one in (seen, joined):
        some = np.arange(599, -1, -1) if one is seen else np.repeat(np.arange(1, 600), 2)
        stream = one.stream(some)
        result = np.zeros((len(some), 12), np.float32)
        for positions, features in stream.parts():
            result[positions] = features
        np.testing.assert_array_equal(result, expected([sources[row] for row in some]))
    trim(cache_folder(), 0)
    assert seen.stream(np.arange(600)).shape == (600, 12), "evicted ones are looked at again"
