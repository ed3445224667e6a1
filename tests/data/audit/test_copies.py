"""Copies are found however they were altered; other pictures are not."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.data.audit import copies, similar
from silverprint.data.audit.copies import (
    confirmed,
    find_copies,
    join_pairs,
    match,
    near_duplicate_groups,
)
from silverprint.data.audit.facts import Facts, measure, thumbnail
from silverprint.data.audit.similar import alike_pairs, directions, find_neighbours


def digests_of(values) -> list[bytes]:
    return [hashlib.sha256(str(value).encode()).digest() for value in values]


def altered(picture, how):
    width, height = picture.size
    return {
        "smaller": lambda: picture.resize((width // 3, height // 3)),
        "cropped": lambda: picture.crop((20, 10, width - 5, height - 30)),
        "cut to a square": lambda: picture.crop((0, 30, width, 30 + width)),
        "mirrored": lambda: picture.transpose(0),
        "same": lambda: picture,
    }[how]()


@pytest.mark.parametrize("how", ["same", "smaller", "cropped", "cut to a square", "mirrored"])
@pytest.mark.parametrize("swap", [False, True])
def test_an_altered_copy_matches_its_original_and_no_other(draw, facts_of, how, swap) -> None:
    pictures = [draw(0), altered(draw(0), how), draw(1), draw(2)]
    pairs = np.array([[1, 0] if swap else [0, 1], [0, 2], [1, 2], [2, 3]])
    copy, *others = match(facts_of(*pictures).thumbnails, pairs)
    assert copy > 0.95
    assert max(others) < 0.8


def test_what_a_still_camera_sees_twice_is_no_copy_if_something_moved(draw, facts_of) -> None:
    scene, thing = draw(0, (320, 320)), draw(1, (60, 60))
    before, after, later = scene.copy(), scene.copy(), scene.copy()
    before.paste(thing, (20, 200))
    after.paste(thing, (220, 30))
    later.paste(thing, (21, 200))
    found = match(facts_of(before, after, later).thumbnails, np.array([[0, 1], [0, 2]]))
    assert found[0] < 0.5
    assert found[1] > 0.9


def test_no_pairs_no_matches(draw, facts_of) -> None:
    assert match(facts_of(draw(0)).thumbnails, np.zeros((0, 2), np.int64)).shape == (0,)


def test_blank_pictures_match_nothing(facts_of) -> None:
    from PIL import Image

    blank = [Image.new("RGB", (50, 50), colour) for colour in ("white", "white", "black")]
    assert match(facts_of(*blank).thumbnails, np.array([[0, 1], [0, 2]])).max() < 0.5


def test_copies_and_copies_of_copies_share_a_group(draw, facts_of) -> None:
    one = draw(0)
    pictures = [one, draw(1), one.crop((20, 0, 240, 290)), one, draw(2)]
    digests = digests_of(["a", "b", "c", "a", "d"])
    features = np.eye(5, dtype=np.float32)
    features[[2, 3]] = features[0]
    features[2, 4] = 0.3  # the network sees the cropped one a little differently
    groups = near_duplicate_groups(digests, features, facts_of(*pictures))
    assert groups[0] == groups[2] == groups[3]
    assert len(set(groups.tolist())) == 3
    found = find_copies(digests, features, facts_of(*pictures))
    assert found.content[0] == found.content[3] != found.content[2]
    assert len(found.pairs) == 1
    assert found.matches[0] > 0.95


def test_a_network_that_disagrees_keeps_look_alikes_apart(draw, facts_of) -> None:
    pictures = [draw(0), draw(0).crop((10, 10, 240, 300))]
    features = np.eye(2, dtype=np.float32)
    groups = near_duplicate_groups(digests_of("ab"), features, facts_of(*pictures))
    assert groups[0] != groups[1]


def test_of_the_smallest_pictures_only_the_same_bytes_are_copies(draw, facts_of) -> None:
    small = draw(0).resize((28, 28))
    features = np.ones((3, 4), dtype=np.float32)
    groups = near_duplicate_groups(digests_of("aba"), features, facts_of(small, small, small))
    assert groups[0] == groups[2] != groups[1]


@pytest.mark.parametrize("count", [1, 2])
def test_the_smallest_datasets_are_taken(draw, facts_of, count) -> None:
    facts = facts_of(*(draw(i) for i in range(count)))
    features = np.ones((count, 3), dtype=np.float32)
    assert len(near_duplicate_groups(digests_of(range(count)), features, facts)) == count


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_join_pairs_gives_the_connected_parts(pairs) -> None:
    parts = join_pairs(np.array(pairs, dtype=np.int64).reshape(-1, 2), 20)
    reached = {row: {row} for row in range(20)}
    for _ in range(20):
        for one, other in pairs:
            both = reached[one] | reached[other]
            for row in both:
                reached[row] = reached[row] | both
    for row in range(20):
        assert set(np.flatnonzero(parts == parts[row]).tolist()) == reached[row]


def test_neighbours_are_those_of_all_pairs(monkeypatch) -> None:
    features = directions(np.random.default_rng(0).random((50, 8), dtype=np.float32))
    monkeypatch.setattr(similar, "CHUNK", 7)
    found = find_neighbours(features, 3)
    cosines = features @ features.T
    np.fill_diagonal(cosines, -2)
    order = np.argsort(-cosines, axis=1)[:, :3]
    assert (found.rows == order).all()
    assert np.allclose(found.cosines, np.take_along_axis(cosines, order, axis=1), atol=1e-6)


def test_of_many_rows_copies_are_still_neighbours(monkeypatch) -> None:
    features = directions(np.random.default_rng(0).random((60, 400), dtype=np.float32))
    features[1] = features[0]
    monkeypatch.setattr(similar, "MANY", 10)
    found = find_neighbours(features, 3)
    assert found.rows[0, 0] == 1
    assert found.cosines[0, 0] == pytest.approx(1, abs=1e-5)
    sure = features[5] @ features[found.rows[5, 0]]
    assert found.cosines[5, 0] == pytest.approx(sure, abs=1e-6)  # exact, not projected


def likely_of(facts_of, *pictures):
    thumbnails = facts_of(*pictures).thumbnails
    shown: list[int] = []

    def thumbnails_of(rows):
        shown.extend(rows.tolist())
        return thumbnails[rows]

    return thumbnails_of, shown


def test_likely_pairs_are_confirmed_by_their_pixels(draw, facts_of) -> None:
    pictures = [draw(0), draw(0).crop((10, 10, 230, 290)), draw(1), altered(draw(1), "smaller")]
    thumbnails_of, _ = likely_of(facts_of, *pictures)
    likely = np.array([[0, 2], [0, 1], [2, 3], [1, 3]])
    assert confirmed(likely, 4, thumbnails_of) == [(0, 1), (2, 3)]


def test_less_likely_pairs_are_left_once_a_batch_has_no_copy(draw, facts_of, monkeypatch) -> None:
    pictures = [draw(0), draw(1), draw(2), draw(3), draw(3)]
    thumbnails_of, shown = likely_of(facts_of, *pictures)
    likely = np.array([[0, 1], [1, 2], [3, 4]])
    assert confirmed(likely, 5, thumbnails_of) == [(3, 4)]
    monkeypatch.setattr(copies, "BATCH", 2)
    shown.clear()
    assert confirmed(likely, 5, thumbnails_of) == []
    assert set(shown) == {0, 1, 2}
    assert confirmed(likely[::-1], 5, thumbnails_of) == [(3, 4)]


def test_pairs_that_are_joined_already_are_not_compared(draw, facts_of, monkeypatch) -> None:
    monkeypatch.setattr(copies, "BATCH", 1)
    thumbnails_of, shown = likely_of(facts_of, draw(0), draw(0), draw(0))
    likely = np.array([[0, 1], [1, 2], [0, 2]])
    assert confirmed(likely, 3, thumbnails_of) == [(0, 1), (1, 2)]
    assert len(shown) == 4


def brute_force(one, other, k, least):
    cosines = directions(one) @ directions(one if other is None else other).T
    if other is None:
        np.fill_diagonal(cosines, -2)
    found = {}
    for row, nearest in enumerate(np.argsort(-cosines, axis=1)[:, :k]):
        for place in nearest:
            if cosines[row, place] >= least:
                pair = (row, int(place))
                found[tuple(sorted(pair)) if other is None else pair] = cosines[row, place]
    return found


@given(
    st.integers(0, 30), st.integers(0, 20), st.integers(1, 5), st.floats(-0.5, 0.9),
    st.booleans(), st.integers(0, 2**16),
)  # fmt: skip
def test_alike_pairs_are_those_of_all_pairs(n, m, k, least, apart, seed) -> None:
    random = np.random.default_rng(seed)
    one = random.standard_normal((n, 6)).astype(np.float32)
    other = random.standard_normal((m, 6)).astype(np.float32) if apart else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similar, "BLOCK", 64)  # a few rows at a time
        pairs, cosines = alike_pairs(one, other, k=k, least=least)
    expected = brute_force(one, other, k, least)
    near = {pair for pair, cosine in expected.items() if cosine < least + 1e-5}  # by rounding
    found = dict(zip(map(tuple, pairs.tolist()), cosines.tolist(), strict=True))
    assert set(found) | near == set(expected) | near
    assert len(found) == len(pairs)
    assert all(abs(found[pair] - expected[pair]) < 1e-5 for pair in set(found) & set(expected))


def test_of_many_features_copies_are_still_pairs(monkeypatch) -> None:
    features = np.random.default_rng(0).random((60, 400), dtype=np.float32) - 0.5
    features[1] = 2 * features[0]
    features[40] = features[7] + 0.1 * features[8]
    monkeypatch.setattr(similar, "MANY", 10)
    pairs, cosines = alike_pairs(features, k=3, least=0.9)
    assert pairs.tolist() == [[0, 1], [7, 40]]
    exact = directions(features)
    assert cosines == pytest.approx((exact[pairs[:, 0]] * exact[pairs[:, 1]]).sum(axis=1), abs=1e-6)
    split, _ = alike_pairs(features[:5], features, k=1, least=0.9)
    assert [0, 1] in split.tolist() or [0, 0] in split.tolist()


@pytest.mark.parametrize("encoded", [True, False])
def test_a_thumbnail_is_that_of_the_facts(draw, encode, encoded) -> None:
    content = encode(draw(0, (500, 400))) if encoded else np.asarray(draw(0, (500, 400)))
    facts = Facts(measure(content, "x")[None])
    np.testing.assert_array_equal(thumbnail(content, "x", 32), facts.thumbnails[0])
    assert not thumbnail(content, "x", 401).any()
