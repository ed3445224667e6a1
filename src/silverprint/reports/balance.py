"""Say in words how the two networks of a gan get along, and what to do where they do not."""

from collections.abc import Mapping, Sequence

from silverprint.reports.markup import percent

COLLAPSED = 0.5  # of what real pictures have of spread or apartness
WON = 0.99  # how often the discriminator tells right when the generator no longer learns from it
BY_HEART = 0.5  # of the way from seen to made pictures
RUNAWAY = 20.0  # a generator's loss beyond this, in either direction, is no game any more
SOLID_EPOCHS = 3  # a discriminator may win for an epoch or two

Curves = Mapping[str, Sequence[float]]


def troubles(curves: Curves) -> list[str]:
    """Return what is wrong after the last epoch, a sentence or two each.

    Args:
        curves: by epoch, as `recipes.gan` measures them; any may be missing.
    """
    found = [rule(curves) for rule in (_collapsed, _repeats, _won, _by_heart, _ran_away)]
    return [words for words in found if words]


def balance(curves: Curves) -> str:
    """Return how it went, in one paragraph."""
    wrong = troubles(curves)
    if wrong or not curves.get("spread"):
        return " ".join(wrong)
    return (
        f"Both kept their balance: two made pictures differ by {percent(curves['spread'][-1])} of "
        "what two real ones do, and of a real and a made picture the discriminator answers higher "
        f"to the real one {percent(curves['told apart'][-1])} of the time."
    )


def _collapsed(curves: Curves) -> str:
    spread = _last(curves, "spread")
    if spread is None or spread >= COLLAPSED:
        return ""
    return (
        f"The generator has collapsed: two of its pictures differ by {percent(spread)} of what two "
        "real ones do. Lower learning_rate, or raise batch_size or r1, and train afresh."
    )


def _repeats(curves: Curves) -> str:
    apartness = _last(curves, "apartness")
    if apartness is None or apartness >= COLLAPSED or _collapsed(curves):
        return ""
    return (
        "The generator makes a few pictures again and again: its pictures are at "
        f"{percent(apartness)} of the usual distance from the one most like them. Lower "
        "learning_rate, or raise batch_size or r1, and train afresh."
    )


def _won(curves: Curves) -> str:
    told = list(curves.get("told apart", ()))
    if len(told) < SOLID_EPOCHS or min(told[-SOLID_EPOCHS:]) < WON:
        return ""
    since = next(k for k in range(len(told)) if min(told[k:]) >= WON) + 1
    return (
        f"The discriminator has won: since epoch {since} it tells made pictures from real ones "
        f"{percent(told[-1])} of the time, and the generator can hardly learn from it. Lower "
        "discriminator_rate, or raise r1."
    )


def _by_heart(curves: Curves) -> str:
    share = _last(curves, "by heart")
    if share is None or share <= BY_HEART:
        return ""
    return (
        "The discriminator knows its training pictures by heart: to pictures it has not seen it "
        f"answers {percent(min(share, 1.0))} of the way towards made ones. More pictures, fewer "
        "epochs, a smaller width or r1 help."
    )


def _ran_away(curves: Curves) -> str:
    loss = _last(curves, "generator loss")
    if loss is None or abs(loss) <= RUNAWAY:
        return ""
    return (
        f"The losses run away: the generator's is {loss:.0f}. Lower both rates, or turn spectral "
        "on, and train afresh."
    )


def _last(curves: Curves, name: str) -> float | None:
    values = curves.get(name)
    return values[-1] if values else None
