"""`summary` of networks that make things: built again as they are, counted, drawn, or refused."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from silverprint.data.table import Dataset
from silverprint.data.text import Text
from silverprint.errors import BundleError, ConfigError
from silverprint.export.generative_network import load_whole
from silverprint.recipes.autoencoder import AutoencoderSettings
from silverprint.recipes.char_lm_settings import TextSettings
from silverprint.recipes.gan import GanSettings
from silverprint.recipes.vae_settings import VaeSettings
from silverprint.runtime.generative import DECODER, STEP, read_generative
from silverprint.training.progress import Progress
from silverprint.workflows.autoencode import autoencode
from silverprint.workflows.gan import generate_gan
from silverprint.workflows.summary import summarise
from silverprint.workflows.vae import Measuring, make_vae
from silverprint.workflows.write import train_text_model

SIDE, CODE = 16, 6
QUIET = Progress(quiet=True)
BRIEF: dict[str, Any] = {"epochs": 1, "batch_size": 16, "device": "cpu"}
LINES = "".join(f"Night {n} & the moon\n" for n in range(100))


@pytest.fixture(autouse=True)
def ready() -> None:
    """These tests need no trained bundle."""


def pictures() -> Dataset:
    pixels = np.random.default_rng(0).integers(0, 256, (48, SIDE, SIDE), dtype=np.uint8)
    splits = np.repeat([0, 1], [32, 16]).astype(np.int8)
    names = [str(number) for number in range(48)]
    return Dataset("noise", ("a", "b"), list(pixels), names, np.arange(48) % 2, splits)


def autoencoder(out: Path, **given: Any) -> nn.Module:
    settings = AutoencoderSettings(code_size=CODE, **BRIEF, **given)
    return autoencode(pictures(), out, settings, QUIET).fitted.network


def vae(out: Path, **given: Any) -> nn.Module:
    settings = VaeSettings(latent=CODE, **BRIEF, **given)
    measuring = Measuring(samples=1, pictures=2)
    return make_vae(pictures(), out, settings, QUIET, measuring=measuring).trained.network


def gan(out: Path, **given: Any) -> nn.Module:
    settings = GanSettings(code_size=CODE, width=4, **BRIEF, **given)
    both = generate_gan(pictures(), out, settings, QUIET).gan
    return nn.ModuleList([both.generator, both.discriminator])


def text(out: Path, **given: Any) -> nn.Module:
    settings = TextSettings(width=8, length=32, **BRIEF, **given)
    return train_text_model(Text("moon", LINES, 1500), out, settings, QUIET).fitted.network


Train = Callable[..., nn.Module]
MADE: dict[str, tuple[Train, dict[str, Any]]] = {
    "upsampling": (autoencoder, {"widths": (4, 8)}),
    "transposed": (autoencoder, {"widths": (4, 8), "kind": "transposed"}),
    "linear": (autoencoder, {"kind": "linear"}),
    "tied": (autoencoder, {"kind": "linear", "tied": True}),
    "vae": (vae, {"network": "mlp", "widths": (8,)}),
    "told vae": (vae, {"widths": (8,), "conditional": True, "prior": "flow",
                       "likelihood": "gaussian"}),
    "gan": (gan, {}),
    "plain gan": (gan, {"conditional": False, "spectral": False, "upsampling": "transposed"}),
    "text": (text, {}),
    "embedded text": (text, {"embedding": 5}),
}  # fmt: skip
Bundle = tuple[Path, nn.Module]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    root = tmp_path_factory.mktemp("made")
    kept: dict[str, Bundle] = {}

    def train(name: str) -> Bundle:
        if name not in kept:
            function, given = MADE[name]
            with torch.enable_grad():  # whatever test asks first
                kept[name] = root / name, function(root / name, **given)
        return kept[name]

    return train


@pytest.mark.parametrize("name", MADE)
def test_every_weight_is_counted_once_and_what_it_gives_is_drawn(made, name, tmp_path) -> None:
    folder, network = made(name)
    found = summarise(str(folder), drawing=tmp_path / "network.svg")
    assert found.parameters == found.learning == sum(p.numel() for p in network.parameters())
    task = json.loads((folder / "bundle.json").read_text("utf-8"))["task"]
    assert found.title == f"{task} ({name})"
    assert found.parameters >= sum(layer.parameters for layer in found.blocks) > 0
    assert found.multiply_adds == sum(part.multiply_adds for part in found.parts) or task == "text"
    image = (tmp_path / "network.svg").read_text("utf-8")
    assert (">picture<" in image) == (task in ("autoencoder", "vae"))
    assert (">learns<" in image, ">frozen<" in image) == (True, False)
    ends = {"text": ["last"], "gan": ["generator", "discriminator"]}
    assert set(ends.get(task, ["encoder", "decoder"])) <= {layer.name for layer in found.layers}


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in MADE if "text" not in name])
def test_what_is_described_gives_what_the_files_give(made, name) -> None:
    bundle = read_generative(made(name)[0])
    chance = np.random.default_rng(0)
    codes = chance.standard_normal((4, CODE), np.float32)
    labels = np.arange(4) % 2 if bundle.conditional else None
    if bundle.task == "gan":
        expected, given = bundle.decode(codes, labels), codes
    else:
        given = chance.random((4, 1, SIDE, SIDE), np.float32)
        expected = bundle.decode(bundle.encode(given, labels), labels)
    whole = load_whole(bundle).network
    told = () if labels is None else (torch.from_numpy(labels),)
    network = whole.generator if bundle.task == "gan" else whole
    found = network(torch.from_numpy(given), *told)
    if bundle.task == "autoencoder":  # the file's last step is no layer
        found = found.clamp(0, 1) if name in ("linear", "tied") else found.sigmoid()
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["text", "embedded text"])
def test_a_step_gives_what_the_file_gives(made, name) -> None:
    bundle = read_generative(made(name)[0])
    whole = load_whole(bundle)
    names = [one.name for one in bundle.session(STEP).get_inputs()]
    given = [whole.examples[0][0], *whole.examples[1:]]
    fed = {key: value.numpy() for key, value in zip(names, given, strict=True)}
    expected = bundle.session(STEP).run(None, fed)[0]
    np.testing.assert_allclose(whole.network(*whole.examples)[0].numpy(), expected, atol=1e-5)


def test_operations_counted_by_hand(made) -> None:
    pixels = SIDE**2
    tied = summarise(str(made("tied")[0]))
    assert tied.multiply_adds == 2 * CODE * pixels
    assert tied.parameters == CODE * pixels + CODE + pixels
    there = 9 * (1 * 4 * 8**2 + 4 * 8 * 4**2) + 8 * 4**2 * CODE
    back = {"transposed": there, "upsampling": CODE * 8 * 4**2 + 9 * (8 * 4 * 8**2 + 4 * 1 * 16**2)}
    for name, count in back.items():
        parts = {part.name: part for part in summarise(str(made(name)[0])).parts}
        assert parts["encoder"].multiply_adds == there
        assert parts["decoder"].multiply_adds == count
    step = summarise(str(made("embedded text")[0]))
    characters = len(set(LINES))
    assert step.multiply_adds == 4 * 8 * (5 + 8) + 4 * 8 * (8 + 8) + 8 * characters
    assert (step.each, step.gives[-1]) == ("character", characters)
    told = step.to_json()
    assert (told["for_one"], told["output"]) == ("character", [1, characters])


def test_a_gan_without_its_discriminator_is_a_generator(made) -> None:
    bundle = read_generative(made("gan")[0])
    tensors = load_file(bundle.path / "weights.safetensors")
    kept = {name: tensors[name] for name in tensors if name.startswith("generator.")}
    other = bundle.path.parent / "kept"
    other.mkdir()
    save_file(kept, other / "weights.safetensors")
    found = load_whole(type(bundle)(other, bundle.manifest)).network
    assert [name for name, _ in found.named_children()] == ["generator"]


@pytest.mark.parametrize(("change", "message"), [
    ({"training": None}, r"cannot be built again \(TypeError: .*\); get the bundle again\."),
    ({"picture": {"channels": 1}}, r"cannot be built again \(KeyError: 'size'\)"),
    ({"picture": {"channels": 1, "size": 4}}, "cannot be built again .ConfigError: an autoenc"),
    ({"picture": {"channels": 3, "size": 16}}, "weights.safetensors does not fit the network that"),
    ({"training": asdict(AutoencoderSettings(code_size=7, widths=(4, 8)))}, "expected .7, 128"),
    ({"training": asdict(AutoencoderSettings()) | {"widths": [-4]}}, "built again .RuntimeError"),
])  # fmt: skip
def test_a_bundle_that_does_not_know_itself_is_refused(made, change, message) -> None:
    bundle = read_generative(made("upsampling")[0])
    with pytest.raises(BundleError, match=message):
        load_whole(type(bundle)(bundle.path, bundle.manifest | change))


def test_what_is_refused(made, tmp_path) -> None:
    folder = made("tied")[0]
    with pytest.raises(ConfigError, match="--size is for networks without a bundle; leave it out"):
        summarise(str(folder), size=32)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in folder.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes() + b"x" * (path.name == DECODER))
    with pytest.raises(BundleError, match=r"decoder\.onnx"):
        summarise(str(damaged))
