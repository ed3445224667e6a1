"""Say in words when training and validation part: the network learns its pictures by heart."""

from collections.abc import Mapping, Sequence

from silverprint.reports.markup import percent

RISE = 0.1  # of the lowest validation loss: less is noise
GAP = 0.05  # in accuracy between training and validation: less is usual
SOLID_EPOCHS = 3  # fewer tell no trend


def overfitting(curves: Mapping[str, Sequence[float]]) -> str:
    """Return what the curves say of overfitting, as one or two sentences.

    Args:
        curves: by epoch, "training loss", "validation loss", "training accuracy" and "validation
            accuracy"; any may be missing.

    Returns:
        "" where there is nothing to compare, or too little.
    """
    seen, held = curves.get("training loss", ()), curves.get("validation loss", ())
    if len(seen) < SOLID_EPOCHS or len(held) != len(seen):
        return ""
    best = min(range(len(held)), key=held.__getitem__)
    rose = held[-1] > held[best] * (1 + RISE) and seen[-1] < seen[best]
    gap = _gap(curves, best)
    if rose:
        return (
            f"They part after epoch {best + 1}: the training loss goes on falling, from "
            f"{seen[best]:.3f} to {seen[-1]:.3f}, while the validation loss rises from "
            f"{held[best]:.3f} to {held[-1]:.3f}. From there on the training pictures are learned "
            "by heart. More pictures, augmentation, dropout or fewer units help."
        )
    if gap is not None:
        return (
            f"There is a gap: {gap[0]} of the training pictures are right at the best epoch, and "
            f"{gap[1]} of the held-out ones. More pictures, augmentation or dropout narrow it."
        )
    return "Training and validation stay together: no sign of overfitting."


def _gap(curves: Mapping[str, Sequence[float]], epoch: int) -> tuple[str, str] | None:
    seen, held = curves.get("training accuracy", ()), curves.get("validation accuracy", ())
    if len(seen) <= epoch or len(held) <= epoch or seen[epoch] - held[epoch] < GAP:
        return None
    return percent(seen[epoch]), percent(held[epoch])
