"""Networks that make things as torch layers, built again from what their bundle says and holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from silverprint.backbones.networks import misfits
from silverprint.errors import BundleError, ConfigError
from silverprint.models.autoencoders import Linear, build_autoencoder
from silverprint.models.char_lstm import CharLSTM
from silverprint.models.gan import build_gan
from silverprint.models.shapes import VaeShape
from silverprint.models.vae import DecoderPart, EncoderPart, Vae
from silverprint.runtime.bundle import WEIGHTS
from silverprint.runtime.generative import GenerativeBundle

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Whole:
    """A network with all its parts, and something to run through it.

    Attributes:
        network: takes the examples. Its children are its parts: encoder and decoder, or generator
            and discriminator, one after the other; a text model's are its layers.
        examples: one picture, one code or one character, then labels or memory; all zero.
    """

    network: nn.Module
    examples: tuple[Tensor, ...]


class Chain(nn.Module):
    """Parts that each take what the one before gives, and the labels, if there are any."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, given: Tensor, *labels: Tensor) -> Tensor:
        """Return what the last part gives."""
        for part in self.children():
            given = part(given, *labels)
        return given


class Way(nn.Module):
    """One way through a network, with the layers that are its own."""

    def __init__(self, run: Callable[..., Tensor], **own: nn.Module | nn.Parameter | None) -> None:
        super().__init__()
        self.run = run
        for name, value in own.items():
            setattr(self, name, value)

    def forward(self, *given: Tensor) -> Tensor:
        """Run it."""
        return self.run(*given)


def load_whole(bundle: GenerativeBundle) -> Whole:
    """Build the network of a bundle that makes things, with its weights, in evaluation mode.

    Raises:
        BundleError: the bundle does not say what its network is, or the weights do not fit it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = bundle.path / WEIGHTS
    try:
        tensors = load_file(path)
        found = BUILDERS[bundle.task](bundle.manifest, tensors, str(path))
    except (
        OSError, SafetensorError, ConfigError, KeyError, TypeError, ValueError, RuntimeError,
        AttributeError,
    ) as error:  # fmt: skip
        raise BundleError(
            f"{bundle.path}: its network cannot be built again ({type(error).__name__}: {error}); "
            "get the bundle again."
        ) from None
    found.network.eval().requires_grad_(False)
    return found


def _autoencoder(facts: Mapping[str, Any], tensors: Tensors, path: str) -> Whole:
    settings, shape = facts["training"], _shape(facts)
    network = build_autoencoder(
        settings["kind"], torch.zeros(shape), settings["code_size"],
        widths=tuple(settings["widths"]), tied=settings["tied"], enlarging=settings["enlarging"],
    )  # fmt: skip
    _load(network, tensors, path)
    encoder, decoder = (
        _dense(network) if isinstance(network, Linear) else (network.encoder, network.decoder)
    )
    chain = Chain(encoder=cast(nn.Module, encoder), decoder=cast(nn.Module, decoder))
    return Whole(chain, (torch.zeros(1, *shape),))


def _dense(network: Linear) -> tuple[nn.Module, nn.Module]:
    """Return the layers that a linear network's sums are; tied weights belong to the encoder."""
    numbers = network.weight.shape[1]
    into, back = nn.Linear(numbers, network.code_size), nn.Linear(network.code_size, numbers)
    into.weight, into.bias, back.bias = network.weight, network.shift, network.bias
    if network.back is not None:
        back.weight = network.back
    else:
        del back.weight
        back.register_buffer("weight", network.weight.detach().t())
    return nn.Sequential(Centred(cast(Tensor, network.mean)), into), nn.Sequential(
        back, nn.Unflatten(1, network.shape)
    )


class Centred(nn.Module):
    """What differs from the mean picture, as a vector."""

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return (n, C * S * S) of (n, C, S, S)."""
        return pictures.flatten(1) - cast(Tensor, self.mean)


def _vae(facts: Mapping[str, Any], tensors: Tensors, path: str) -> Whole:
    told = facts["network"]
    shape = VaeShape(**{**told, "widths": tuple(told["widths"])})
    vae = Vae(shape)
    _load(vae, tensors, path)
    encoder = Way(EncoderPart(vae).forward, looking=vae.looking, encoding=vae.encoding)
    decoder = Way(
        DecoderPart(vae).forward, label=vae.label, coupling=vae.coupling, decoding=vae.decoding,
        log_noise=getattr(vae, "log_noise", None),
    )  # fmt: skip
    example = torch.zeros(1, shape.channels, shape.side, shape.side)
    return Whole(Chain(encoder=encoder, decoder=decoder), (example, *_labels(shape.classes)))


def _gan(facts: Mapping[str, Any], tensors: Tensors, path: str) -> Whole:
    settings, classes = facts["training"], len(facts["classes"])
    generator, discriminator = build_gan(
        _shape(facts), settings["code_size"], settings["width"], classes,
        upsampling=settings["upsampling"], spectral=settings["spectral"],
    )  # fmt: skip
    kept = any(name.startswith("discriminator.") for name in tensors)
    parts = {"generator": generator, **({"discriminator": discriminator} if kept else {})}
    chain = Chain(**parts)
    _load(chain, tensors, path)
    for layer in list(chain.modules()):
        if is_parametrized(layer, "weight"):
            remove_parametrizations(layer, "weight")  # what it is when it runs
    return Whole(chain, (torch.zeros(1, generator.code_size), *_labels(classes)))


def _text(facts: Mapping[str, Any], tensors: Tensors, path: str) -> Whole:
    settings, embedding = facts["settings"], tensors.get("embedding.weight")
    network = CharLSTM(
        len(facts["characters"]), width=settings["width"], layers=settings["layers"],
        embedding=0 if embedding is None else embedding.shape[1],
    )  # fmt: skip
    _load(network, tensors, path)
    step = Way(
        lambda places, *memory: network(places, memory)[0],
        embedding=network.embedding, layers=network.layers, last=network.last,
    )  # fmt: skip
    return Whole(step, (torch.zeros(1, 1, dtype=torch.int64), *network.nothing(1)))


BUILDERS: dict[str, Callable[[Mapping[str, Any], Tensors, str], Whole]] = {
    "autoencoder": _autoencoder, "vae": _vae, "gan": _gan, "text": _text,
}  # fmt: skip


def _shape(facts: Mapping[str, Any]) -> tuple[int, int, int]:
    channels, side = facts["picture"]["channels"], facts["picture"]["size"]
    return channels, side, side


def _labels(classes: int) -> tuple[Tensor, ...]:
    return (torch.zeros(1, dtype=torch.int64),) if classes else ()


def _load(network: nn.Module, tensors: Tensors, path: str) -> None:
    if problems := misfits(network.state_dict(), tensors):
        raise BundleError(
            f"{path} does not fit the network that bundle.json names: {problems}; get the bundle "
            "again."
        )
    network.load_state_dict(tensors)
