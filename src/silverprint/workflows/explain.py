"""`explain`: why a bundle answers as it does for one picture, as a figure and as files."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from silverprint.backbones.reading import bytes_of_array
from silverprint.data.table import Dataset
from silverprint.errors import ConfigError, MissingExtraError, closest
from silverprint.export.network import BundleNetwork, load_network, normalise, preprocessing_of
from silverprint.inspection.activations import check_layer, check_map
from silverprint.inspection.attribution import (
    Occlusion,
    grad_cam,
    last_map,
    log_odds_of,
    occlusion,
    occlusion_steps,
    probability,
    score_of,
)
from silverprint.inspection.figure import png, rendered, write_bytes, write_figure
from silverprint.inspection.heat import Array, Pixels, overlay, resized, signed_overlay
from silverprint.inspection.panels import (
    Panel,
    Small,
    ember_scale,
    explanation_figure,
    signed_scale,
)
from silverprint.inspection.view import View, reduced, view
from silverprint.reports.markup import Markup
from silverprint.reports.page import make_folder
from silverprint.runtime.bundle import Bundle
from silverprint.runtime.images import decode, read_file
from silverprint.runtime.predictor import Picture, Prediction, Predictor
from silverprint.training.checks import Range, check_fields, is_kind
from silverprint.training.progress import Progress
from silverprint.workflows.neighbours import Neighbour, nearest

RANGES: dict[str, Range] = {"top": (int, 1, 1000, "1..1000"), "neighbours": (int, 0, 100, "0..100")}
CHOICES = {"inside": (None, True, False)}
FREE = ("cam_layer", "patch")  # which the network checks
MOST_CLASSES = 4  # that are explained in one figure
PATCH = 5  # hidden squares along a side, if they did not overlap; they overlap by half
AGREE = 0.02  # largest difference of a probability between the file and its layers
THUMB = 200  # pixels


@dataclass(frozen=True)
class ExplainSettings:
    """What to show.

    Attributes:
        top: how many classes to name.
        classes: which to explain; empty for the answer's.
        neighbours: how many of the nearest training pictures.
        cam_layer: whose map Grad-CAM weighs; None for the last before pooling.
        occlusion: whether to hide one square after the other, which takes some seconds.
        patch: side of the hidden square in pixels of the network's input; None for a fifth.
        layers: whose activations to show.
        inside: whether to show filters, pooling, norms and dropout; None where the network was
            trained from scratch.
    """

    top: int = 5
    classes: tuple[str, ...] = ()
    neighbours: int = 8
    cam_layer: str | None = None
    occlusion: bool = True
    patch: int | None = None
    layers: tuple[str, ...] = ()
    inside: bool | None = None

    def __post_init__(self) -> None:
        check_fields(self, CHOICES, RANGES, free=FREE)


@dataclass
class Target:
    """One class, explained.

    Attributes:
        label: the class.
        probability: of it.
        cam: (h, w) at the layer's resolution; None where there is no map.
        overlay: the map laid over the picture.
        falls: (S, S) how much its log-odds fall where a square hides the picture.
        least: its probability under the worst square.
        files: what was written.
    """

    label: str
    probability: float
    cam: Array | None = field(default=None, repr=False)
    overlay: Array | None = field(default=None, repr=False)
    falls: Array | None = field(default=None, repr=False)
    least: float | None = None
    files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; the map is on the scale 0 to 1."""
        top = 1.0 if self.cam is None else max(float(self.cam.max()), 1e-12)
        return {
            "label": self.label,
            "probability": round(self.probability, 6),
            "grad_cam": None
            if self.cam is None
            else (self.cam / top).astype(float).round(4).tolist(),
            "least_probability": None if self.least is None else round(self.least, 6),
            "files": self.files,
        }


@dataclass
class Explanation:
    """One picture, explained.

    Attributes:
        answer: what the bundle says.
        layer: whose map Grad-CAM weighed; None where the network has no map.
        targets: the classes that were explained.
        neighbours: the nearest training pictures.
        beside: words about them.
        files: what was written, by name.
        notices: what the user should know.
    """

    answer: Prediction
    layer: str | None
    targets: list[Target]
    neighbours: list[Neighbour] = field(default_factory=list)
    beside: str = ""
    files: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    @property
    def guess(self) -> str:
        """The label that neighbours are compared with; of an unknown picture the likeliest."""
        return self.answer.top[0][0] if self.answer.unknown else self.answer.label

    def __repr__(self) -> str:
        told = f"unknown; likeliest {self.guess}" if self.answer.unknown else self.guess
        sure = f"{told or 'no class'}, {100 * self.answer.probability:.1f} %"
        figure = self.files.get("explanation (svg)")
        return f"<Explanation of {self.answer.file!r}: {sure}; figure {figure!r}>"

    def _repr_svg_(self) -> str:
        """Return the figure, which a notebook then shows."""
        return Path(self.files["explanation (svg)"]).read_text("utf-8")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        near = [
            {"file": one.file, "label": one.label, "similarity": round(one.similarity, 6)}
            for one in self.neighbours
        ]
        return {
            **self.answer.to_json(),
            "layer": self.layer,
            "classes": [target.to_json() for target in self.targets],
            "neighbours": near,
            "files": self.files,
            "notices": self.notices,
        }


def explain_picture(
    bundle: Bundle, image: Picture, out: Path, settings: ExplainSettings,
    progress: Progress, pictures: Dataset | None = None,
) -> Explanation:  # fmt: skip
    """Explain a bundle's answer for one picture.

    Args:
        bundle: the model; frozen, fine-tuned or from scratch.
        image: the picture: a path, an address, a file's bytes or an array.
        out: folder for the figure and its parts.
        settings: what to show.
        progress: shows what takes a while.
        pictures: what the bundle was trained on, for the nearest of them.

    Raises:
        SilverprintError: an argument, the picture or the bundle is wrong.
    """
    network = load_network(bundle).to(memory_format=torch.channels_last)  # a third faster
    preprocessing = preprocessing_of(bundle)
    for name in (*settings.layers, *filter(None, [settings.cam_layer])):
        check_layer(network, name)
    name = os.fspath(image) if isinstance(image, str | os.PathLike) else "picture"
    seen = view(image, name, preprocessing)
    make_folder(out)
    pixels = normalise(torch.from_numpy(seen.pixels[None].copy()), preprocessing)
    answers = Predictor(bundle)
    looked, distances = answers.look(answers.decode(image)[None])
    probabilities, distance = looked[0], None if distances is None else float(distances[0])
    answer = answers.answer(name, probabilities, settings.top, distance)
    chosen = _chosen(bundle, answer, settings.classes)
    targets = [Target(label, float(probabilities[bundle.classes.index(label)])) for label in chosen]
    found = Explanation(answer, None, targets)
    _find_causes(bundle, network, pixels, seen, found, settings, progress)
    _check_agreement(bundle, network, pixels, probabilities, found)
    if pictures is None:
        found.beside = (
            "They are not known: give the training data with --pictures, as it was given to train."
        )
    elif settings.neighbours:
        found.neighbours, notices = nearest(
            bundle, network, _content(image), pixels, pictures, settings.neighbours, progress
        )
        found.notices += notices
        found.beside = _said_of(found.neighbours, found.guess)
    _write(out, seen, found)
    everything = _shows_everything(bundle, settings)
    if everything or settings.layers:
        from silverprint.workflows.inside import write_inside

        found.files |= write_inside(
            bundle, network, pixels, out, settings.layers, found.layer, pictures, answer,
            everything=everything,
        )  # fmt: skip
    return found


def _content(image: Picture) -> bytes:
    """Return the bytes by which a picture is told from its copies."""
    if isinstance(image, np.ndarray):
        return bytes_of_array(image)
    return image if isinstance(image, bytes) else read_file(image)


def _chosen(bundle: Bundle, answer: Prediction, asked: Sequence[str]) -> list[str]:
    for label in asked:
        if label not in bundle.classes:
            raise ConfigError(
                f"class {label!r} is not one of the bundle's.{closest(label, bundle.classes)} It "
                f"knows {', '.join(bundle.classes[:20])}."
            )
    if len(asked) > MOST_CLASSES:
        raise ConfigError(f"at most {MOST_CLASSES} classes at a time; got {len(asked)}.")
    likeliest = answer.top[0][0]
    told = answer.label.split("|") if bundle.task == "multi-label" else [answer.label]
    known = [label for label in told if label in bundle.classes]  # not "unknown", not nothing
    return list(dict.fromkeys(asked or known))[:MOST_CLASSES] or [likeliest]


def link_of(bundle: Bundle) -> str:
    """Return how logits become probabilities."""
    facts = bundle.manifest.get("architecture", {})
    return str(facts.get("link", "softmax"))


def temperature_of(bundle: Bundle) -> float:
    """Return what logits are divided by."""
    return float(bundle.manifest.get("calibration", {}).get("temperature", 1.0))


def _find_causes(
    bundle: Bundle, network: BundleNetwork, pixels: torch.Tensor, seen: View, found: Explanation,
    settings: ExplainSettings, progress: Progress,
) -> None:  # fmt: skip
    """Fill in what Grad-CAM and occlusion tell of each class."""
    numbers = [bundle.classes.index(target.label) for target in found.targets]
    link = link_of(bundle)
    found.layer = settings.cam_layer or last_map(network, pixels)
    if settings.cam_layer is not None:
        check_map(network, pixels, settings.cam_layer)
    if found.layer is None:
        found.notices.append("The network has no feature map, so there is no Grad-CAM.")
    else:
        maps = grad_cam(network, pixels, found.layer, score_of(link), numbers)
        for target, values in zip(found.targets, maps, strict=True):
            target.cam, target.overlay = values, seen.lay(values)
            if not values.any():
                found.notices.append(
                    f"Grad-CAM is 0 everywhere: nothing in {found.layer} speaks for {target.label}."
                )
    if settings.occlusion:
        hidden = _hide(bundle, network, pixels, numbers, settings, progress)
        for i, target in enumerate(found.targets):
            target.falls = seen.lay(_smooth(hidden.falls[i], hidden.patch))
            target.least = probability(hidden.least[i])


def _smooth(falls: Array, patch: int) -> Array:
    """Return a map without the squares' borders, which are no borders of the picture."""
    side = max(2, round(2 * falls.shape[0] / patch))
    return resized(falls, side, side)


def _hide(
    bundle: Bundle, network: BundleNetwork, pixels: torch.Tensor, numbers: Sequence[int],
    settings: ExplainSettings, progress: Progress,
) -> Occlusion:  # fmt: skip
    size = pixels.shape[-1]
    patch = max(2, round(size / PATCH)) if settings.patch is None else settings.patch
    if not (is_kind(patch, int) and 1 <= patch <= size):
        raise ConfigError(f"patch must lie within 1..{size} pixels; got {patch!r}.")
    stride = max(1, patch // 2)
    total = len(occlusion_steps(size, patch, stride)) ** 2
    with progress.stage("occlusion", total, f"hiding {total} squares") as advance:
        return occlusion(
            network, pixels, log_odds_of(link_of(bundle), temperature_of(bundle)), numbers,
            patch, stride, advance,
        )  # fmt: skip


def _check_agreement(
    bundle: Bundle, network: BundleNetwork, pixels: torch.Tensor,
    probabilities: np.ndarray[Any, np.dtype[np.float32]], found: Explanation,
) -> None:  # fmt: skip
    """Say so where the layers, which are explained, and the file, which answers, differ."""
    with torch.no_grad():
        logits = log_odds_of(link_of(bundle), temperature_of(bundle))(network(pixels))[0]
    difference = float(np.abs(torch.sigmoid(logits).numpy() - probabilities).max())
    if difference > AGREE:
        found.notices.append(
            f"The layers that are explained and model.onnx differ by up to {difference:.3f} in a "
            "probability; an int8 bundle answers with rounded weights."
        )


def _said_of(neighbours: Sequence[Neighbour], label: str) -> str:
    agreeing = sum(one.label == label for one in neighbours)
    return (
        f"By the cosine of the features that the classifier is given; {agreeing} of "
        f"{len(neighbours)} are labelled {label or 'with none'}."
    )


def _shows_everything(bundle: Bundle, settings: ExplainSettings) -> bool:
    scratch = "scratch" in bundle.manifest.get("training", {}).get("settings", {})
    return scratch if settings.inside is None else settings.inside


# ---- Writing ----


def _write(out: Path, seen: View, found: Explanation) -> None:
    found.files["picture"] = _keep(out / "picture.png", seen.picture)
    rows = [_panels(target, seen, found, out) for target in found.targets]
    first = Panel("The picture", seen.picture, "As far as the network saw it.")
    smalls = []
    for number, one in enumerate(found.neighbours, start=1):
        pixels = reduced(decode(one.source, name=one.file), THUMB)
        found.files[f"nearest {number}"] = _keep(out / f"nearest-{number}.png", pixels)
        agrees = one.label == found.guess
        smalls.append(Small(pixels, one.label or "none", f"{one.similarity:.3f}", agrees))
    told = found.guess or "no class"
    told = f"unknown; likeliest {told}" if found.answer.unknown else told
    sure = f"{told}, {100 * found.answer.probability:.1f} %"
    figure = explanation_figure(
        Path(found.answer.file).name, sure, found.answer.top, [[first, *row] for row in rows],
        smalls, found.beside,
    )  # fmt: skip
    write_both(out / "explanation", figure, found.files)


def _panels(target: Target, seen: View, found: Explanation, out: Path) -> list[Panel]:
    plain = re.sub(r"\W+", "-", target.label)
    panels = []
    if target.cam is not None and target.overlay is not None:
        height, width = target.cam.shape
        pixels = overlay(seen.picture, target.overlay)
        target.files["grad_cam"] = _keep(out / f"grad-cam-{plain}.png", pixels)
        said = f"What speaks for it in the {height} × {width} map of {found.layer}."
        panels.append(Panel(f"Grad-CAM: {target.label}", pixels, said, ember_scale()))
    if target.falls is not None and target.least is not None:
        pixels = signed_overlay(seen.picture, target.falls)
        target.files["occlusion"] = _keep(out / f"occlusion-{plain}.png", pixels)
        said = (
            f"Hidden square by square: at worst {100 * target.probability:.1f} % becomes "
            f"{100 * target.least:.1f} %."
        )
        panels.append(Panel(f"Occlusion: {target.label}", pixels, said, signed_scale()))
    return panels


def _keep(path: Path, pixels: Pixels) -> str:
    write_bytes(png(pixels), path)
    return str(path)


def write_both(stem: Path, figure: Markup, files: dict[str, str]) -> None:
    """Write a figure as SVG and, where what makes it is installed, as PNG."""
    write_figure(figure, stem.with_suffix(".svg"))
    files[f"{stem.name} (svg)"] = str(stem.with_suffix(".svg"))
    try:
        data = rendered(figure)
    except MissingExtraError:
        return
    write_bytes(data, stem.with_suffix(".png"))
    files[f"{stem.name} (png)"] = str(stem.with_suffix(".png"))
