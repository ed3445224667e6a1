"""The exported page: what is in its folder, how its runtime is brought, and that it answers."""

import functools
import importlib.util
import json
import os
import shutil
import stat
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from silverprint.errors import ConfigError
from silverprint.export.web import SCRIPT, WASM, write_web
from silverprint.runtime.bundle import read_bundle
from silverprint.runtime.predictor import Predictor

NEIGHBOUR = Path(__file__).parents[1] / "runtime" / "conftest.py"
_spec = importlib.util.spec_from_file_location("runtime_conftest", NEIGHBOUR)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
make_bundle = _module.make_bundle

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LINK = "https://example.org/onnxruntime-web/dist"


@pytest.fixture
def dist(tmp_path) -> Path:
    """Return a folder that looks like the runtime's."""
    folder = tmp_path / "package" / "dist"
    folder.mkdir(parents=True)
    (folder / SCRIPT).write_text("the script")
    (folder / WASM).write_bytes(b"the machine")
    (folder / "ort.webgl.min.js").write_text("not wanted")
    return folder


@pytest.fixture
def bundle(make_bundle):
    return read_bundle(make_bundle(name="colours"))


def config(site: Path):
    return json.loads((site / "page" / "config.json").read_text("utf-8"))


def policy(site: Path) -> str:
    html = (site / "index.html").read_text("utf-8")
    return html.split('Content-Security-Policy" content="')[1].split('"')[0]


def test_what_is_in_the_folder(bundle, dist, tmp_path) -> None:
    site = tmp_path / "sites" / "colours"
    write_web(bundle, site, runtime=str(dist), mode="classify")
    names = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    assert names == {
        "index.html", "model.onnx",
        *(f"page/{name}" for name in (
            "page.css", "page.js", "camera.js", "spell.js", "local.js", "worker.js", "icon.svg",
            "config.json", "runtime/ort.js", "runtime/ort.wasm",
        )),
    }  # fmt: skip
    assert (site / "model.onnx").read_bytes() == bundle.model.read_bytes()
    assert (site / "page/runtime/ort.wasm").read_bytes() == b"the machine"
    assert config(site) == {
        "name": "colours",
        "task": "single-label",
        "classes": ["red", "green", "blue"],
        "mode": "classify",
        "decode_side": 16,
        "unknown_beyond": None,
        "model": {"path": "model.onnx", "bytes": bundle.model.stat().st_size},
        "runtime": {"script": "page/runtime/ort.js", "wasm": "page/runtime/ort.wasm", "bytes": 11},
    }


def test_the_page_answers_by_itself(bundle, dist, tmp_path) -> None:
    write_web(bundle, tmp_path / "site", runtime=str(dist.parent), mode="classify")
    html = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "page/local.js" in html
    assert "server.js" not in html
    assert "'wasm-unsafe-eval'" in policy(tmp_path / "site")
    assert "http" not in policy(tmp_path / "site")


def test_the_runtime_may_be_a_link(bundle, tmp_path) -> None:
    write_web(bundle, tmp_path / "site", runtime=f"{LINK}/", mode="spell")
    assert list((tmp_path / "site/page/runtime").iterdir()) == []
    wanted = {"script": f"{LINK}/{SCRIPT}", "wasm": f"{LINK}/{WASM}", "bytes": 0}
    assert config(tmp_path / "site")["runtime"] == wanted
    assert config(tmp_path / "site")["mode"] == "spell"
    assert policy(tmp_path / "site").count(" https://example.org;") == 2


@pytest.mark.parametrize(
    "link", ["ftp://x.org/dist", "https://", "https://x.org/?a=1", 'https://x"y/dist']
)
def test_a_link_of_another_kind_is_refused(bundle, tmp_path, link) -> None:
    with pytest.raises(ConfigError, match=r"--runtime takes a folder, or the http\(s\) address"):
        write_web(bundle, tmp_path / "site", runtime=link, mode="classify")


def test_a_runtime_folder_without_its_files_is_refused(bundle, dist, tmp_path) -> None:
    (dist / WASM).unlink()
    with pytest.raises(ConfigError, match=rf"{WASM} cannot be read \(No such file or directory\)"):
        write_web(bundle, tmp_path / "site", runtime=str(dist), mode="classify")


def test_the_mode_is_checked(bundle, make_bundle, dist, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"mode must be one of .* got 'spel'\. Did you mean 'sp"):
        write_web(bundle, tmp_path / "site", runtime=str(dist), mode="spel")
    several = read_bundle(make_bundle(name="several", task="multi-label"))
    with pytest.raises(ConfigError, match="mode spell needs one sign a picture"):
        write_web(several, tmp_path / "site", runtime=str(dist), mode="spell")


# ---- npm ----


def npm_that(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let npm be a shell script, and the only program."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(folder))


posix = pytest.mark.skipif(os.name != "posix", reason="the stand-in for npm is a shell script")


def test_without_npm_the_other_ways_are_named(bundle, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"there is no npm here; .* --runtime FOLDER .* https:/"):
        write_web(bundle, tmp_path / "site", runtime=None, mode="classify")


@posix
def test_what_npm_says_is_passed_on(bundle, tmp_path, monkeypatch) -> None:
    npm_that(tmp_path / "bin", monkeypatch, "echo 'npm error network is down' >&2; exit 1")
    with pytest.raises(ConfigError, match=r"npm pack .* failed: npm error network is down\. Try"):
        write_web(bundle, tmp_path / "site", runtime=None, mode="classify")


@posix
@pytest.mark.parametrize("whole", [True, False])
def test_the_files_come_out_of_npms_archive(bundle, dist, tmp_path, monkeypatch, whole) -> None:
    archive = tmp_path / "packed.tgz"
    with tarfile.open(archive, "w:gz") as packed:
        for name in (SCRIPT, WASM) if whole else (SCRIPT,):
            packed.add(dist / name, f"package/dist/{name}")
    npm_that(tmp_path / "bin", monkeypatch, f"/bin/cp {archive} packed.tgz")
    if whole:
        write_web(bundle, tmp_path / "site", runtime=None, mode="classify")
        assert (tmp_path / "site/page/runtime/ort.js").read_text() == "the script"
    else:
        with pytest.raises(ConfigError, match=rf"packed.tgz from npm has no dist/{WASM}"):
            write_web(bundle, tmp_path / "site", runtime=None, mode="classify")


# ---- In a browser ----


class Quiet(SimpleHTTPRequestHandler):
    """Static files for pages of any origin, and nothing said."""

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, *_) -> None:
        pass


class Server(ThreadingHTTPServer):
    """One that a browser may leave in the middle of a file."""

    def handle_error(self, *_) -> None:
        pass


@contextmanager
def static_server(folder: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(folder))
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def until(page, expression: str, *given: object) -> None:
    """Wait for an expression; Playwright's own way is refused by a strict policy."""
    end = time.monotonic() + 10
    while not page.evaluate(expression, *given):
        assert time.monotonic() < end, expression
        time.sleep(0.02)


def video(path: Path, frames: np.ndarray, rate: int) -> Path:
    """Write frames (n, h, w, 3) as uncompressed video, which Chromium takes for a camera."""
    _, height, width, _ = frames.shape
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            luma, blue, red = np.moveaxis(
                np.asarray(Image.fromarray(frame.copy()).convert("YCbCr")), 2, 0
            )
            file.write(b"FRAME\n" + luma.tobytes())
            file.write(blue[::2, ::2].tobytes() + red[::2, ::2].tobytes())
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator:
    """Return a browser whose camera sees two seconds each of red, green and blue."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    from playwright.sync_api import sync_playwright

    colours = np.array([[230, 20, 20], [20, 230, 20], [20, 20, 230]], np.uint8)
    frames = np.broadcast_to(colours.repeat(20, 0)[:, None, None], (60, 120, 160, 3))
    seen = video(tmp_path_factory.mktemp("camera") / "seen.y4m", frames, rate=10)
    camera = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={seen}",
    ]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", *camera]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory) -> Path:
    """Return onnxruntime-web as npm has it."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm here")
    from silverprint.export.web import _from_npm

    folder = tmp_path_factory.mktemp("runtime")
    (folder / "page/runtime").mkdir(parents=True)
    try:
        _from_npm(folder)
    except ConfigError as error:
        pytest.skip(str(error))
    (folder / "page/runtime/ort.js").rename(folder / SCRIPT)
    (folder / "page/runtime/ort.wasm").rename(folder / WASM)
    return folder


def pictures(folder: Path) -> list[Path]:
    """Write pictures that are decoded in different ways; return their paths."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    soft = Image.fromarray(generator.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    photo = soft.resize((90, 60), Image.Resampling.BICUBIC)
    photo.save(folder / "plain.jpg", quality=95)
    turned = Image.Exif()
    turned[274] = 6
    photo.save(folder / "turned.jpg", quality=95, exif=turned)
    photo.save(folder / "plain.png")
    grey = np.asarray(photo.convert("L"))
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / "deep.png")
    photo.quantize(16).save(folder / "palette.gif")
    photo.convert("CMYK").save(folder / "print.jpg", quality=95)
    half = photo.copy()
    half.putalpha(Image.linear_gradient("L").resize(photo.size))
    half.save(folder / "clear.png")
    photo.resize((1, 1)).save(folder / "tiny.png")
    photo.resize((2300, 1700)).save(folder / "large.png")
    photo.save(folder / "lossless.webp", lossless=True)
    return sorted(folder.iterdir())


@pytest.mark.slow
def test_the_browser_answers_as_python_does(browser, runtime, bundle, tmp_path) -> None:
    site = tmp_path / "site"
    write_web(bundle, site, runtime=str(runtime), mode="classify")
    files = pictures(tmp_path / "pictures")
    outcomes = Predictor(bundle).stream(files, [file.name for file in files])
    with static_server(site) as address:
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.set_input_files("#files", files)
        until(page, "document.querySelectorAll('.verdict').length === 11")
        for file, (_, expected) in zip(files, outcomes, strict=True):
            card = page.locator(".picture", has=page.locator(f".file:text-is('{file.name}')"))
            shown = dict(row.split("\n") for row in card.locator(".bars li").all_inner_texts())
            for name, probability in zip(bundle.classes, expected, strict=True):
                told = float(shown[name].removesuffix(" %")) / 100
                assert told == pytest.approx(probability, abs=0.01), file.name
        page.close()
    assert all(url.startswith((address, "blob:")) for url in asked)


@pytest.mark.slow
def test_the_camera_is_answered_in_the_browser(browser, runtime, bundle, tmp_path) -> None:
    write_web(bundle, tmp_path / "site", runtime=str(runtime), mode="classify")
    with static_server(tmp_path / "site") as address:
        page = browser.new_page()
        page.goto(address)
        page.click("#use-camera")
        for colour in ("red", "blue"):
            page.wait_for_selector(f"#live-answer .label:text-is('{colour}')")
        page.click("#take")
        page.wait_for_selector(".picture .label:text-is('blue')")
        page.close()


@pytest.mark.slow
def test_signs_held_up_to_the_camera_are_spelled(browser, runtime, make_bundle, tmp_path) -> None:
    letters = read_bundle(make_bundle(name="letters", classes=("r", "g", "b")))
    write_web(letters, tmp_path / "site", runtime=str(runtime), mode="spell")
    with static_server(tmp_path / "site") as address:
        page = browser.new_page()
        page.goto(address)
        page.click("#use-camera")
        until(page, "document.querySelector('#text').value.includes('rgb')")
        page.close()


@pytest.mark.slow
def test_the_browser_knows_what_is_unknown(browser, runtime, make_bundle, tmp_path) -> None:
    unknown = {"accept": 0.9, "distances": [i / 100 for i in range(11)]}
    wary = read_bundle(make_bundle(name="wary", distance=True, unknown=unknown))
    write_web(wary, tmp_path / "site", runtime=str(runtime), mode="classify")
    assert config(tmp_path / "site")["unknown_beyond"] == 0.09
    Image.new("RGB", (20, 20), (250, 0, 0)).save(tmp_path / "red.png")
    Image.new("RGB", (20, 20), (250, 250, 250)).save(tmp_path / "white.png")
    with static_server(tmp_path / "site") as address:
        page = browser.new_page()
        page.goto(address)
        page.set_input_files("#files", [tmp_path / "red.png", tmp_path / "white.png"])
        until(page, "document.querySelectorAll('.verdict').length === 2")
        assert page.locator(".label").all_inner_texts() == ["red", "Unknown"]
        page.close()


@pytest.mark.slow
def test_what_the_browser_cannot_read_is_a_sentence(browser, runtime, bundle, tmp_path) -> None:
    write_web(bundle, tmp_path / "site", runtime=str(runtime), mode="classify")
    (tmp_path / "notes.jpg").write_text("not a picture")
    with static_server(tmp_path / "site") as address:
        page = browser.new_page()
        page.goto(address)
        page.set_input_files("#files", tmp_path / "notes.jpg")
        page.wait_for_selector(".picture .trouble")
        wanted = "notes.jpg cannot be read by this browser; save it again as JPEG or PNG."
        assert page.inner_text(".picture .trouble") == wanted
        page.close()


@pytest.mark.slow
def test_a_folder_that_was_copied_in_part_is_a_sentence(browser, runtime, bundle, tmp_path) -> None:
    write_web(bundle, tmp_path / "site", runtime=str(runtime), mode="classify")
    (tmp_path / "site" / "model.onnx").unlink()
    with static_server(tmp_path / "site") as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#trouble")
        wanted = "model.onnx is missing (404). Copy the whole folder there."
        assert page.inner_text("#trouble") == wanted
        page.close()


@pytest.mark.slow
def test_the_runtime_is_loaded_from_another_address(browser, runtime, bundle, tmp_path) -> None:
    Image.new("RGB", (20, 20), (10, 10, 200)).save(tmp_path / "blue.png")
    with static_server(runtime) as elsewhere, static_server(tmp_path / "site") as address:
        write_web(bundle, tmp_path / "site", runtime=elsewhere, mode="classify")
        page = browser.new_page()
        page.goto(address)
        page.set_input_files("#files", tmp_path / "blue.png")
        page.wait_for_selector(".picture .label:text-is('blue')")
        page.close()


@pytest.mark.slow
def test_opened_from_a_disk_it_asks_for_its_folder(browser, runtime, bundle, tmp_path) -> None:
    site = tmp_path / "site"
    write_web(bundle, site, runtime=str(runtime), mode="classify")
    Image.new("RGB", (40, 40), (200, 10, 10)).save(tmp_path / "red.png")
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    page.wait_for_selector("#choose-folder")
    page.set_input_files("#folder-files", site)
    page.wait_for_selector("#choose")
    page.set_input_files("#files", tmp_path / "red.png")
    page.wait_for_selector(".verdict")
    assert page.inner_text(".picture .label") == "red"
    page.close()
