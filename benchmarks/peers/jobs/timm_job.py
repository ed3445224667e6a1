"""timm: its loaders, model, optimiser and schedule in the loop that its train script has.

The script itself is in no package, so what it calls is called here, with its defaults, except for a
batch of 32 instead of 128 and no warm-up, which would outlast these few epochs. It fine-tunes the
whole network; freezing is none of its options.
"""

import time
from pathlib import Path

import timm
import torch
from notes import main, note, note_answers, note_seen
from PIL import Image
from timm.data import create_dataset, create_loader, create_transform, resolve_data_config
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter, accuracy

NAME = "tf_efficientnet_lite0"
CPU = torch.device("cpu")


def train(data: Path, out: Path, epochs: int) -> None:
    kinds = {
        part: create_dataset("", root=str(data), split=part) for part in ("train", "validation")
    }
    classes = len(kinds["train"].reader.class_to_idx)
    network = timm.create_model(NAME, pretrained=True, num_classes=classes)
    shape = resolve_data_config({}, model=network)
    common = {key: shape[key] for key in ("input_size", "mean", "std", "interpolation")}
    common |= {"batch_size": 32, "num_workers": 2, "use_prefetcher": False, "pin_memory": False}
    learned = create_loader(
        kinds["train"], is_training=True, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), hflip=0.5,
        color_jitter=0.4, device=CPU, **{**common, "interpolation": "random"},
    )  # fmt: skip
    held = create_loader(kinds["validation"], crop_pct=shape["crop_pct"], device=CPU, **common)
    note(pictures=len(kinds["train"]), held=len(kinds["validation"]))
    rate = 0.1 * 32 / 256  # the script's rule for SGD
    optimiser = create_optimizer_v2(network, opt="sgd", lr=rate, momentum=0.9, weight_decay=2e-5)
    steps = len(learned)
    schedule, _ = create_scheduler_v2(
        optimiser, sched="cosine", num_epochs=epochs, warmup_epochs=0, updates_per_epoch=steps
    )
    loss_of = LabelSmoothingCrossEntropy(0.1)
    for epoch in range(epochs):
        began = time.time()
        train_one_epoch(network, learned, loss_of, optimiser)
        right = validate(network, held)
        note(epoch=epoch, seconds=time.time() - began, accuracy=right)
        schedule.step(epoch + 1)
    names = sorted(kinds["train"].reader.class_to_idx)
    torch.save({"state_dict": network.state_dict(), "names": names}, out / "last.pth.tar")


def train_one_epoch(network, loader, loss_of, optimiser) -> None:  # noqa: ANN001
    network.train()
    for pictures, labels in loader:
        loss = loss_of(network(pictures), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def validate(network, loader) -> float:  # noqa: ANN001
    network.eval()
    meter = AverageMeter()
    with torch.inference_mode():
        for pictures, labels in loader:
            meter.update(accuracy(network(pictures), labels)[0].item() / 100, len(labels))
    return meter.avg


def predict(out: Path, photo: str, repeats: int) -> None:
    names = torch.load(out / "last.pth.tar", weights_only=True)["names"]
    network = timm.create_model(
        NAME, num_classes=len(names), checkpoint_path=str(out / "last.pth.tar")
    ).eval()
    transform = create_transform(**resolve_data_config({}, model=network))

    def answer() -> str:
        with torch.inference_mode():
            logits = network(transform(Image.open(photo).convert("RGB"))[None])
        return names[int(logits.argmax())]

    note_answers(answer, repeats)


def see(file: str) -> None:
    """Show what the loader's dataset makes of the file, which stands alone in its folder."""
    note_seen(create_dataset("", root=str(Path(file).parents[1]))[0][0])


if __name__ == "__main__":
    main(train, predict, see)
