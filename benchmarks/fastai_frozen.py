"""fastai's newcomer's commands, frozen, with the same weights; run in a venv that has fastai.

vision_learner keeps the batch norms trainable, so its frozen epochs run the network backwards too.
"""

import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import fastai.vision.learner as vision_learner_module  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
from fastai.vision.all import (  # noqa: E402
    Callback,
    ImageDataLoaders,
    Resize,
    accuracy,
    aug_transforms,
    vision_learner,
)

from silverprint.backbones.registry import choose_backbone  # noqa: E402

create = timm.create_model


def with_packaged_weights(_: str, **options: object) -> torch.nn.Module:
    """Build the network and give it the packaged weights, which fit in order."""
    options.pop("pretrained", None)
    network = create("tf_efficientnet_lite0", **options)
    path = choose_backbone().weights
    assert path is not None
    given = torch.load(path, weights_only=True)
    values = [v for k, v in given.items() if not k.endswith("num_batches_tracked")]
    names = list(create("tf_efficientnet_lite0").state_dict())
    names = [name for name in names if not name.endswith("num_batches_tracked")]
    own = network.state_dict()
    fitting = {
        name: value for name, value in zip(names, values, strict=True)
        if name in own and own[name].shape == value.shape
    }  # fmt: skip
    assert len(fitting) >= len(names) - 2
    network.load_state_dict(fitting, strict=False)
    return network


class Speed(Callback):
    """Remembers how many pictures a second went through training and validation."""

    def before_train(self) -> None:
        self.began = time.perf_counter()

    def after_train(self) -> None:
        self.train = len(self.dls.train_ds) / (time.perf_counter() - self.began)

    def before_validate(self) -> None:
        self.began = time.perf_counter()

    def after_validate(self) -> None:
        self.validate = len(self.dls.valid_ds) / (time.perf_counter() - self.began)


def main(folder: Path, pictures: int) -> None:
    """Print training and validation pictures a second of one frozen epoch."""
    vision_learner_module.timm.create_model = with_packaged_weights
    train, held = (sorted((folder / part).glob("*/*")) for part in ("train", "validation"))
    train = train[:: max(1, len(train) // pictures)]
    held = held[:: max(1, 6 * len(held) // pictures)]
    files = train + held
    loaders = ImageDataLoaders.from_lists(
        folder, [str(file) for file in files], [file.parent.name for file in files],
        valid_pct=len(held) / len(files), item_tfms=Resize(256),
        batch_tfms=aug_transforms(size=224), bs=32, num_workers=2,
    )  # fmt: skip
    learner = vision_learner(loaders, "tf_efficientnet_lite0", metrics=accuracy)
    speed = Speed()
    learner.add_cb(speed)
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(1, 1e-2)
    print(speed.train, speed.validate)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
