"""A hub that cannot be reached is said at once; one that can keeps its patience."""

import socket
import time

import pytest
import torch
from huggingface_hub import constants

from silverprint.backbones.hub import check_reachable
from silverprint.backbones.networks import load_backbone
from silverprint.backbones.registry import choose_backbone
from silverprint.errors import BackboneError

REPOSITORY = "timm/resnet18.a1_in1k"


@pytest.fixture(autouse=True)
def online(monkeypatch, tmp_path) -> None:
    """No proxy, an empty cache, and the hub's library may ask."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))


@pytest.fixture
def nobody(monkeypatch) -> str:
    """Return an address where nobody listens, which is now the hub's."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    return address


@pytest.mark.usefixtures("nobody")
def test_where_nobody_answers_the_error_comes_at_once(monkeypatch) -> None:
    monkeypatch.setattr("timm.create_model", lambda *_, **__: pytest.fail("it was tried"))
    began = time.monotonic()
    with pytest.raises(BackboneError, match=r"not be fetched from the hub \(Connection.*--weights"):
        load_backbone(choose_backbone("resnet18"))
    assert time.monotonic() - began < 5


def test_torchvision_is_asked_for_its_address(monkeypatch) -> None:
    asked = []

    def refuse(address, _):
        asked.append(address)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(BackboneError, match=r"from the hub \(TimeoutError: timed out\)"):
        load_backbone(choose_backbone("googlenet"))
    assert asked == [("download.pytorch.org", 443)]


def test_a_hub_that_answers_is_left_to_its_library(monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{hub.getsockname()[1]}")
        check_reachable(None, REPOSITORY)


def test_what_is_here_needs_nobody(nobody, tmp_path) -> None:
    snapshot = tmp_path / "hub" / "models--timm--resnet18.a1_in1k" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    (refs := snapshot.parents[1] / "refs").mkdir()
    (refs / "main").write_text("0" * 40)
    check_reachable(None, REPOSITORY)
    (tmp_path / "torch" / "checkpoints").mkdir(parents=True)
    (tmp_path / "torch" / "checkpoints" / "w-1.pth").touch()
    check_reachable(f"{nobody}/models/w-1.pth")
    with pytest.raises(ConnectionRefusedError):
        check_reachable(f"{nobody}/models/w-2.pth")


@pytest.mark.usefixtures("nobody")
def test_behind_a_proxy_or_offline_the_library_decides(monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("https_proxy", "http://127.0.0.1:1")
        check_reachable(None, REPOSITORY)
    with pytest.raises(ConnectionRefusedError):
        check_reachable(None, REPOSITORY)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    check_reachable(None, REPOSITORY)


def test_weights_without_any_address_are_left_to_the_library() -> None:
    check_reachable(None)
    check_reachable("", None)
