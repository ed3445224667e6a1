"""Features as an array, for a classifier of one's own."""

import numpy as np
import pytest

import silverprint as sp

pytest.importorskip("torch")


def test_features_are_what_the_network_sees_and_it_looks_once(tmp_path, make_photos) -> None:
    photos = sp.read(make_photos(tmp_path / "photos", {"red": 3, "blue": 3}))
    features, labels = sp.features(photos, quiet=True, size=64)
    assert (features.shape, features.dtype) == ((6, 1280), np.float32)
    assert (labels == photos.labels).all()
    again, _ = sp.features(photos, "train", quiet=True, size=64)
    assert (again == features).all()
    torch = pytest.importorskip("torch")
    seen = sp.load_backbone()(torch.from_numpy(sp.pixels(photos, size=64)[0])).numpy()
    cosines = (seen * features).sum(1) / np.linalg.norm(seen, axis=1)
    assert (cosines / np.linalg.norm(features, axis=1) > 0.99).all()


def test_pictures_that_cannot_be_read_are_named_and_left_out(tmp_path, make_photos) -> None:
    folder = make_photos(tmp_path / "photos", {"red": 2, "blue": 2})
    (folder / "red" / "0001.jpg").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=r"1 picture of photos left out: red/0001.jpg: ") as told:
        features, labels = sp.features(folder, quiet=True, size=64)
    assert told[0].filename == __file__
    assert (len(features), labels.tolist()) == (3, [0, 0, 1])


def test_wrong_arguments(tmp_path, make_photos) -> None:
    folder = make_photos(tmp_path / "photos", {"red": 2, "blue": 2})
    with pytest.raises(sp.ConfigError, match="split must be one of train, validation, test; got"):
        sp.features(folder, "valid")
    with pytest.raises(sp.DataError, match=r"the test split of photos has no picture that can be"):
        sp.features(folder, "test")
    with pytest.raises(sp.ConfigError, match=r"setting 'sizes' is unknown. Did you mean 'size'"):
        sp.features(folder, sizes=64)
