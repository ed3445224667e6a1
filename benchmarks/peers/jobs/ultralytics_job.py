"""Ultralytics: YOLO's smallest classifier at 224 pixels, from random weights."""

import time
from pathlib import Path

from notes import main, note, note_answers, note_seen
from PIL import Image
from ultralytics import YOLO


def train(data: Path, out: Path, epochs: int) -> None:
    model = YOLO("yolo26n-cls.yaml")
    began: list[float] = []

    def count(trainer: object) -> None:
        loaders = trainer.train_loader, trainer.test_loader
        note(pictures=len(loaders[0].dataset), held=len(loaders[1].dataset))

    def end(trainer: object) -> None:
        """Note an epoch; the validation after the last one is none."""
        if began:
            right = float(trainer.metrics["metrics/accuracy_top1"])
            note(epoch=trainer.epoch, seconds=time.time() - began.pop(), accuracy=right)

    model.add_callback("on_train_start", count)
    model.add_callback("on_train_epoch_start", lambda _: began.append(time.time()))
    model.add_callback("on_fit_epoch_end", end)
    model.train(data=str(data), epochs=epochs, imgsz=224, project=str(out), name="run")


def predict(out: Path, photo: str, repeats: int) -> None:
    model = YOLO(next(out.rglob("last.pt")))

    def answer() -> str:
        result = model.predict(photo, verbose=False)[0]
        return result.names[result.probs.top1]

    note_answers(answer, repeats)


def see(file: str) -> None:
    from ultralytics.data.dataset import ClassificationDataset

    note_seen(Image.fromarray(ClassificationDataset.imread(file)[..., ::-1].copy()))


if __name__ == "__main__":
    main(train, predict, see)
