"""The chapters made of pictures: samples, and the worst mistakes."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from silverprint.reports.contents import Picture, Report
from silverprint.reports.markup import Markup, Section, bar, element, join, named, percent, shorten

LONGEST_SIDE = 160  # 48 pictures of pure noise still stay below 1.5 MB
QUALITY = 80
GUESSES_SHOWN = 2
FAINTEST_GUESS = 0.01


def samples(report: Report) -> Section:
    """Return some pictures, right and wrong ones, with what the model says."""
    words = "A few pictures with the model's answer. ✓ right, ✗ wrong."
    return Section("samples", "Sample predictions", _gallery(report.samples, words, 26))


def mistakes(report: Report) -> Section:
    """Return the wrong predictions, those the model was surest of first."""
    worst = sorted(report.mistakes, key=lambda picture: -picture.probability)
    words = (
        "The model was surest of these, and wrong. Look at the label too: some of the worst "
        "mistakes are the labeller's."
    )
    return Section("mistakes", "The worst mistakes", _gallery(worst, words, 90))


def _gallery(pictures: Sequence[Picture], words: str, name_letters: int) -> Markup:
    if not pictures:
        return Markup("")
    cards = join(_card(picture, name_letters) for picture in pictures)
    return join((element("p", words, class_="key"), element("div", cards, class_="gallery")))


def _card(picture: Picture, name_letters: int) -> Markup:
    """Return one picture on its mount, with the answer, the truth and further guesses below."""
    predicted = named(shorten(picture.predicted or "nothing", 60))
    answer = join((_mark(picture), " ", element("b", predicted)))
    lines = [_line("verdict", answer, picture.probability), bar(picture.probability)]
    if picture.truth is not None and picture.truth != picture.predicted:
        truth = join(("in truth ", named(shorten(picture.truth or "nothing", 60))))
        lines.append(_line("truth", truth, dict(picture.top).get(picture.truth)))
    told = (picture.predicted, picture.truth)
    others = [guess for guess in picture.top if guess[0] not in told and guess[1] >= FAINTEST_GUESS]
    for name, probability in others[:GUESSES_SHOWN]:
        lines.append(_line("guess", named(shorten(name, 40)), probability))
    file = named(shorten(picture.name, name_letters))
    lines.append(element("p", file, class_="file", title=picture.name))
    return element("figure", _mounted(picture), element("figcaption", *lines))


def _line(class_: str, words: Markup, probability: float | None) -> Markup:
    """Return words on the left and, where it is known, their probability on the right."""
    parts = [element("span", words)]
    if probability is not None:
        parts.append(element("span", percent(probability), class_="value"))
    return element("p", *parts, class_=class_)


def _mark(picture: Picture) -> Markup:
    if picture.truth is None:
        return Markup("")
    right = picture.truth == picture.predicted
    glyph, said = ("✓", "right:") if right else ("✗", "wrong:")
    return element("span", glyph, class_="tick" if right else "cross", role="img", aria_label=said)


def _mounted(picture: Picture) -> Markup:
    truth = "" if picture.truth is None else f", in truth {picture.truth or 'nothing'}"
    said = picture.predicted or "nothing"
    words = f"{picture.name}: predicted {said} with {percent(picture.probability)}{truth}"
    return mounted(picture.image, words)


def mounted(pixels: NDArray[np.uint8], words: str) -> Markup:
    """Return a picture (height, width, 3), reduced, on its mount; words for who cannot see it."""
    image = _reduced(pixels)
    photo = element(
        "img",
        src=f"data:image/jpeg;base64,{_jpeg(image)}",
        alt=words,
        width=image.width,
        height=image.height,
    )
    return element("div", photo, class_="mount")


def _reduced(pixels: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(pixels)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return image


def _jpeg(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return base64.b64encode(stream.getvalue()).decode("ascii")
