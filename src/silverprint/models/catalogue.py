"""The networks that can be trained from scratch, by name."""

from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from silverprint.errors import ConfigError, closest
from silverprint.models import cnn, mlp, resnet
from silverprint.models.network import Initialisation, PictureInput, SmallNetwork, initialise

ModelName = Literal["mlp", "cnn", "resnet"]
PRESETS: dict[str, tuple[str, ...]] = {
    "mlp": tuple(mlp.PRESETS),
    "cnn": tuple(cnn.PRESETS),
    "resnet": tuple(resnet.PRESETS),
}


def check_model(model: str, preset: str) -> None:
    """Refuse names that are not in the catalogue; an empty preset is the model's first.

    Raises:
        ConfigError: the model or its preset is unknown.
    """
    known: tuple[str, ...] = get_args(ModelName)
    if model not in known:
        raise ConfigError(
            f"model must be one of {', '.join(known)}; got {model!r}.{closest(model, known)}"
        )
    presets = PRESETS[model]
    if preset and preset not in presets:
        raise ConfigError(
            f"preset of {model} must be one of {', '.join(presets)}; got {preset!r}."
            f"{closest(preset, presets)}"
        )


def build_network(
    model: str, outputs: int, sample: Tensor, *, preset: str = "", widths: tuple[int, ...] = (),
    dropout: float | None = None, batch_norm: bool | None = None,
    initialisation: Initialisation = "he", seed: int = 0,
) -> SmallNetwork:  # fmt: skip
    """Return a network with fresh weights.

    Args:
        model: "mlp", "cnn" or "resnet".
        outputs: number of logits.
        sample: (n, C, S, S) uint8 pictures of the kind it will be given, to normalise them by.
        preset: a shape by name; empty for the model's first.
        widths: units or channels of each layer, block or group, in place of the preset's.
        dropout: in place of the preset's, before the classifier and, for an mlp, after each layer.
        batch_norm: None for the model's own way: a cnn has it, an mlp has not, a resnet always has.
        initialisation: how weights are drawn.
        seed: from which.

    Raises:
        ConfigError: a name is unknown.
    """
    check_model(model, preset)
    given = PictureInput.of(sample)
    preset = preset or PRESETS[model][0]
    if model == "mlp":
        rate = mlp.DROPOUT if dropout is None else dropout
        network = mlp.mlp(given, outputs, widths or mlp.PRESETS[preset], rate, batch_norm or False)
    elif model == "cnn":
        shape = cnn.PRESETS[preset]
        shape = replace(shape, widths=widths or shape.widths)
        if dropout is not None:
            shape = replace(shape, dense_dropout=dropout)
        network = cnn.cnn(given, outputs, shape, batch_norm is not False)
    else:
        form = resnet.PRESETS[preset]
        form = replace(form, widths=widths or form.widths)
        form = form if dropout is None else replace(form, dropout=dropout)
        network = resnet.resnet(given, outputs, form, sample)
    initialise(network, initialisation, torch.Generator().manual_seed(seed))
    return network
