"""What is usual for a model's pictures, so that a server can tell when it is shown others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.backbones.engines import shipping_engines
from silverprint.backbones.look import look
from silverprint.training.progress import Progress
from silverprint.training.reference import class_centres, left_out_distances, usual
from silverprint.workflows.run import Training

SAMPLE = 2_000  # training pictures that a network trained here looks at once more


def find_centres(run: Training, progress: Progress) -> None:
    """Find the middle of each class in the training pictures' features, as the network ships."""
    rows = run.dataset.rows("train")
    if run.network is None:
        features = run.seen.features(rows)
    else:
        rows = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(int)]
        text = f"where {len(rows):,} training pictures lie"
        with progress.stage("look as shipped", len(rows), text) as advance:
            seen = look(
                run.prepared, run.preprocessing, run.dataset.sources, run.dataset.names,
                cache=run.cache, engine=shipping_engines(run.precision), rows=rows,
                advance=advance,
            )  # fmt: skip
        features = seen.features()
    labels, classes = run.dataset.labels[rows], len(run.dataset.classes)
    run.centres = class_centres(features, labels, classes)
    if run.held_out is not None:  # nothing else is held out
        told = run.probabilities_of(run.held_out)
        run.reference = reference(told, left_out_distances(features, labels, classes))


def reference(probabilities: NDArray[np.float32], distances: NDArray[np.float32]) -> dict[str, Any]:
    """Return what is usual for pictures that the head did not learn from, as plain JSON types."""
    return {
        "pictures": len(distances),
        "confidence": usual(probabilities.max(1)),
        "distance": usual(distances),
    }
