"""Keras: the transfer-learning guide, frozen; EfficientNetB0, Lite0's nearest relative there."""

import time
from pathlib import Path

import keras
import numpy as np
from notes import main, note, note_answers, note_seen
from PIL import Image

SIDE = (224, 224)


class Clock(keras.callbacks.Callback):
    """Notes what an epoch took and the accuracy after it."""

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        self.began = time.time()

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        note(epoch=epoch, seconds=time.time() - self.began, accuracy=logs["val_accuracy"])


def train(data: Path, out: Path, epochs: int) -> None:
    read = keras.utils.image_dataset_from_directory
    learned = read(data / "train", image_size=SIDE, batch_size=32)
    held = read(data / "validation", image_size=SIDE, batch_size=32)
    note(pictures=len(learned.file_paths), held=len(held.file_paths))
    network = keras.applications.EfficientNetB0(include_top=False, weights=None)
    network.trainable = False
    inputs = keras.Input((*SIDE, 3))
    features = keras.layers.GlobalAveragePooling2D()(network(inputs, training=False))
    outputs = keras.layers.Dense(len(learned.class_names))(keras.layers.Dropout(0.2)(features))
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(learned, validation_data=held, epochs=epochs, callbacks=[Clock()], verbose=2)
    model.save(out / "model.keras")


def predict(out: Path, photo: str, repeats: int) -> None:
    model = keras.saving.load_model(out / "model.keras")

    def answer() -> int:
        picture = keras.utils.img_to_array(keras.utils.load_img(photo, target_size=SIDE))
        return int(model.predict(picture[None], verbose=0).argmax())

    note_answers(answer, repeats)


def see(file: str) -> None:
    """Show what the loader makes of the file, which stands alone in its folder."""
    pictures = keras.utils.image_dataset_from_directory(
        Path(file).parents[1], labels=None, image_size=(64, 64), batch_size=1
    )
    first = np.asarray(next(iter(pictures)))[0]
    note_seen(Image.fromarray(first.clip(0, 255).astype(np.uint8)))


if __name__ == "__main__":
    main(train, predict, see)
