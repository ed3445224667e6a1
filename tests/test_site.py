"""The hooks that build the documentation's site; `make docs` builds it."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SITE = Path(__file__).parents[1] / "docs" / "site"


def hook(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SITE / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


formulas, links = hook("formulas"), hook("links")


@pytest.mark.parametrize(
    ("latex", "inside"),
    [
        (r"1/\sqrt n", "<mn>1</mn><mo>/</mo><msqrt><mi>n</mi></msqrt>"),
        (r"\tfrac12 m", "<mfrac><mn>1</mn><mn>2</mn></mfrac><mi>m</mi>"),
        ("x_1^2", "<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup>"),
        (r"\text{a * b}", "<mtext>a\u00a0&#42;\u00a0b</mtext>"),
    ],
)
def test_latex_becomes_mathml(latex: str, inside: str) -> None:
    assert f"<mrow>{inside}</mrow></math>" in formulas.mathml(latex)


@pytest.mark.parametrize("latex", [r"\unheardof", r"\sqrt", "{a"])
def test_what_cannot_be_read_is_told(latex: str) -> None:
    with pytest.raises(formulas.UnreadableError):
        formulas.mathml(latex)


def test_prices_and_code_are_no_formulas() -> None:
    text = "`$x$` costs $5, the other $6.\n\n```sh\necho $HOME $PATH\n```"
    assert formulas.with_formulas(text) == text


@pytest.mark.parametrize(
    ("link", "trouble"),
    [
        ("#here", ""),
        ("b.html#there", ""),
        ("https://example.org/x", ""),
        ("#nowhere", "has no such anchor"),
        ("c.html", "is not there"),
        ("https://", "is no address"),
    ],
)
def test_links_are_followed(tmp_path: Path, link: str, trouble: str) -> None:
    (tmp_path / "a.html").write_text(f'<p id="here"><a href="{link}">x</a>')
    (tmp_path / "b.html").write_text('<p id="there">')
    pages = {path: links._read(path) for path in tmp_path.iterdir()}
    assert links._trouble(link, False, tmp_path / "a.html", pages) == trouble


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_text('<script src="https://example.org/x.js"></script>')
    ((link, loaded),) = links._read(page).links
    assert links._trouble(link, loaded, page, {}) == "is loaded from elsewhere"
