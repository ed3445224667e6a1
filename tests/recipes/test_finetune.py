"""Fine-tuning: it learns, what is frozen stays, and it can be stopped anywhere."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from silverprint.backbones.networks import reload_backbone
from silverprint.backbones.prepare import PreparedBackbone, prepare_backbone, write_network
from silverprint.backbones.registry import BackboneChoice, choose_backbone
from silverprint.errors import BackboneError, ConfigError
from silverprint.models.head import Head
from silverprint.recipes import finetune as recipe
from silverprint.recipes.finetune import FinetuneSettings, finetune, picture_side
from silverprint.recipes.heads import FitSettings, HeadConfig, HeadData, fit_heads
from silverprint.training import run_state
from silverprint.training.checkpoint import load_checkpoint
from silverprint.training.journal import read_journal
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Progress

SIZE = 32
SMALL = FinetuneSettings(
    epochs=3, batch_size=16, learning_rate=1e-3, head_learning_rate=1e-3, augment="light",
    device="cpu", precision="f32", average=0.9, dropout=0.1,
)  # fmt: skip


def weights_file(architecture: str, folder: Path) -> Path:
    import timm
    from safetensors.torch import save_file

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(architecture)
    file = folder / f"{architecture}.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, file)
    return file


def prepared_in(
    folder: Path, architecture: str = "test_efficientnet", size: int | None = SIZE
) -> PreparedBackbone:
    """A tiny network with random weights and everything that a pretrained one has on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    choice = choose_backbone(architecture, weights_file(architecture, folder))
    return prepare_backbone(choice, folder, size, notify=lambda _: None)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> PreparedBackbone:
    return prepared_in(tmp_path_factory.getbasetemp() / "tiny")


def pictures(count: int = 48, seed: int = 0, side: int = SIZE, classes: int = 3) -> PixelData:
    """Stripes on noise; which way they run, or none, is the class."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(60, 190, (count, 3, side, side), dtype=np.uint8)
    targets = np.arange(count) % classes
    for picture, label in zip(pixels, targets, strict=True):
        if label == 1:
            picture[:, ::4] //= 3
        elif label == 2:
            picture[:, :, ::4] //= 3
    return PixelData(pixels, targets.astype(np.int64))


def features_of(network, data: PixelData) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(data.pixels)).numpy()


def head_for(prepared: PreparedBackbone) -> Head:
    """A head that was fitted on the frozen network, as in a real run."""
    network = reload_backbone(prepared.choice, prepared.size, prepared.weights)
    data = pictures(24, seed=3, side=prepared.size)
    told = HeadData.of(features_of(network, data), data.targets, 3, "softmax", FitSettings())
    return fit_heads([HeadConfig(weight_decay=1.0)], told, told, FitSettings())[0].head


def untrained_head(features: int, hidden: int = 0, outputs: int = 3) -> Head:
    generator = np.random.default_rng(0)

    def layer(taken: int, given: int):
        weight = generator.normal(0, taken**-0.5, (given, taken)).astype(np.float32)
        return weight, np.zeros(given, dtype=np.float32)

    if hidden:
        return Head(*layer(hidden, outputs), *layer(features, hidden))
    return Head(*layer(features, outputs))


def tuned(prepared, folder: Path, settings: FinetuneSettings = SMALL, **options):
    head = options.pop("head", None) or head_for(prepared)
    train = pictures(side=picture_side(prepared.size))
    held = pictures(24, seed=1, side=prepared.size)
    return finetune(prepared, head, train, held, 3, "softmax", settings, folder, **options)


def accuracy(network, head: Head, data: PixelData) -> float:
    logits = head.logits(features_of(network, data))
    return float((logits.argmax(axis=1) == data.targets).mean())


def same(first, second) -> bool:
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    heads = zip(first.head.tensors().values(), second.head.tensors().values(), strict=True)
    weights = all(torch.equal(ours[name], theirs[name]) for name in ours)
    return weights and all(np.array_equal(one, other) for one, other in heads)


# ---- It learns ----


@pytest.mark.parametrize("unfreeze", ["all", 3])
@pytest.mark.parametrize("hidden", [0, 8])
def test_it_learns(tiny, tmp_path, unfreeze, hidden) -> None:
    settings = replace(
        SMALL, unfreeze=unfreeze, epochs=20, learning_rate=1e-2, head_learning_rate=2e-2
    )
    head = untrained_head(tiny.features, hidden)
    fitted = tuned(tiny, tmp_path, settings, head=head)
    frozen = reload_backbone(tiny.choice, tiny.size, tiny.weights)
    test = pictures(60, seed=2)
    assert accuracy(fitted.network, fitted.head, test) > accuracy(frozen, head, test) + 0.2
    assert fitted.epochs == 20
    assert 1 <= fitted.best_epoch <= 20
    assert fitted.metric == "validation accuracy"
    assert not fitted.network.training
    assert not any(parameter.requires_grad for parameter in fitted.network.parameters())
    assert fitted.head.hidden_size == hidden
    names = ["training loss", "training accuracy", "validation loss", "validation accuracy"]
    assert list(fitted.curves) == names
    assert all(len(values) == 20 for values in fitted.curves.values())
    best = fitted.curves["validation accuracy"][fitted.best_epoch - 1]
    assert best == max(fitted.curves["validation accuracy"])
    assert best == pytest.approx(accuracy(fitted.network, fitted.head, pictures(24, seed=1)))


def test_what_comes_out_is_the_same_architecture_and_can_ship(tiny, tmp_path) -> None:
    import onnxruntime

    fitted = tuned(tiny, tmp_path / "run")
    before = reload_backbone(tiny.choice, tiny.size, tiny.weights)
    names = {name for name in before.state_dict() if not name.startswith("classifier")}
    found = fitted.network.state_dict()
    assert {name for name in found if not name.startswith("classifier")} == names
    assert found["classifier.weight"].shape == (3, tiny.features)
    np.testing.assert_array_equal(found["classifier.weight"].numpy(), fitted.head.output_weight)
    choice = BackboneChoice("ours", "ours", "trained here", None, "ours")
    written = write_network(fitted.network, choice, tmp_path / "network")
    session = onnxruntime.InferenceSession(str(written.graph))
    data = pictures(5, seed=4)
    shipped = session.run(["features"], {"pixels": data.pixels})[0]
    np.testing.assert_allclose(shipped, features_of(fitted.network, data), rtol=1e-3, atol=1e-4)


def test_one_logit(tiny, tmp_path) -> None:
    def told(data: PixelData) -> PixelData:
        return PixelData(data.pixels, (data.targets[:, None] > 0).astype(np.float32))

    head = untrained_head(tiny.features, outputs=1)
    settings = replace(SMALL, augment="strong", epochs=4)
    train, held = told(pictures(classes=2)), told(pictures(24, seed=1, classes=2))
    fitted = finetune(tiny, head, train, held, 1, "sigmoid", settings, tmp_path)
    assert fitted.head.output_weight.shape[0] == 1
    assert fitted.curves["training loss"][-1] < fitted.curves["training loss"][0]


def test_it_is_never_worse_than_the_head_it_began_with(tiny, tmp_path) -> None:
    settings = replace(SMALL, learning_rate=0.5, head_learning_rate=0.5, clip=1.0, average=0.0)
    train = pictures()
    wrong = PixelData(train.pixels, 2 - train.targets)  # what it learns is of no use
    head, held = head_for(tiny), pictures(24, seed=1)
    fitted = finetune(tiny, head, wrong, held, 3, "softmax", settings, tmp_path)
    assert fitted.best_epoch == 0
    assert fitted.epochs == 3
    kept = fitted.network.state_dict()
    began = reload_backbone(tiny.choice, tiny.size, tiny.weights).state_dict()
    trunk = [name for name in kept if name.startswith("trunk")]
    assert trunk
    assert all(torch.equal(kept[name], began[name]) for name in trunk)
    np.testing.assert_array_equal(fitted.head.output_weight, head.output_weight)


def test_patience_and_metric(tiny, tmp_path) -> None:
    settings = replace(SMALL, epochs=40, patience=1, metric="validation loss")
    fitted = tuned(tiny, tmp_path, settings)
    assert fitted.epochs == fitted.best_epoch + 1 < 40
    losses = fitted.curves["validation loss"]
    assert losses[fitted.best_epoch - 1] == min(losses)


# ---- What is frozen stays ----


def test_only_the_last_stages_move_and_statistics_never_do(tiny, tmp_path) -> None:
    settings = replace(SMALL, unfreeze=1, epochs=6, learning_rate=1e-2, metric="validation loss")
    fitted = tuned(tiny, tmp_path, settings, head=untrained_head(tiny.features))
    assert fitted.best_epoch > 0
    before = reload_backbone(tiny.choice, tiny.size, tiny.weights).state_dict()
    moved = {
        name
        for name, value in fitted.network.state_dict().items()
        if not name.startswith("classifier") and not torch.equal(value, before[name])
    }
    assert any(name.startswith("trunk.blocks.4") for name in moved)
    assert not any(re.match(r"trunk\.(conv_stem|bn1|blocks\.[012])", name) for name in moved)
    assert not any("running" in name for name in moved)


def test_frozen_weights_that_move_are_noticed(tiny, tmp_path, monkeypatch) -> None:
    learn = recipe._learn

    def meddle(model, *rest):
        buffers = dict(model.named_buffers())
        next(value for name, value in buffers.items() if "running_mean" in name).add_(1e-3)
        return learn(model, *rest)

    monkeypatch.setattr(recipe, "_learn", meddle)
    with pytest.raises(BackboneError, match="frozen weights or statistics changed while"):
        tuned(tiny, tmp_path, replace(SMALL, epochs=1))


def test_each_stage_learns_more_slowly_than_the_next(tiny, tmp_path, monkeypatch) -> None:
    made = []
    original = recipe._optimiser

    def note(*arguments):
        made.append(original(*arguments))
        return made[-1]

    monkeypatch.setattr(recipe, "_optimiser", note)
    settings = replace(SMALL, epochs=1, stage_factor=0.5, unfreeze=3, head_learning_rate=0.01)
    tuned(tiny, tmp_path, settings)
    rates = [group["highest"] for group in made[0].param_groups]
    assert rates == pytest.approx([2.5e-4] * 2 + [5e-4] * 2 + [1e-3] * 2 + [0.01] * 2)
    decays = [group["weight_decay"] for group in made[0].param_groups]
    assert decays == [0.05, 0.0] * 4
    assert all(p.ndim > 1 for group in made[0].param_groups[::2] for p in group["params"])


def test_views_are_looked_at_once(tiny, tmp_path) -> None:
    class Counting(Progress):
        def stage(self, name, total=None, text=""):
            stages.append((name, total))
            return super().stage(name, total, text)

    stages: list[tuple[str, int]] = []
    settings = replace(SMALL, unfreeze=2, views=3)
    tuned(tiny, tmp_path, settings, progress=Counting(quiet=True))
    assert stages == [("views", 3 * 48 + 24 + 24), ("fine-tune", 3 * 48)]
    shape = np.memmap(tmp_path / "views.activations", dtype=np.float32).size
    assert shape % (3 * 48) == 0


def test_a_network_that_cannot_be_cut_is_said_and_trains_all_the_same(
    tiny, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("silverprint.models.thawing.cut", lambda *_: None)
    said = []

    class Listening(Progress):
        def say(self, line: str) -> None:
            said.append(line)

    settings = replace(SMALL, unfreeze=1, epochs=4, metric="validation loss")
    head = untrained_head(tiny.features)
    fitted = tuned(tiny, tmp_path, settings, head=head, progress=Listening(quiet=True))
    assert said == [
        "the network cannot be cut in front of its last 1 stages, so its frozen part runs again "
        "in every epoch."
    ]
    assert not (tmp_path / "views.activations").exists()
    assert fitted.best_epoch > 0
    before = reload_backbone(tiny.choice, tiny.size, tiny.weights).state_dict()
    after = fitted.network.state_dict()
    assert torch.equal(after["trunk.conv_stem.weight"], before["trunk.conv_stem.weight"])


@pytest.mark.slow
def test_a_transformer(tmp_path) -> None:
    prepared = prepared_in(tmp_path, "test_vit", size=None)
    settings = replace(SMALL, unfreeze=1, epochs=2, metric="validation loss")
    head = untrained_head(prepared.features)
    fitted = tuned(prepared, tmp_path / "run", settings, head=head)
    assert fitted.best_epoch > 0


# ---- Stopped and taken up ----


class StoppedError(Exception):
    """Stands for whatever ends the process."""


@pytest.mark.parametrize("at", [1, 4, 8])
@pytest.mark.parametrize("unfreeze", ["all", 2])
def test_stopped_anywhere_it_ends_the_same(tiny, tmp_path, monkeypatch, at, unfreeze) -> None:
    """Three steps an epoch; a checkpoint after every step."""
    settings = replace(SMALL, unfreeze=unfreeze, precision="bf16", accumulate=2)
    undisturbed = tuned(tiny, tmp_path / "a", settings)
    monkeypatch.setattr(run_state, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    steps = 0
    update = run_state.WeightAverage.update

    def stop(self) -> None:
        nonlocal steps
        steps += 1
        if steps == at:
            raise StoppedError
        update(self)

    monkeypatch.setattr(run_state.WeightAverage, "update", stop)
    with pytest.raises(StoppedError):
        tuned(tiny, tmp_path / "b", settings)
    resumed = tuned(tiny, tmp_path / "b", settings)
    assert steps == 9 + 1  # nothing but the step that was stopped is made again
    assert same(undisturbed, resumed)
    assert resumed.curves == undisturbed.curves
    assert resumed.resumed == (at - 1) // 3
    assert [line["epoch"] for line in read_journal(tmp_path / "b")] == [1, 2, 3]


def test_a_folder_of_another_run_is_refused(tiny, tmp_path) -> None:
    tuned(tiny, tmp_path, replace(SMALL, epochs=1))
    with pytest.raises(ConfigError, match=r"belongs to a run with learning_rate 0\.001, not 0\.01"):
        tuned(tiny, tmp_path, replace(SMALL, epochs=1, learning_rate=0.01))


PROGRAM = """
    import sys
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    sys.path.insert(0, {folder!r})
    from test_finetune import LONG, prepared_in, tuned
    tuned(prepared_in(Path(sys.argv[1]) / "tiny"), Path(sys.argv[1]) / "run", LONG)
"""
LONG = replace(SMALL, epochs=8, unfreeze=3, augment="photos")


@pytest.mark.slow
def test_killed_it_ends_the_same(tiny, tmp_path) -> None:
    undisturbed = tuned(tiny, tmp_path / "a", LONG)
    code = textwrap.dedent(PROGRAM.format(folder=str(Path(__file__).parent)))
    killed = 0
    for after in (2, 5):
        with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as child:
            while child.poll() is None and len(read_journal(tmp_path / "run")) < after:
                pass
            child.send_signal(signal.SIGKILL)
            child.wait()
            killed += child.returncode == -signal.SIGKILL
    assert killed >= 1
    resumed = tuned(tiny, tmp_path / "run", LONG)
    assert resumed.resumed >= 2
    assert same(undisturbed, resumed)
    assert resumed.curves == undisturbed.curves


IN_TWO = """
    import sys
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    sys.path.insert(0, {folder!r})
    from test_finetune import (
        PLAIN, SIZE, UNFREEZE, choose_backbone, prepare_backbone, replace, tuned
    )
    folder = Path(sys.argv[1])
    choice = choose_backbone("test_efficientnet", folder / "test_efficientnet.safetensors")
    prepared = prepare_backbone(choice, folder, SIZE, notify=lambda _: None)
    for unfreeze in UNFREEZE:
        tuned(prepared, folder / ("two-" + str(unfreeze)), replace(PLAIN, unfreeze=unfreeze))
"""
PLAIN = replace(SMALL, dropout=0.0, accumulate=2, class_weights="balanced")
UNFREEZE = ("all", 3)


def test_two_processes_have_the_loss_curve_of_one(tmp_path) -> None:
    prepared = prepared_in(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(IN_TWO.format(folder=str(Path(__file__).parent))))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
        "--nproc-per-node", "2", str(script), str(tmp_path),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for unfreeze in UNFREEZE:
        tuned(prepared, tmp_path / f"one-{unfreeze}", replace(PLAIN, unfreeze=unfreeze))
        alone, together = (read_journal(tmp_path / f"{n}-{unfreeze}") for n in ("one", "two"))
        assert len(together) == 3
        for name in ("loss in the loop", "training loss", "validation loss", "validation accuracy"):
            expected = [line[name] for line in alone]
            assert [line[name] for line in together] == pytest.approx(expected, rel=1e-3), name


# ---- Progress and errors ----


def test_progress_counts_every_picture_and_says_how_it_goes(tiny, tmp_path) -> None:
    told = []

    class Noting(Progress):
        def stage(self, name, total=None, text=""):
            titles.append(text)
            assert (name, total) == ("fine-tune", 3 * 48)
            return nullcontext(lambda count, note="": told.append((count, note)))

    titles: list[str] = []
    tuned(tiny, tmp_path, progress=Noting(quiet=True))
    assert titles == ["fine-tuning everything"]
    assert sum(count for count, _ in told) == 3 * 48
    pattern = r"epoch 2/3, loss \d\.\d{3}, validation accuracy [01]\.\d{4}$"
    assert any(re.match(pattern, note) for _, note in told)


def test_a_loss_that_is_no_number_stops_it(tiny, tmp_path) -> None:
    settings = replace(SMALL, learning_rate=10.0, head_learning_rate=10.0, warm_up=0, epochs=30)
    with pytest.raises(ConfigError, match=r"loss became (nan|inf) at step \d of 3 in epoch \d+"):
        tuned(tiny, tmp_path, settings)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("unfreeze", 0, r"unfreeze must be all, or how many of the last stages .*; got 0\."),
        ("unfreeze", "al", r"unfreeze must be all, or how many .* at least 1; got 'al'\."),
        ("unfreeze", 1.5, r"unfreeze must be all, .*; got 1\.5\."),
        ("unfreeze", True, r"unfreeze must be all, .*; got True\."),
        ("epochs", 0, r"epochs must lie within 1\.\.100000; got 0\."),
        ("learning_rate", 0.0, r"learning_rate must lie within 0\.\.10, 0 excluded; got 0\.0\."),
        ("learning_rate", float("nan"), r"learning_rate must lie within .*; got nan\."),
        ("stage_factor", 1.1, r"stage_factor must lie within 0\.\.1, 0 excluded; got 1\.1\."),
        ("batch_size", "32", r"batch_size must lie within 1\.\.65536; got '32'\."),
        ("augment", "photo", r"policy must be one of .*; got 'photo'\. Did you mean 'photos'"),
        ("views", 0, r"views must lie within 1\.\.1000; got 0\."),
        ("average", 1.0, r"average must lie within 0\.\.0\.99999; got 1\.0\."),
        ("clip", 0, r"clip must lie within 0\.\.1000000, 0 excluded; got 0\."),
        ("metric", "accuracy", r"metric must be one of validation loss, validation accuracy; got"),
        ("precision", "f16", r"precision must be one of auto, f32, bf16; got 'f16'\."),
        ("seed", 2**31, r"seed must lie within 0\.\.2147483647; got 2147483648\."),
    ],
)
def test_settings_are_checked(field, value, message) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **{field: value})


def test_unfreeze_as_a_command_line_gives_it() -> None:
    assert FinetuneSettings(unfreeze="3").unfreeze == 3
    assert FinetuneSettings(unfreeze="all").unfreeze == "all"


def test_classes_that_tell_left_from_right_are_not_flipped(tiny, tmp_path) -> None:
    settings = replace(SMALL, augment="auto", epochs=1)
    runs = {"sided": ("turn left", "turn right", "ahead"), "plain": ("a cat", "a dog", "a hat")}
    for name, classes in runs.items():
        tuned(tiny, tmp_path / name, settings, classes=classes)
        assert (tmp_path / name / "last.safetensors").exists()
    told = {name: load_checkpoint(tmp_path / name / "last.safetensors") for name in runs}
    assert told["sided"]["identity"]["augment"] == "signs"
    assert told["plain"]["identity"]["augment"] == "small"
