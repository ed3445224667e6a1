"""The feature cache: what was added comes back, whatever happens to its files."""

import hashlib
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from silverprint.backbones import cache as module
from silverprint.backbones.cache import FeatureCache, FeaturesGoneError, trim
from silverprint.backbones.packs import DigestList, digest_table
from silverprint.errors import BackboneError

DIMENSION = 5


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def row(number: int) -> np.ndarray:
    return np.arange(DIMENSION, dtype=np.float32) + np.float32(number) / 7


def rows(numbers) -> np.ndarray:
    return np.stack([row(number) for number in numbers])


def opened(root: Path) -> FeatureCache:
    return FeatureCache(root, "net-engine", {"weights": "abc"}, DIMENSION)


def filled(root: Path, numbers, *, a_shard: int = 4) -> FeatureCache:
    cache, numbers = opened(root), list(numbers)
    for start in range(0, len(numbers), a_shard):
        part = numbers[start : start + a_shard]
        cache.add([digest(number) for number in part], rows(part))
        cache.flush()
    return cache


def shards(root: Path) -> list[Path]:
    return sorted(root.glob("features/*/*.shard"))


steps = st.lists(
    st.one_of(
        st.lists(st.integers(0, 40), min_size=1, max_size=12).map(lambda n: ("add", n)),
        st.just(("flush", None)),
        st.just(("reopen", None)),
    ),
    max_size=12,
)


@given(steps=steps, order=st.randoms(use_true_random=False), packed=st.integers(1, 5))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_was_added_comes_back_in_any_order(tmp_path_factory, steps, order, packed) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PACK_SHARDS", packed)
        _comes_back(tmp_path_factory.mktemp("cache"), steps, order)


def _comes_back(root: Path, steps, order) -> None:
    cache, stored, pending = opened(root), set(), set()
    for what, numbers in steps:
        if what == "add":
            cache.add([digest(number) for number in numbers], rows(numbers))
            pending |= set(numbers)
        elif what == "flush":
            cache.flush()
            stored, pending = stored | pending, set()
        else:  # as after a kill: what was not flushed is lost, and nothing else
            cache, pending = opened(root), set()
    present = stored | pending
    assert len(cache) >= len(present)
    assert {n for n in range(41) if digest(n) in cache} == present
    wanted = [order.choice(sorted(present)) for _ in range(20)] if present else []
    if wanted:
        asked = [digest(n) for n in wanted]
        np.testing.assert_array_equal(cache.gather(asked), rows(wanted))
        np.testing.assert_array_equal(streamed(cache.stream(asked).parts(), 20), rows(wanted))
    assert cache.damaged == []


def streamed(parts, count: int) -> np.ndarray:
    """What a stream gave, in the order asked for, each row just once."""
    result, times = np.zeros((count, DIMENSION), np.float32), np.zeros(count, int)
    for positions, features in parts:
        result[positions] = features
        times[positions] += 1
    assert (times == 1).all()
    return result


def test_a_full_shard_is_written_without_being_asked(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "SHARD_ROWS", 8)
    cache = opened(tmp_path)
    cache.add([digest(n) for n in range(7)], rows(range(7)))
    assert shards(tmp_path) == []
    cache.add([digest(7)], rows([7]))
    assert len(shards(tmp_path)) == 1
    assert digest(7) in opened(tmp_path)


def test_the_name_of_a_shard_is_the_digest_of_its_content(tmp_path) -> None:
    filled(tmp_path, range(9))
    assert len(shards(tmp_path)) == 3
    for path in shards(tmp_path):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem


def test_other_keys_do_not_mix(tmp_path) -> None:
    filled(tmp_path, range(4))
    other = FeatureCache(tmp_path, "net-engine", {"weights": "abd"}, DIMENSION)
    assert digest(0) not in other
    assert len(other) == 0


def _write_numbers(root: str, start: int, packed: int) -> None:
    module.PACK_SHARDS = packed
    cache = opened(Path(root))
    for number in range(start, start + 60):
        cache.add([digest(number)], rows([number]))
        if number % 5 == 0:
            cache.flush()
    cache.flush()


@pytest.mark.parametrize("packed", [64, 2])
def test_two_writers_at_once(tmp_path, packed: int) -> None:
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=_write_numbers, args=(str(tmp_path), start, packed))
        for start in (0, 30)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    cache = opened(tmp_path)
    assert cache.damaged == []
    assert list(tmp_path.rglob("*.part")) == []
    np.testing.assert_array_equal(cache.gather([digest(n) for n in range(90)]), rows(range(90)))


def test_a_part_left_by_a_kill_is_ignored(tmp_path) -> None:
    cache = filled(tmp_path, range(4))
    (cache.folder / "tmpabc.part").write_bytes(shards(tmp_path)[0].read_bytes()[:100])
    again = opened(tmp_path)
    assert again.damaged == []
    assert len(again) == 4


@pytest.mark.parametrize("harm", ["half", "flipped", "empty"])
def test_a_damaged_shard_is_dropped_and_named(tmp_path, harm: str) -> None:
    filled(tmp_path, range(8))
    victim = shards(tmp_path)[0]
    content = bytearray(victim.read_bytes())
    if harm == "half":
        content = content[: len(content) // 2]
    elif harm == "empty":
        content = bytearray()
    else:
        content[-3] ^= 0x40
    victim.write_bytes(content)
    cache = opened(tmp_path)
    assert cache.damaged == [victim.name]
    assert not victim.exists()
    lost = [n for n in range(8) if digest(n) not in cache]
    assert len(lost) == 4
    cache.add([digest(n) for n in lost], rows(lost))
    np.testing.assert_array_equal(cache.gather([digest(n) for n in range(8)]), rows(range(8)))
    assert opened(tmp_path).damaged == []


def test_above_the_memory_limit_features_are_mapped(tmp_path, monkeypatch) -> None:
    cache = filled(tmp_path, range(10))
    small = cache.gather([digest(n) for n in range(10)])
    assert not isinstance(small, np.memmap)
    monkeypatch.setattr(module, "MEMORY_LIMIT", 10 * DIMENSION * 4 - 1)
    large = cache.gather([digest(n) for n in range(10)])
    assert isinstance(large, np.memmap)
    np.testing.assert_array_equal(large, small)


def test_a_shard_that_another_process_evicted_is_reported(tmp_path) -> None:
    cache = filled(tmp_path, range(8))
    shards(tmp_path)[0].unlink()
    with pytest.raises(FeaturesGoneError, match=r"\.shard"):
        cache.gather([digest(n) for n in range(8)])
    with pytest.raises(FeaturesGoneError, match=digest(99).hex()):
        cache.gather([digest(99)])


def test_a_shard_evicted_while_the_cache_is_opened_is_passed_over(tmp_path, monkeypatch) -> None:
    filled(tmp_path, range(8))
    read = Path.read_bytes

    def vanish(path: Path) -> bytes:
        if path == shards(tmp_path)[0]:
            path.unlink()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", vanish)
    cache = opened(tmp_path)
    assert len(cache) in (0, 4)
    assert cache.damaged == []


# ---- packs ----


def packed(root: Path, numbers) -> FeatureCache:
    cache = filled(root, numbers)
    cache.pack()
    assert shards(root) == []
    return cache


def packs(root: Path) -> list[Path]:
    return sorted(root.glob("features/*/*.pack"))


def test_many_shards_become_one_pack(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "PACK_SHARDS", 3)
    cache = filled(tmp_path, range(8))
    assert len(shards(tmp_path)) == 2
    cache.add([digest(8)], rows([8]))
    cache.flush()
    assert shards(tmp_path) == []
    (path,) = packs(tmp_path)
    content = load_file(path)
    assert sorted(map(bytes, content["digests"])) == list(map(bytes, content["digests"]))
    assert {bytes(one) for one in content["digests"]} == {digest(n) for n in range(9)}
    assert len(cache) == len(opened(tmp_path)) == 9


def test_the_same_rows_are_the_same_pack(tmp_path) -> None:
    packed(tmp_path / "one", range(9))
    packed(tmp_path / "other", reversed(range(9)))
    assert packs(tmp_path / "one")[0].name == packs(tmp_path / "other")[0].name


@pytest.mark.parametrize("harm", ["half", "header", "digest", "empty", "longer"])
def test_a_pack_that_is_damaged_before_its_features_is_dropped(tmp_path, harm: str) -> None:
    packed(tmp_path, range(8))
    (victim,) = packs(tmp_path)
    content = bytearray(victim.read_bytes())
    if harm == "header":
        content[:8] = b"\xff" * 8
    elif harm == "digest":
        content[content.index(digest(3))] ^= 1
    victim.write_bytes(
        {"half": content[: len(content) // 2], "empty": b"", "longer": content + b"x"}.get(
            harm, content
        )
    )
    cache = opened(tmp_path)
    assert cache.damaged == [victim.name]
    assert not victim.exists()
    assert digest(3) not in cache


def test_damaged_features_of_a_pack_are_found_when_they_are_read(tmp_path) -> None:
    packed(tmp_path, range(8))
    (victim,) = packs(tmp_path)
    content = bytearray(victim.read_bytes())
    content[-3] ^= 0x40
    victim.write_bytes(content)
    cache = opened(tmp_path)
    assert cache.damaged == []
    with pytest.raises(FeaturesGoneError, match=victim.name):
        cache.gather([digest(0)])
    assert cache.damaged == [victim.name]
    assert digest(0) not in cache
    cache.add([digest(n) for n in range(8)], rows(range(8)))
    np.testing.assert_array_equal(cache.gather([digest(n) for n in range(8)]), rows(range(8)))


def test_a_kill_between_packing_and_deleting_costs_nothing(tmp_path) -> None:
    filled(tmp_path, range(8))
    left = {path: path.read_bytes() for path in shards(tmp_path)}
    opened(tmp_path).pack()
    for path, content in left.items():
        path.write_bytes(content)
    again = opened(tmp_path)
    np.testing.assert_array_equal(again.gather([digest(n) for n in range(8)]), rows(range(8)))
    again.pack()
    assert shards(tmp_path) == []
    assert len(packs(tmp_path)) == 1


def test_shards_that_another_process_packed_are_found_again(tmp_path) -> None:
    cache, other = filled(tmp_path, range(8)), opened(tmp_path)
    packing = opened(tmp_path)
    packing.pack()
    np.testing.assert_array_equal(cache.gather([digest(n) for n in range(8)]), rows(range(8)))
    assert len(other.stream([digest(n) for n in range(8)])) == 8


def test_digests_that_begin_alike_are_told_apart(tmp_path) -> None:
    alike = [b"12345678" + digest(n)[8:] for n in range(6)]
    cache = opened(tmp_path)
    cache.add(alike[:5], rows(range(5)))
    cache.flush()
    cache.pack()
    assert [one in cache for one in alike] == [True] * 5 + [False]
    np.testing.assert_array_equal(cache.gather(alike[4::-1]), rows(range(4, -1, -1)))
    for absent in (b"", b"12345678", 5, None):
        assert absent not in cache


def test_a_stream_mixes_blocks_as_its_seed_says(tmp_path) -> None:
    cache = filled(tmp_path, range(1000), a_shard=256)
    cache.pack()
    wanted = [n for n in range(1000) if n % 3]
    stream = cache.stream([digest(n) for n in wanted])
    assert stream.shape == (len(wanted), DIMENSION)
    for seed in (0, 1):
        parts = list(stream.mixed_parts(seed))
        np.testing.assert_array_equal(streamed(parts, len(wanted)), rows(wanted))
        np.testing.assert_array_equal(parts[0][0], next(stream.mixed_parts(seed))[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("silverprint.backbones.stream.MIXED", 1)
        orders = [np.concatenate([p for p, _ in stream.mixed_parts(seed)]) for seed in range(4)]
    assert len({order.tobytes() for order in orders}) > 1


def test_a_stream_whose_pack_is_evicted_ends_in_a_sentence(tmp_path) -> None:
    cache = packed(tmp_path, range(8))
    stream = cache.stream([digest(n) for n in range(8)])
    trim(tmp_path, 0)
    with pytest.raises(BackboneError, match=r"vanished .*\.pack.*--cache-limit"):
        next(stream.parts())
    with pytest.raises(BackboneError, match=digest(2).hex()):
        cache.stream([digest(2)])


# ---- trim ----


def aged(root: Path, count: int) -> list[Path]:
    """Return shards, oldest use first, whose names are in another order."""
    for start in range(0, 4 * count, 4):
        filled(root, range(start, start + 4))
    paths = shards(root)[::-1]
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (0, 1_700_000_000 - 1000 * age))
    return paths


def test_trim_deletes_the_oldest_and_no_more_than_needed(tmp_path) -> None:
    paths = aged(tmp_path, 5)
    size = paths[0].stat().st_size
    assert trim(tmp_path, 5 * size) == 0
    assert trim(tmp_path, 3 * size) == 2 * size
    assert sorted(shards(tmp_path)) == sorted(paths[2:])
    assert trim(tmp_path, 3 * size - 1) == size
    assert sorted(shards(tmp_path)) == sorted(paths[3:])
    assert trim(tmp_path, 0) == 2 * size
    assert shards(tmp_path) == []


def test_gathering_makes_a_shard_young_again(tmp_path) -> None:
    paths = aged(tmp_path, 3)
    cache = opened(tmp_path)
    of_oldest = [
        n for n in range(12) if cache._index[digest(n)][0] == cache._shards.index(paths[0])
    ]
    cache.gather([digest(n) for n in of_oldest])
    trim(tmp_path, paths[0].stat().st_size)
    assert shards(tmp_path) == [paths[0]]


def test_trim_counts_all_networks_together(tmp_path) -> None:
    filled(tmp_path, range(4))
    other = FeatureCache(tmp_path, "other", {}, DIMENSION)
    other.add([digest(0)], rows([0]))
    other.flush()
    total = sum(path.stat().st_size for path in shards(tmp_path))
    assert trim(tmp_path, total) == 0
    assert trim(tmp_path, 0) == total


def test_trim_removes_what_kills_left_after_a_day(tmp_path) -> None:
    folder = filled(tmp_path, range(4)).folder
    old, new = folder / "old.part", folder / "new.part"
    unfinished = tmp_path / "backbones" / "unfinished-abc"
    unfinished.mkdir(parents=True)
    (unfinished / "backbone.onnx").write_bytes(b"half")
    for path in (old, new):
        path.write_bytes(b"half a shard")
    yesterday = time.time() - 25 * 3600
    for path in (old, unfinished):
        os.utime(path, (yesterday, yesterday))
    trim(tmp_path, 10**9)
    assert not old.exists()
    assert not unfinished.exists()
    assert new.exists()
    assert len(shards(tmp_path)) == 1


def test_trim_of_nothing(tmp_path) -> None:
    assert trim(tmp_path / "nowhere", 0) == 0


# ---- a list of digests ----


def test_a_list_of_digests_is_one() -> None:
    plain = [digest(n) for n in range(5)]
    packed_list = DigestList(plain[:4])
    packed_list.append(plain[4])
    assert list(packed_list) == plain
    assert packed_list[-1] == plain[-1]
    assert list(packed_list[1:4:2]) == plain[1:4:2]
    np.testing.assert_array_equal(digest_table(packed_list), digest_table(plain))
    with pytest.raises(IndexError):
        packed_list[5]
    assert list(DigestList()) == []
