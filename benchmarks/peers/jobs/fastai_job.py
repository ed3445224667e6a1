"""fastai: vision_learner, frozen as its first stage is.

Its batch norms go on learning, so that a frozen epoch runs the network backwards too.
"""

import time
from pathlib import Path

from fastai.vision.all import (
    Callback,
    ImageDataLoaders,
    PILImage,
    Resize,
    accuracy,
    aug_transforms,
    load_learner,
    vision_learner,
)
from notes import main, note, note_answers, note_seen


class Clock(Callback):
    """Notes what an epoch took and the accuracy after it."""

    order = 99  # after the recorder

    def before_epoch(self) -> None:
        self.began = time.time()

    def after_epoch(self) -> None:
        *_, accurate = self.learn.recorder.log[:4] if len(self.learn.recorder.log) > 3 else [0.0]
        note(epoch=self.epoch, seconds=time.time() - self.began, accuracy=float(accurate))


def train(data: Path, out: Path, epochs: int) -> None:
    loaders = ImageDataLoaders.from_folder(
        data, train="train", valid="validation", bs=32,
        item_tfms=Resize(256), batch_tfms=aug_transforms(size=224),
    )  # fmt: skip
    note(pictures=len(loaders.train_ds), held=len(loaders.valid_ds))
    learner = vision_learner(loaders, "tf_efficientnet_lite0", metrics=accuracy, cbs=Clock())
    learner.fit_one_cycle(epochs, 2e-3)
    learner.remove_cb(Clock)
    learner.export(out / "model.pkl")


def predict(out: Path, photo: str, repeats: int) -> None:
    learner = load_learner(out / "model.pkl")
    with learner.no_bar():
        note_answers(lambda: learner.predict(photo)[0], repeats)


def see(file: str) -> None:
    note_seen(PILImage.create(file))


if __name__ == "__main__":
    main(train, predict, see)
