"""Labelling in a headless Chromium, by keyboard, down to the CSV."""

import contextlib
import shutil
import signal
import threading

import numpy as np
import pytest
from PIL import Image

from silverprint.data.labels import LabelFile
from silverprint.serving.labelling import Offered, Session, create_app
from silverprint.serving.server import bind, make_server
from silverprint.serving.settings import Settings

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
LETTERS = "ABCDEFGHIJKLMNOPQRTVWXYZ"


@contextlib.contextmanager
def served(session, port=0):
    """Serve in a thread; yield the address."""
    ready = threading.Event()
    with bind("127.0.0.1", port) as listening:
        host = f"127.0.0.1:{listening.getsockname()[1]}"
        made = make_server(create_app(session, [host]), Settings(timeout=1), ready.set)
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            assert ready.wait(10)
            yield f"http://{host}/"
        finally:
            made.handle_exit(signal.SIGTERM, None)
            thread.join(20)


@pytest.fixture
def session_of(tmp_path):
    """Return a function that offers pictures of a folder, to be labelled in labels.csv."""

    def make(count=4, classes=("cat", "dog", "<b>emu</b>")):
        given = LabelFile(tmp_path / "labels.csv")
        offered = []
        for number in range(count):
            path = tmp_path / f"{number}.png"
            Image.fromarray(np.full((20, 30, 3), 50 * number, np.uint8)).save(path)
            guesses = [(name, 0.6 if i == 0 else 0.4 / (len(classes) - 1))
                       for i, name in enumerate(classes[number % 2:])][:10]  # fmt: skip
            if path not in given.labelled:
                offered.append(Offered(path.name, path, tuple(guesses)))

        def advice():
            return f"silverprint train {given.path}", given.trouble() if given.given else ""

        return Session(offered, list(classes), given, str(given.path), advice)

    return make


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """Return a page that may break no policy, ask nobody else, and log no error."""
    troubles: list[str] = []
    opened = browser.new_page(viewport={"width": 1200, "height": 850})
    opened.set_default_timeout(5000)
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda said: troubles.append(said.text))
    yield opened
    opened.close()
    assert [text for text in troubles if "Failed to load resource" not in text] == []


def press(page, *keys: str) -> None:
    """Press keys, each once the last one is done."""
    for key in keys:
        page.keyboard.press(key)
        while page.evaluate("busy"):
            pass


def lines(session) -> list[str]:
    return session.labels.path.read_text().splitlines()[1:]


def test_a_sitting_by_keyboard(page, session_of) -> None:
    session = session_of()
    with served(session) as address:
        page.goto(address)
        page.wait_for_selector("#work")
        assert page.inner_text("#count") == "0 of 4"
        assert page.inner_text("#guess") == "cat"
        assert page.inner_text("#probability") == "60 %"
        said = "Picture 1 of 4. The guess is cat, 60 %."
        assert page.inner_text("#said") == said
        names = page.locator("#classes button bdi").all_inner_texts()
        assert names == ["cat", "dog", "<b>emu</b>"]
        assert page.locator("#next img").count() == 3
        press(page, "Enter")
        assert lines(session) == ["0.png,cat"]
        assert page.inner_text("#said") == "Picture 2 of 4. The guess is dog, 60 %."
        press(page, "3", "s")
        assert lines(session) == ["0.png,cat", "1.png,<b>emu</b>"]
        assert page.inner_text("#count") == "2 of 4, 1 skipped"
        press(page, "/", *"Fox", "Enter")
        assert page.inner_text("#hint") == "“Fox” is a new class. Enter again adds it."
        assert len(lines(session)) == 2
        press(page, "Enter")
        assert lines(session)[2:] == ["3.png,Fox"]
        assert page.inner_text("#end-title") == "3 of 4 labelled. 1 skipped."
        page.wait_for_selector(f"#command:text-is('silverprint train {session.file}')")
        press(page, "Backspace", "u")
        assert lines(session) == ["0.png,cat", "1.png,<b>emu</b>"]
        assert page.inner_text("#name") == "2.png"
        press(page, "4", "/", *"DOG", "Enter")
        assert lines(session)[2:] == ["2.png,Fox", "3.png,dog"]
        assert page.inner_text("#end-title") == "4 of 4 labelled."


def test_by_mouse_and_tab(page, session_of) -> None:
    """What was pressed last keeps no hold on Enter."""
    session = session_of()
    with served(session) as address:
        page.goto(address)
        page.click("#classes button:nth-child(2)")
        page.wait_for_selector("#name:text-is('1.png')")
        press(page, "Enter")
        assert lines(session) == ["0.png,dog", "1.png,dog"]
        page.focus("#classes button:nth-child(3)")
        press(page, "Enter")
        assert lines(session)[2:] == ["2.png,<b>emu</b>"]
        page.focus("#text")
        page.keyboard.type("su1")
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") == "work"
        press(page, "Tab")
        assert page.evaluate("document.activeElement.id") == "accept"
        style = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(style) == "solid"
        page.click("#skip")
        page.click("#again")
        page.wait_for_selector("#name:text-is('3.png')")


def test_starting_again_goes_on(page, session_of) -> None:
    first = session_of()
    with served(first) as address:
        page.goto(address)
        page.wait_for_selector("#work")
        press(page, "1", "2")
        page.reload()
        page.wait_for_selector("#name:text-is('2.png')")
        assert page.inner_text("#count") == "2 of 4"
        press(page, "u", "3")
        assert lines(first) == ["0.png,cat", "1.png,<b>emu</b>"]
        port = int(address.rstrip("/").rpartition(":")[2])
    press(page, "1")
    assert "Is it still running? What was labelled is kept." in page.inner_text("#trouble")
    second = session_of()
    with served(second, port):
        press(page, "1")
        assert page.inner_text("#trouble") == "This page is of an earlier run; reload it."
        page.reload()
        page.wait_for_selector("#name:text-is('2.png')")
        assert page.inner_text("#count") == "0 of 2"
        press(page, "1")
    assert lines(second) == ["0.png,cat", "1.png,<b>emu</b>", "2.png,cat"]


def test_what_goes_wrong_is_said_and_the_picture_stays(page, session_of, tmp_path) -> None:
    session = session_of()
    with served(session) as address:
        page.goto(address)
        page.wait_for_selector("#work")
        press(page, "/", *"a|b", "Enter", "Enter")
        assert "holds no '|' or ';'" in page.inner_text("#trouble")
        press(page, "Escape", "1")
        assert page.is_hidden("#trouble")
        with (tmp_path / "labels.csv").open("a") as file:
            file.write("9.png,fox\n")
        press(page, "1")
        assert "was changed by another program" in page.inner_text("#trouble")
        assert page.inner_text("#name") == "1.png"
    assert lines(session) == ["0.png,cat", "9.png,fox"]


def test_a_picture_that_went_away(page, session_of, tmp_path) -> None:
    session = session_of(count=2)
    (tmp_path / "0.png").unlink()
    with served(session) as address:
        page.goto(address)
        page.wait_for_selector("#trouble:not([hidden])")
        assert page.inner_text("#trouble") == "This picture can no longer be read. Skip it with S."
        press(page, "s")
        page.wait_for_selector("#name:text-is('1.png')")
        assert page.is_hidden("#trouble")


def test_the_end_says_what_train_would_refuse(page, session_of) -> None:
    session = session_of(count=2)
    with served(session) as address:
        page.goto(address)
        page.wait_for_selector("#work")
        press(page, "1", "1")
        page.wait_for_selector("#objection:not([hidden])")
        assert "needs at least two classes, but all 2 pictures" in page.inner_text("#objection")


@pytest.mark.parametrize(("count", "shown"), [(34, 34), (35, 10), (120, 10)])
def test_many_classes(page, session_of, count, shown) -> None:
    classes = tuple(f"class {number}" for number in range(count))
    session = session_of(classes=classes)
    with served(session) as address:
        page.goto(address)
        page.wait_for_selector("#work")
        keys = page.locator("#classes kbd").all_inner_texts()
        assert keys == [*"1234567890", *LETTERS][:shown]
        press(page, "z" if count == 34 else "0")
        press(page, "/", *f"class {count - 2}", "Enter")
        assert lines(session) == [f"0.png,class {shown - 1}", f"1.png,class {count - 2}"]


def test_dark_and_narrow(page, session_of) -> None:
    with served(session_of()) as address:
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 360, "height": 700})
        page.goto(address)
        page.wait_for_selector("#work")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 26)"
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
