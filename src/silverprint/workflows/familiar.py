"""What is usual for a model's pictures, so that it can say when it is shown others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.engines import shipping_engines
from silverprint.backbones.look import look
from silverprint.cluster.looking import place_of
from silverprint.training.progress import Progress
from silverprint.training.reference import (
    Array,
    Familiar,
    centres_of_parts,
    class_centres,
    distances_of,
    energies_of,
    left_out_distances,
    usual,
)
from silverprint.workflows.run import Training

SAMPLE = 2_000  # training pictures that a network trained here looks at once more
ACCEPT = 0.95  # share of known pictures that are answered, unless asked otherwise


def know_the_familiar(run: Training, shipped: dict[str, Array], progress: Progress) -> None:
    """Find where the training pictures lie, and how far from there the held-out ones are."""
    classes, rows = len(run.dataset.classes), run.dataset.rows("train")
    frozen = run.network is None and run.held_out is None
    stream = run.seen.stream(rows) if frozen else None
    if stream is not None:
        labels = run.dataset.labels[rows]
        centres = centres_of_parts(((part, labels[n]) for n, part in stream.parts()), classes)
    else:
        features, labels = _training_features(run, progress)
        centres = class_centres(features, labels, classes)
    if run.held_out is not None:  # cross-validated, so few: nothing else is held out
        logits, found = run.held_out, left_out_distances(features, labels, classes)
    else:
        held = shipped["validation"]
        logits, found = run.head.logits(held), distances_of(held, centres)
    energies = energies_of(logits / run.temperature) if run.link == "softmax" else None
    run.familiar = Familiar.of(centres, found, energies)
    total = run.familiar.total(found, energies)
    run.reference = {
        "pictures": len(total),
        "confidence": usual(run.probabilities_of(logits).max(1)),
        "distance": usual(total),
    }
    run.unknown = {"accept": ACCEPT, "distances": usual(total, 100)}


def _training_features(run: Training, progress: Progress) -> tuple[Array, NDArray[Any]]:
    rows = run.dataset.rows("train")
    if run.network is None:
        return run.seen.features(rows), run.dataset.labels[rows]
    rows = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(int)]
    text = f"where {len(rows):,} training pictures lie"
    with progress.stage("look as shipped", len(rows), text) as advance:
        seen = look(
            run.prepared, run.preprocessing, run.dataset.sources, run.dataset.names,
            cache=run.cache, engine=shipping_engines(run.precision), rows=rows,
            place=place_of(run.settings.on), advance=advance,
        )  # fmt: skip
    return seen.features(), run.dataset.labels[rows]
