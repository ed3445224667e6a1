"""What copies mean: duplicates, leaks between splits, contradicting labels."""

import numpy as np

from silverprint.data.audit.copies import Copies
from silverprint.data.audit.duplicates import duplicate_findings
from silverprint.data.audit.findings import Proposal, in_order
from silverprint.data.audit.similar import Neighbours
from silverprint.data.table import Dataset


def dataset(splits: str, labels: str) -> Dataset:
    count = len(splits)
    return Dataset(
        "x",
        ("cat", "dog"),
        [np.zeros((2, 2), np.uint8)] * count,
        [f"{row}.jpg" for row in range(count)],
        np.array(["cd".index(label) for label in labels]),
        np.array(["tve".index(split) for split in splits], np.int8),  # train, validation, test
    )


def copies(content: list[int], pairs: list[list[int]], groups: list[int]) -> Copies:
    array = np.array(content)
    first = np.array([content.index(number) for number in range(max(content) + 1)])
    none = Neighbours(np.zeros((0, 0), np.int64), np.zeros((0, 0), np.float32))
    matches = np.linspace(0.99, 0.95, len(pairs), dtype=np.float32)
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return Copies(array, first, table, matches, np.array(groups), none)


def by_kind(found) -> dict[str, list]:
    kinds: dict[str, list] = {}
    for one in found:
        kinds.setdefault(one.kind, []).append(one)
    return kinds


def test_exact_copies_in_one_split_keep_the_first() -> None:
    found = duplicate_findings(dataset("ttt", "ccc"), copies([0, 1, 0], [], [0, 1, 0]))
    (one,) = found
    assert (one.kind, one.rows, one.score) == ("exact_duplicate", (0, 2), 1.0)
    assert one.proposals == {2: Proposal("drop")}


def test_an_exact_copy_across_splits_is_a_leak_and_the_test_picture_stays() -> None:
    found = by_kind(duplicate_findings(dataset("te", "cc"), copies([0, 0], [], [0, 0])))
    assert set(found) == {"exact_duplicate", "leak"}
    (leak,) = found["leak"]
    assert leak.proposals == {0: Proposal("drop")} == found["exact_duplicate"][0].proposals
    assert leak.detail.startswith("the same picture is in train and test")


def test_near_copies_leak_only_where_they_cross() -> None:
    # 0 and 1 teach, 2 measures; 1 resembles both, 0 resembles only 1.
    found = by_kind(
        duplicate_findings(dataset("tte", "ccc"), copies([0, 1, 2], [[0, 1], [1, 2]], [0, 0, 0]))
    )
    (near,) = found["near_duplicate"]
    assert near.rows == (0, 1, 2)
    assert near.score == np.float32(0.95)
    assert near.proposals == {}
    (leak,) = found["leak"]
    assert leak.rows == (1, 2)
    assert leak.proposals == {1: Proposal("drop")}
    assert leak.detail.startswith("nearly the same picture is in train and test")


def test_contradicting_labels_are_settled_by_what_can_tell() -> None:
    table, same = dataset("ttt", "ccd"), copies([0, 1, 1], [], [0, 1, 1])
    (found,) = by_kind(duplicate_findings(table, same))["contradiction"]
    assert found.detail == "the same picture is labelled cat, dog"
    assert found.proposals == {}
    asked = []

    def prefer(rows, labels):
        asked.append((list(rows), list(labels)))
        return "dog"

    (found,) = by_kind(duplicate_findings(table, same, prefer))["contradiction"]
    assert asked == [([1, 2], ["cat", "dog"])]
    assert found.proposals == {1: Proposal("relabel", "dog")}


def test_findings_come_the_gravest_first() -> None:
    found = in_order(
        duplicate_findings(
            dataset("ttete", "ccccd"), copies([0, 1, 0, 2, 3], [[2, 3]], [0, 1, 0, 2, 2])
        )
    )
    assert [one.kind for one in found] == [
        "leak", "leak", "contradiction", "exact_duplicate", "near_duplicate",
    ]  # fmt: skip
    assert found[0].score > found[1].score
