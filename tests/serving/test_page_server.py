"""The page and the real server together, in a headless Chromium."""

import contextlib
import shutil
import signal
import threading

import pytest

from silverprint.serving import server
from silverprint.serving.app import create_app
from silverprint.serving.settings import Settings

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


@contextlib.contextmanager
def served(bundles, **settings):
    """Serve in a thread; yield the address."""
    chosen = Settings(threads=1, **settings)
    app, ready = create_app(bundles, chosen), threading.Event()
    with server.bind("127.0.0.1", 0) as listening:
        made = server.make_server(app, chosen, ready.set)
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            assert ready.wait(10)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            made.handle_exit(signal.SIGTERM, None)
            thread.join(20)


@pytest.fixture
def page():
    """Return a page that may break no policy, and ask nobody else."""
    from playwright.sync_api import sync_playwright

    camera = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    refused: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", *camera]
        )
        opened = chromium.new_page()
        opened.set_default_timeout(10_000)
        opened.on("pageerror", lambda error: refused.append(str(error)))
        opened.on(
            "console",
            lambda said: refused.append(said.text) if "Security Policy" in said.text else None,
        )
        yield opened
        chromium.close()
    assert refused == []


def choose(page, **files: bytes) -> None:
    chosen = [
        {"name": f"{name}.png", "mimeType": "image/png", "buffer": content}
        for name, content in files.items()
    ]
    page.locator("#files").set_input_files(chosen)


def test_pictures_and_the_camera_are_answered(page, make_bundle, picture) -> None:
    with served({"colours": make_bundle()}) as address:
        page.goto(address)
        choose(page, first=picture("red"), second=picture("blue"), third=picture("red")[:40])
        page.wait_for_selector(".picture .trouble")
        page.wait_for_selector(".picture:nth-child(2) .verdict")
        assert page.locator(".picture .label").all_inner_texts() == ["red", "blue"]
        said = page.inner_text(".picture .trouble")
        assert said.startswith("third.png is truncated: the file ends before the picture does")
        page.click("#use-camera")
        page.wait_for_selector("#live-answer .label:text-is('green')")  # the fake camera's colour


def test_a_key_and_several_models(page, make_bundle, picture) -> None:
    bundles = {"colours": make_bundle(), "french": make_bundle("other", ("rouge", "vert", "bleu"))}
    with served(bundles, api_key="secret", mode="spell") as address:
        page.goto(address)
        page.fill("#key-text", "secret")
        page.keyboard.press("Enter")
        page.select_option("#model", "french")
        assert page.inner_text("#summary").startswith("Hold a sign up to the camera")
        choose(page, first=picture("blue"))
        page.wait_for_selector(".picture .label:text-is('bleu')")
