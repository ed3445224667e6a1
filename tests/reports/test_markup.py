import pytest

from silverprint.reports.markup import (
    Markup,
    bar,
    element,
    escape,
    join,
    letters,
    percent,
    shorten,
    table,
)


def test_text_is_escaped_wherever_it_is_placed_and_markup_is_not():
    nasty = "<script>\"'&"
    safe = "&lt;script&gt;&quot;&#x27;&amp;"
    assert element("p", nasty, title=nasty) == f'<p title="{safe}">{safe}</p>'
    assert join([nasty, element("b")]) == f"{safe}<b></b>"
    assert element("p", Markup("<b>&amp;</b>")) == "<p><b>&amp;</b></p>"


def test_attributes():
    made = element("img", class_="x", stroke_width=1.23456, aria_label="a b", name="n", alt=None)
    assert made == '<img class="x" stroke-width="1.23" aria-label="a b" name="n">'


def test_control_characters_and_lone_surrogates_become_a_sign():
    assert escape("a\x00b\x1b\udcff\n") == "a\ufffdb\ufffd\ufffd\n"
    escape("\udcff").encode("utf-8")


@pytest.mark.parametrize("text", ["photo_0001.jpg", "x" * 300, "写真" * 50, "🐕" * 30, "", "a"])
def test_shortened_text_keeps_both_ends(text):
    short = shorten(text, 12)
    assert letters(short) <= 12
    assert short == text if letters(text) <= 12 else "…" in short
    assert text.startswith(short.split("…")[0])
    assert text.endswith(short.split("…")[-1])


def test_shortened_names_that_differ_at_the_end_stay_different():
    assert shorten("a_long_photo_name_0001", 12) != shorten("a_long_photo_name_0002", 12)


def test_tables_name_rows_and_columns():
    made = table(["Class", "F1"], [["<a>", "1"]], "All & more")
    assert '<th scope="col">Class</th><th scope="col">F1</th>' in made
    assert '<th scope="row">&lt;a&gt;</th><td>1</td>' in made
    assert "<caption>All &amp; more</caption>" in made


def test_nothing_is_a_dash_and_has_no_bar():
    assert (percent(None), bar(None)) == ("–", "")
    assert percent(0.8663) == "86.6\u202f%"
    assert "width:100.0%" in bar(1.5)
