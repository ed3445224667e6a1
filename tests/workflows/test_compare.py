"""`compare`: what is counted, what is said, and a run on small photos."""

import json

import pytest

from silverprint.data.read import read
from silverprint.errors import ConfigError
from silverprint.training.progress import Progress
from silverprint.workflows import compare as module
from silverprint.workflows.compare import (
    Compared,
    Comparison,
    compare,
    only_right,
    sign_test,
)

GIVEN = {
    "size": 64,
    "views": 1,
    "epochs": 3,
    "finetune_epochs": 1,
    "unfreeze": 1,
    "augment": "light",
}
LITE = ["efficientnet-lite0"]


@pytest.fixture(scope="session")
def photos(make_photos, tmp_path_factory):
    root = tmp_path_factory.getbasetemp() / "compared"
    return make_photos(root, {"cat": 8, "dog": 8}, splits=["train", "validation", "test"])


def test_the_sign_test_is_that_of_a_fair_coin() -> None:
    assert sign_test(0, 0) == 1
    assert sign_test(5, 5) == 1
    assert sign_test(10, 0) == sign_test(0, 10) == pytest.approx(2 / 1024)
    assert sign_test(14, 7) == pytest.approx(0.18925, abs=1e-5)


def test_only_pictures_on_which_both_differ_count() -> None:
    assert only_right([True, True, False, False], [True, False, True, False]) == (1, 1)


def compared(preset, right, backbone="a", split="test") -> Compared:
    accuracy = sum(right) / len(right)
    metrics = {split: {"accuracy": accuracy, "accuracy_interval": [accuracy - 0.1, 1], "n": 100}}
    return Compared(backbone, preset, "", metrics, 1, {}, 1.0, {split: right})


def verdict(*results) -> str:
    return Comparison(list(results), "test", 1.0, "photos", []).verdict


def test_the_verdict_tells_chance_from_difference() -> None:
    best = compared(4, [True] * 95 + [False] * 5)
    near = compared(3, [False] * 2 + [True] * 91 + [False] * 7)
    far = compared(1, [False] * 30 + [True] * 65 + [False] * 5)
    said = verdict(near, best)
    assert said.startswith("Preset 4 is right on 95.0 % of 100 test pictures")
    assert "4.0 points more than preset 3, which lies within that interval" in said
    assert "4 were right only with the first and 0 only with the second" in said
    assert said.endswith("(McNemar's exact test: p = 0.12), so the difference may be chance.")
    said = verdict(best, far)
    assert "30.0 points more than preset 1, which lies outside that interval" in said
    assert said.endswith("so the difference is hardly chance.")


def test_the_verdict_on_equals_and_on_one_alone() -> None:
    one = compared(1, [True, False])
    assert verdict(one).endswith("%).")
    assert "and so is preset 2: on these, neither is better." in verdict(
        one, compared(2, [False, True])
    )
    assert "preset 2 (b)" in verdict(one, compared(2, [False, True], "b"))


@pytest.mark.parametrize(
    ("presets", "backbones", "message"),
    [
        ([1, 5], LITE, "presets are 1, 2, 3, 4; got 5"),
        ([], LITE, "needs at least one preset"),
        ([1], [], "needs at least one preset and one backbone"),
    ],
)
def test_impossible_wishes_are_refused(photos, tmp_path, presets, backbones, message) -> None:
    with pytest.raises(ConfigError, match=message):
        compare(read(photos), presets, backbones, {}, Progress(quiet=True), out=tmp_path)


def test_heads_are_for_the_presets_to_say(photos, tmp_path) -> None:
    for given in ({"hidden_size": 10}, {"dropout": 0.9}, {"batch_norm": True}):
        with pytest.raises(ConfigError, match=rf"{next(iter(given))} is for the presets to say"):
            compare(read(photos), [1], LITE, given, Progress(quiet=True), out=tmp_path)


def test_presets_are_trained_once_and_kept(photos, tmp_path, monkeypatch) -> None:
    """Preset 3 finds in the cache what preset 2 looked at; a second call trains nothing."""
    looks, trained = [], []
    look, train = module.look, module._train

    def counted_look(*arguments, **options):
        seen = look(*arguments, **options)
        looks.append((options["view"].name, seen.looked))
        return seen

    def counted_train(run, number, progress):
        trained.append(number)
        return train(run, number, progress)

    monkeypatch.setattr(module, "look", counted_look)
    monkeypatch.setattr(module, "_train", counted_train)
    call = (read(photos), [1, 2, 3], LITE, GIVEN, Progress(quiet=True))
    result = compare(*call, out=tmp_path)
    assert trained == [1, 2, 3]
    assert [looked for _, looked in looks] == [16, 0]
    assert len({name for name, _ in looks}) == 1
    assert result.split == "test"
    for one in result.results:
        assert set(one.metrics) == {"validation", "test"}
        assert one.metrics["test"]["n"] == 16
        assert one.metrics["test"]["accuracy"] > 0.8
        assert len(one.right["test"]) == 16

    again = compare(*call, out=tmp_path)
    assert trained == [1, 2, 3]
    assert again.results == result.results
    told = json.loads(json.dumps(again.to_json()))
    assert list(told) == ["results", "best", "judged_on", "verdict", "notices", "seconds"]
    page = (tmp_path / "compare.html").read_text()
    assert "Side by side" in page
    assert (tmp_path / "curves.svg").read_text().startswith("<svg")

    compare(*call[:3], {**GIVEN, "seed": 1}, call[4], out=tmp_path)
    assert trained == [1, 2, 3] * 2


def test_a_view_is_not_taken_for_the_plain_look(photos, tmp_path) -> None:
    """Pictures that are varied give other features, so preset 2 learns something else than 1."""
    result = compare(read(photos), [1, 2], LITE, {**GIVEN, "augment": "strong"},
                     Progress(quiet=True), out=tmp_path)  # fmt: skip
    one, two = result.results
    assert one.curves["training loss"] != two.curves["training loss"]


@pytest.mark.slow
def test_everything_is_trained(photos, tmp_path) -> None:
    result = compare(read(photos), [4], LITE, GIVEN, Progress(quiet=True), out=tmp_path)
    (one,) = result.results
    assert one.metrics["test"]["accuracy"] > 0.8
    assert len(one.curves["validation accuracy"]) == 1


def test_a_training_that_bettered_nothing_is_told(photos, tmp_path, monkeypatch) -> None:
    def bettered_nothing(run, _):
        rows = {split: run.dataset.rows(split) for split in module.HELD_OUT}
        return {split: run.head.logits(run.seen.features(rows[split])) for split in rows}, 0

    monkeypatch.setattr(module, "_finetuned", bettered_nothing)
    result = compare(read(photos), [1, 4], LITE, GIVEN, Progress(quiet=True), out=tmp_path)
    (told,) = (notice for notice in result.notices if "Preset 4" in notice)
    assert "training everything did not better its head" in told
    assert result.to_json()["notices"] == result.notices
