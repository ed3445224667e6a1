"""What the curves say of overfitting."""

import pytest

from silverprint.reports.overfitting import overfitting

FALLING = [2.0, 1.0, 0.5, 0.2]


def test_parting_losses_name_the_epoch() -> None:
    words = overfitting({"training loss": FALLING, "validation loss": [2.0, 1.0, 1.2, 1.5]})
    assert words.startswith("They part after epoch 2: the training loss goes on falling, from 1.0")
    assert "the validation loss rises from 1.000 to 1.500" in words


def test_a_gap_is_told_where_the_loss_did_not_rise() -> None:
    curves = {
        "training loss": FALLING,
        "validation loss": [2.0, 1.0, 0.9, 0.8],
        "training accuracy": [0.5, 0.7, 0.9, 0.99],
        "validation accuracy": [0.5, 0.7, 0.8, 0.81],
    }
    assert "99.0" in overfitting(curves)
    assert "81.0" in overfitting(curves)
    assert overfitting(curves).startswith("There is a gap")


@pytest.mark.parametrize("last", [0.3, 1.0, 1.05])
def test_curves_that_stay_together(last: float) -> None:
    words = overfitting({"training loss": FALLING, "validation loss": [2.0, 1.5, 1.0, last]})
    assert words == "Training and validation stay together: no sign of overfitting."


def test_a_rise_in_both_is_not_overfitting() -> None:
    rising = {"training loss": [1.0, 2.0, 3.0], "validation loss": [1.0, 2.0, 3.0]}
    assert "stay together" in overfitting(rising)


@pytest.mark.parametrize(
    "curves",
    [
        {},
        {"training loss": FALLING},
        {"training loss": [1.0, 0.5], "validation loss": [1.0, 2.0]},
        {"training loss": FALLING, "validation loss": [1.0]},
    ],
)
def test_too_little_to_say_anything(curves) -> None:
    assert overfitting(curves) == ""
