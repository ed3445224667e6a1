"""AutoGluon: MultiModalPredictor.fit on a table of paths, its network changed to Lite0.

Its own choice is a larger network whose weights a hub holds. It fine-tunes everything.
"""

import time
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch as lightning
import pandas as pd
from autogluon.multimodal import MultiModalPredictor
from notes import main, note, note_answers, note_seen
from PIL import Image


class Clock(lightning.Callback):
    """Notes what an epoch took and the accuracy after it."""

    def on_train_epoch_start(self, *_: object) -> None:
        self.began = time.time()

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        found = float(trainer.callback_metrics.get("val_accuracy", float("nan")))
        note(epoch=trainer.current_epoch, seconds=time.time() - self.began, accuracy=found)


def watch() -> None:
    """Add the clock to every trainer: the predictor offers no place for it."""
    create = lightning.Trainer.__init__

    def watched(self: lightning.Trainer, *given: object, **options: object) -> None:
        create(self, *given, **options)
        self.callbacks.append(Clock())

    lightning.Trainer.__init__ = watched


def table(folder: Path) -> pd.DataFrame:
    files = sorted(folder.glob("*/*"))
    return pd.DataFrame({"image": map(str, files), "label": [file.parent.name for file in files]})


def train(data: Path, out: Path, epochs: int) -> None:
    watch()
    learned, held = table(data / "train"), table(data / "validation")
    note(pictures=len(learned), held=len(held))
    predictor = MultiModalPredictor(label="label", path=str(out / "model"))
    settings = {"model.names": ["timm_image"], "optim.max_epochs": epochs,
                "model.timm_image.checkpoint_name": "tf_efficientnet_lite0"}  # fmt: skip
    predictor.fit(learned, tuning_data=held, hyperparameters=settings)


def predict(out: Path, photo: str, repeats: int) -> None:
    predictor = MultiModalPredictor.load(str(out / "model"))
    one = pd.DataFrame({"image": [photo]})
    note_answers(lambda: predictor.predict(one).iloc[0], repeats)


def see(file: str) -> None:
    from autogluon.multimodal.data.process_image import ImageProcessor

    network = SimpleNamespace(
        prefix="image", image_size=64, image_mean=[0.0] * 3, image_std=[1.0] * 3
    )
    steps = ["resize_shorter_side", "center_crop"]
    processor = ImageProcessor(network, steps, steps)
    processor.val_processor.transforms[:2] = [lambda picture: picture.resize((64, 64))]
    found = processor.process_one_sample({"image": [file]}, {"image": "image_path"}, False)
    pixels = (found["image_image"][0].permute(1, 2, 0) * 255).round().byte().numpy()
    note_seen(Image.fromarray(pixels))


if __name__ == "__main__":
    main(train, predict, see)
