import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from silverprint.errors import ConfigError
from silverprint.reports.report import Curve, Picture, Report, render, write_report
from silverprint.training.metrics import evaluate_multi_label, evaluate_single_label, softmax

NASTY = (
    "<script>alert(1)</script>",
    "\"quotes' & </style></title>",
    "🐕 собака 犬",
    "قطة‮ evil",
    "x" * 400,
)


class Page(HTMLParser):
    """Checks that every element is closed, in order, and gathers what a reader would see."""

    VOID = frozenset({"img", "meta", "link", "br"})

    def __init__(self, source):
        super().__init__()
        self.open, self.seen, self.links, self.words, self.ids = [], [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        values = dict(attributes)
        self.seen.append((tag, values))
        self.links += [
            value
            for key, value in attributes
            if key in {"src", "href", "srcset", "action", "data", "poster", "xlink:href"}
        ]
        assert not [key for key in values if key.startswith("on")]
        if "id" in values:
            self.ids.append(values["id"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data + " ")


def single(n, count, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(count, size=n)
    logits = generator.normal(size=(n, count)) + 3 * np.eye(count)[labels]
    return softmax(logits).astype(np.float32), labels


def picture(name="a.jpg", truth="hat", predicted="hat", probability=0.9, seed=0, **more):
    image = np.random.default_rng(seed).integers(256, size=(160, 120, 3), dtype=np.uint8)
    return Picture(image, name, truth, predicted, probability, **more)


def report(classes=("hat", "shoes", "skirt"), **changes):
    probabilities, labels = single(90, len(classes))
    metrics = evaluate_single_label(probabilities, labels, classes)
    counts = dict.fromkeys(classes, 30)
    made = Report(
        title="clothing",
        summary="It works.",
        classes=tuple(classes),
        task="single-label",
        metrics={"validation": metrics, "test": metrics},
        class_counts={"train": counts, "validation": counts, "test": counts},
        samples=[picture(), picture(truth="shoes", top=(("hat", 0.9), ("shoes", 0.07)))],
        mistakes=[picture("low.jpg", "shoes", probability=0.5), picture("high.jpg", "shoes")],
        curves=[Curve("training loss", (2.0, 1.0)), Curve("validation loss", (2.1, 1.4))],
        candidates=[
            {
                "learning_rate": rate,
                "hidden_size": 64,
                "validation_accuracy": 0.8 + rate,
                "validation_loss": 0.5,
                **({"chosen": True} if rate == 0.05 else {}),
            }
            for rate in (0.001, 0.01, 0.05)
        ],
        notices=["Read 270 pictures."],
        refused=[("bad.jpg", "truncated")],
        seconds={"look once": 19.75, "heads": 3.2},
        provenance={"backbone": "efficientnet-lite0", "seed": "0"},
    )
    return replace(made, **changes)


def test_the_page_is_whole_and_fetches_nothing():
    source = render(report())
    page = Page(source)
    assert source.startswith("<!DOCTYPE html>")
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert "://" not in source
    assert "@import" not in source
    assert not re.search(r"url\((?!data:)", source)
    tags = [tag for tag, _ in page.seen]
    assert not {"script", "iframe", "object", "form"} & set(tags)
    assert tags.count("h1") == 1
    assert [tag for tag in tags if tag in {"h1", "h2", "h3"}][:2] == ["h1", "h2"]


def test_pictures_and_drawings_have_words():
    page = Page(render(report()))
    assert all(values["alt"] for tag, values in page.seen if tag == "img")
    assert all(values["aria-label"] for tag, values in page.seen if tag == "svg")
    assert all(values["scope"] for tag, values in page.seen if tag == "th")


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        (0.25, "Calibration lowered this error from 25.0 %"),
        (0.0, "Calibration raised this error from 0.0 %"),
        (None, "Calibration left this error at"),
    ],
)
def test_what_calibration_did(plain, says):
    given = report()
    found = given.metrics["test"]["calibration"]
    plain = found["error"] if plain is None else plain
    found["before"] = {"error": plain, "bins": found["bins"]}
    text = Page(render(given)).text
    assert says in text
    shown = f"{100 * plain:.1f} %"
    assert f"The same before calibration {shown} {shown}" in text
    assert "The pale line with rings" in text


def test_older_metrics_know_no_calibration_before():
    text = Page(render(report())).text
    assert "before calibration" not in text
    assert "The pale line" not in text


def test_numbers_are_those_given():
    given = report()
    page = Page(render(given))
    test = given.metrics["test"]
    right = round(test["accuracy"] * 90)
    assert f"{right} of 90 test pictures were named right." in page.text
    assert f"{100 * test['accuracy']:.1f}" in page.text
    low, high = test["accuracy_interval"]
    assert f"interval: {100 * low:.1f} to {100 * high:.1f} % (Wilson)" in page.text
    assert f"Log-loss, nats {test['log_loss']:.3f} {test['log_loss']:.3f}" in page.text
    assert f"Expected calibration error {100 * test['calibration']['error']:.1f} %" in page.text
    for name in given.classes:
        row = test["per_class"][name]
        shown = " ".join(f"{100 * row[key]:.1f} %" for key in ("precision", "recall", "f1"))
        assert f"{name} 30 30 30 {shown}" in page.text
    cells = [int(cell) for cell in re.findall(r'class="number \w+"[^>]*>(\d+)<', render(given))]
    assert cells == [value for row in test["confusion"] for value in row if value]
    assert "19.8 s" in page.text
    assert "3.20 s" in page.text
    assert "In all 22.9 s" in page.text


def test_right_and_wrong_are_told_without_colour():
    source = render(report())
    assert 'aria-label="right:">✓' in source
    assert 'aria-label="wrong:">✗' in source
    text = Page(source).text
    assert "in truth shoes 7.0 %" in text
    assert text.index("high.jpg") < text.index("low.jpg")


def test_the_chosen_configuration_is_marked_and_common_settings_are_said_once():
    text = Page(render(report())).text
    assert "3 tried; the same in all: hidden size 64." in text
    assert "1 0.05 85.0 % 0.500 ✓ chosen 2 0.01 81.0 % 0.500" in text


def test_a_hundred_configurations_fold_but_the_chosen_one_is_in_sight():
    tried = [
        {"learning_rate": k * 1e-3, "validation_accuracy": k / 100, "validation_loss": np.nan}
        for k in range(100)
    ]
    tried[3]["chosen"] = True
    tried[50]["validation_accuracy"] = np.nan
    text = Page(render(report(candidates=tried))).text
    assert text.index("✓ chosen") < text.index("The other 87")
    assert not re.search(r"\bnan\b", text)


@pytest.mark.parametrize("nasty", NASTY)
def test_names_are_only_ever_text(nasty):
    classes = (nasty, "plain")
    shown = picture(nasty, nasty, nasty, top=((nasty, 0.9), ("plain", 0.1)))
    source = render(
        report(
            classes,
            title=nasty,
            summary=nasty,
            samples=[shown],
            mistakes=[replace(shown, truth="plain")],
            curves=[Curve(nasty, (1.0, 2.0))],
            candidates=[{nasty: nasty, "chosen": True}, {nasty: "other"}],
            notices=[nasty],
            refused=[(nasty, nasty)],
            seconds={nasty: 1.0},
            provenance={nasty: nasty},
        )
    )
    page = Page(source)
    assert nasty in "".join(page.words)
    tags = [tag for tag, _ in page.seen]
    assert "script" not in tags
    assert tags.count("style") == source.count("</style>") == 1
    assert nasty in [values.get("title") for _, values in page.seen]


def test_a_file_name_that_is_not_unicode(tmp_path):
    write_report(report(samples=[picture("caf\udce9.jpg\x00")]), tmp_path / "report.html")
    assert "caf\ufffd.jpg\ufffd" in (tmp_path / "report.html").read_text("utf-8")


def test_without_a_test_split_it_says_so():
    given = report()
    page = Page(render(replace(given, metrics={"validation": given.metrics["validation"]})))
    assert "validation pictures were named right." in page.text
    assert "There was no test split. Settings were chosen on these same pictures" in page.text
    folded = {**given.metrics["validation"], "cross_validated": 4}
    page = Page(render(replace(given, metrics={"validation": folded})))
    assert "test split. Each was held out once, in one of 4 folds. Settings were" in page.text


def test_the_least_there_can_be():
    page = Page(render(Report("none", "Nothing.", ("a", "b"), "single-label", {}, {})))
    assert "nothing was measured" in page.text
    assert "tried" not in page.text


@pytest.mark.parametrize("count", [2, 102])
def test_two_and_a_hundred_and_two_classes(count):
    page = Page(render(report([f"class {k}" for k in range(count)])))
    assert f"class {count - 1}" in page.text


def test_without_mistakes_curves_and_refusals():
    perfect = evaluate_single_label(np.eye(3, dtype=np.float32), np.arange(3), ("a", "b", "c"))
    page = Page(
        render(
            report(("a", "b", "c"), metrics={"test": perfect}, mistakes=(), curves=(), refused=())
        )
    )
    assert "Nothing was taken for anything else." in page.text
    assert "No file was refused." in page.text
    assert not {"mistakes", "training"} & set(page.ids)
    assert "Weakest" not in page.text


def test_multi_label_and_a_class_without_pictures():
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]], np.uint8)
    metrics = evaluate_multi_label(labels * 0.8 + 0.1, labels, ("sun", "sea", "none"))
    shown = picture(truth="sun, sea", predicted="", probability=0.4, top=(("sun", 0.4),))
    given = report(
        ("sun", "sea", "none"), task="multi-label", metrics={"test": metrics}, samples=[shown]
    )
    page = Page(render(given))
    assert "3 of 3 test pictures got every label right." in page.text
    assert "none 30 30 30 – – – –" in page.text
    assert "1 class has no pictures to be judged by" in page.text
    assert "✗ nothing 40.0 % in truth sun, sea" in page.text
    assert "confusions" not in page.ids


def test_a_picture_nobody_labelled_is_neither_right_nor_wrong():
    source = render(report(samples=[picture(truth=None)], mistakes=()))
    assert "in truth" not in source
    assert 'class="tick"' not in source
    assert 'class="cross"' not in source


def test_many_refused_files_fold():
    refused = [(f"{k}.jpg", "empty") for k in range(40)]
    text = Page(render(report(refused=refused))).text
    assert "Refused: 40 files" in text
    assert "The other 28" in text
    assert "39.jpg" in text


def test_forty_eight_pictures_stay_small(tmp_path):
    shown = [picture(seed=k) for k in range(24)]
    path = tmp_path / "report.html"
    # pure noise is the hardest thing to compress
    write_report(report(samples=shown, mistakes=shown), path)
    assert path.stat().st_size < 1_500_000
    large = picture()
    large = replace(large, image=np.zeros((900, 600, 3), np.uint8))
    assert 'width="107" height="160"' in render(report(samples=[large]))


def test_it_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_report(report(), path)
    before = path.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]

    def refuse(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(
        ConfigError, match=r"report\.html' cannot be written: the disk is full; name"
    ):
        write_report(report(title="second"), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_the_same_report_is_the_same_file():
    assert render(report()) == render(report())
