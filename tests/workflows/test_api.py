"""`import silverprint as sp`: the same work from Python."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import silverprint as sp


def test_read_train_predict_evaluate_save_load(trained, tmp_path) -> None:
    photos = sp.read(trained.photos)
    assert isinstance(photos, sp.Dataset)
    model = sp.train(photos, tmp_path / "bundle", size=64, seed=3, quiet=True)
    assert model.classes == ("cat", "dog", "emu")
    assert model.metrics["validation"]["accuracy"] > 0.9
    cat = trained.photos / "cat/0003.jpg"
    answer = model.predict(cat)
    assert isinstance(answer, sp.Prediction)
    assert answer.label == "cat"
    assert model.predict(str(cat)) == answer
    assert model.predict(cat.read_bytes()).top == answer.top
    assert model.predict(np.asarray(Image.open(cat))).probability == pytest.approx(
        answer.probability, abs=1e-5
    )
    assert model.evaluate(photos)["accuracy"] == 1.0
    assert model.evaluate(str(trained.photos), split="train")["n"] == 36

    kept = model.save(tmp_path / "kept")
    assert kept == tmp_path / "kept"
    shutil.rmtree(tmp_path / "bundle")
    again = sp.load(kept)
    assert again.predict(cat) == answer
    assert again.metrics == model.metrics
    assert repr(again) == f"Model({str(kept)!r}, classes=['cat', 'dog', 'emu'])"


def test_sets_from_python(trained) -> None:
    model = sp.load(trained.bundle, coverage=0.9)
    answer = model.predict(trained.photos / "cat/0001.jpg")
    assert answer.labels is not None
    assert set(answer.labels) <= set(model.classes)
    assert model.evaluate(trained.photos)["sets"]["asked"] == 0.9
    assert "sets" not in sp.load(trained.bundle).evaluate(trained.photos)


def test_a_list_answers_each_and_a_single_picture_raises(trained, tmp_path) -> None:
    model = sp.load(trained.bundle)
    (tmp_path / "bad.jpg").write_text("text")
    good = trained.photos / "dog/0001.jpg"
    answers = model.predict([good, tmp_path / "bad.jpg", tmp_path / "gone.jpg"], top=1)
    assert [answer.label for answer in answers] == ["dog", "", ""]
    assert len(answers[0].top) == 1
    assert answers[2].error == "does not exist; check the path"
    with pytest.raises(sp.ImageError, match=r"gone.jpg: does not exist; check the path"):
        model.predict(tmp_path / "gone.jpg")
    assert model.predict([]) == []


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
def test_without_out_the_bundle_lives_as_long_as_the_model(trained) -> None:
    model = sp.train(trained.photos, size=64, quiet=True, hidden_size=0)
    folder = model.bundle.path
    assert folder.is_dir()
    assert model.predict(trained.photos / "emu/0000.jpg").label == "emu"
    del model
    assert not folder.exists()


def test_save_refuses_a_folder_with_other_files(trained, tmp_path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-her.txt").write_text("dear")
    with pytest.raises(sp.ConfigError, match="is a folder with other files in it"):
        sp.load(trained.bundle).save(tmp_path / "letters")
    assert (tmp_path / "letters" / "to-her.txt").read_text() == "dear"


def test_save_onto_itself(trained, tmp_path) -> None:
    copy = Path(shutil.copytree(trained.bundle, tmp_path / "bundle"))
    sp.load(copy).save(copy)
    assert sp.load(copy).classes == ("cat", "dog", "emu")


def test_audit_from_python(trained, tmp_path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(trained.photos, photos)
    first = min((photos / "cat").iterdir())
    shutil.copy(first, photos / "cat" / "again.png")
    (photos / "dog" / "broken.png").write_bytes(b"?")
    found = sp.audit(photos, quiet=True)
    copies = next(one for one in found.findings if one.kind == "exact_duplicate")
    assert {found.dataset.names[row] for row in copies.rows} == {
        "cat/again.png",
        f"cat/{first.name}",
    }
    assert [one.kind for one in found.findings].count("unreadable") == 1
    with pytest.raises(sp.ConfigError, match="setting 'sed' is unknown"):
        sp.audit(photos, sed=1)


def test_errors_come_before_any_work(trained, tmp_path) -> None:
    with pytest.raises(sp.ConfigError, match=r"setting 'epoch' is unknown. Did you mean 'epochs'"):
        sp.train(trained.photos, epoch=3)
    with pytest.raises(sp.ConfigError, match=r"epochs must lie within 1\.\.100000"):
        sp.train(trained.photos, tmp_path / "b", epochs=0)
    with pytest.raises(sp.DataError, match="nowhere"):
        sp.train(tmp_path / "nowhere")
    with pytest.raises(sp.BundleError, match="does not exist"):
        sp.load(tmp_path / "nowhere")
    assert not (tmp_path / "b").exists()


def test_a_pretrained_network_for_a_loop_of_ones_own(make_photos, tmp_path) -> None:
    torch = pytest.importorskip("torch")
    photos = make_photos(tmp_path / "photos", {"red": 2, "green": 2})
    network = sp.load_backbone()
    assert not network.training
    pixels = torch.from_numpy(sp.pixels(photos, size=64)[0])
    assert network(pixels).shape == (4, 1280)
    grey = pixels[:, :1]
    torch.testing.assert_close(network(grey), network(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(sp.BackboneError, match=r"absent\.pth does not exist"):
        sp.load_backbone("vgg16", "absent.pth")
