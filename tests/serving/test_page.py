"""The page in a headless Chromium, served by a stand-in that answers what a test tells it to.

Nothing may leave the stand-in's address, and the strictest policy holds.
"""

import base64
import io
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

import silverprint

PAGE = Path(silverprint.__file__).parent / "serving" / "page"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
)
KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
LETTERS = ["a", "b", "space", "del", "nothing"]
CLOTHES = ["dress", "hat", "<b>shirt</b>", "shoes", "skirt", "t-shirt"]

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


def model(**changed):
    limits = {"bytes": 1 << 20, "pixels": 1_000_000}
    usual = {"name": "clothes", "classes": CLOTHES, "task": "single-label", "mode": "classify"}
    return {**usual, "limits": limits, **changed}


def answer(file: str, label: str = "hat", probability: float = 0.9, **changed):
    others = [name for name in CLOTHES if name != label][:4]
    top = [[label, probability], *([name, (1 - probability) / 4] for name in others)]
    return {"file": file, "label": label, "probability": probability, "top": top, **changed}


class Server(ThreadingHTTPServer):
    """One whose visitors may leave in the middle of an answer."""

    daemon_threads = True

    def handle_error(self, *_) -> None:
        pass


class StandIn:
    """A server whose answers are set by the test; it keeps what it was asked."""

    def __init__(self) -> None:
        self.models = [model()]
        self.predict: Callable[[str], object] = answer
        self.status, self.headers = 200, {}
        self.key: str | None = None
        self.asked: list[tuple[str, str, int]] = []  # model, file, bytes
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stand_in.get(self)

            def do_POST(self) -> None:
                stand_in.post(self)

            def log_message(self, *_) -> None:
                pass

        self.http = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def get(self, request) -> None:
        path = urlsplit(request.path).path
        if path == "/info" and self.refuses(request):
            return None
        if path == "/info":
            return self.send_json(request, {"models": self.models})
        name = "index.html" if path == "/" else path.removeprefix("/page/")
        content = (PAGE / name).read_bytes()
        return self.send(request, 200, content, KINDS[Path(name).suffix])

    def post(self, request) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        name = re.search(rb'name="files"; filename="([^"]*)"', body)[1].decode()
        chosen = parse_qs(urlsplit(request.path).query)["model"][0]
        if self.refuses(request):
            return None
        self.asked.append((chosen, name, len(body)))
        said = self.predict(name)
        return self.send_json(request, [said] if self.status == 200 else said, self.status)

    def refuses(self, request) -> bool:
        wrong = self.key is not None and request.headers["x-api-key"] != self.key
        if wrong:
            self.send_json(request, {"detail": "The API key is missing."}, 401)
        return wrong

    def send_json(self, request, value, status=200) -> None:
        self.send(request, status, json.dumps(value).encode(), "application/json")

    def send(self, request, status, content, kind) -> None:
        request.send_response(status)
        request.send_header("content-type", kind)
        request.send_header("content-length", str(len(content)))
        request.send_header("content-security-policy", POLICY)
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    camera = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", *camera]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def server() -> Iterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    stand_in.close()


@pytest.fixture
def visit(browser, server) -> Iterator[Callable]:
    """Open the page; at the end, nothing may have been refused by its policy or gone elsewhere."""
    pages, troubles = [], []

    def open_page(width: int = 1100, script: str = "", ready: str = "#choose", **options):
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("pageerror", lambda error: troubles.append(f"uncaught: {error}"))
        page.on("console", lambda said: _note(said.text, troubles))
        page.on("request", lambda request: _note_request(request.url, server.address, troubles))
        if script:
            page.add_init_script(script)
        page.goto(server.address)
        page.locator(ready).wait_for()
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert troubles == []


def _note(text: str, troubles: list[str]) -> None:
    if "Content Security Policy" in text:
        troubles.append(text)


def _note_request(url: str, address: str, troubles: list[str]) -> None:
    if not url.startswith((address, "blob:")):
        troubles.append(f"asked for {url}")


def picture(size=(40, 30), kind="JPEG") -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def transfer(page, files: dict[str, bytes]):
    """Return a DataTransfer that holds the files."""
    encoded = [[name, base64.b64encode(content).decode()] for name, content in files.items()]
    return page.evaluate_handle(
        """(files) => {
          const transfer = new DataTransfer();
          for (const [name, text] of files) {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name));
          }
          return transfer;
        }""",
        encoded,
    )


def drop(page, files: dict[str, bytes]) -> None:
    page.dispatch_event("#entry", "drop", {"dataTransfer": transfer(page, files)})


def pick(page, *names: str) -> None:
    files = [{"name": name, "mimeType": "image/jpeg", "buffer": picture()} for name in names]
    page.locator("#files").set_input_files(files)


def until(page, expression: str, *given: object) -> None:
    """Wait for an expression; Playwright's own way is refused by a strict policy."""
    end = time.monotonic() + 10
    while not page.evaluate(expression, *given):
        assert time.monotonic() < end, expression
        time.sleep(0.02)


def cards(page) -> list[str]:
    """Return each card's text once none is waiting."""
    page.wait_for_selector(".picture")
    until(page, "!document.querySelector('.waiting')")
    return [" ".join(text.split()) for text in page.locator(".picture").all_inner_texts()]


# ---- Pictures ----


@needs_chromium
def test_pictures_that_are_dropped_are_answered(visit, server) -> None:
    server.predict = lambda name: answer(name, "<b>shirt</b>" if name == "2.png" else "hat", 0.973)
    page = visit()
    assert page.title() == "clothes · Silverprint"
    drop(page, {"1.jpg": picture(), "2.png": picture(kind="PNG")})
    first, second = cards(page)
    assert re.fullmatch(
        r"1.jpg hat 97.3 % hat 97.3 % dress 0.7 % <b>shirt</b> 0.7 % shoes 0.7 % skirt 0.7 % "
        r"\d+ ms",
        first,
    )
    assert second.startswith("2.png <b>shirt</b> 97.3 %")
    assert sorted(name for _, name, _ in server.asked) == ["1.jpg", "2.png"]
    widths = page.evaluate(
        "[...document.querySelectorAll('.bars i')].map((bar) => bar.style.width)"
    )
    assert [float(width.rstrip("%")) for width in widths[:2]] == pytest.approx([97.3, 0.675])
    assert page.evaluate("document.querySelector('.mount canvas').width") == 40


@needs_chromium
def test_pictures_that_are_chosen_or_pasted_are_answered(visit) -> None:
    page = visit()
    pick(page, "chosen.jpg")
    assert len(cards(page)) == 1
    pasted = transfer(page, {"pasted.png": picture(kind="PNG")})
    page.evaluate(
        "(data) => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}))",
        pasted,
    )
    newest, oldest = cards(page)
    assert newest.startswith("pasted.png hat")
    assert oldest.startswith("chosen.jpg hat")
    page.click("#clear")
    assert page.locator(".picture").count() == 0
    assert page.evaluate("document.activeElement.id") == "choose"


@needs_chromium
def test_an_answer_is_read_out(visit) -> None:
    page = visit()
    pick(page, "1.jpg")
    cards(page)
    assert page.inner_text("[role=status]") == "1.jpg: hat 90.0 %"
    pick(page, "2.jpg", "3.jpg", "4.jpg", "5.jpg")
    cards(page)
    until(page, "document.querySelector('[role=status]').textContent.startsWith('4 pic')")


@needs_chromium
@pytest.mark.parametrize(
    ("task", "said", "shown"),
    [
        ("single-label", {"label": "unknown", "unknown": True}, "Unknown"),
        ("multi-label", {"label": "unknown", "unknown": True}, "Unknown"),
        ("multi-label", {"label": ""}, "None of them"),
        ("multi-label", {"label": "hat|shoes"}, "hat, shoes"),
        ("single-label", {"labels": ["hat"]}, "hat 90.0 %"),
        ("single-label", {"labels": ["hat", "shoes"]}, "hat or shoes"),
        ("single-label", {"labels": []}, "None is likely enough"),
        ("single-label", {"label": "unknown", "unknown": True, "labels": []}, "Unknown"),
    ],
)
def test_what_is_unknown_is_shown_so(visit, server, task, said, shown) -> None:
    server.models = [model(task=task)]
    server.predict = lambda name: answer(name) | said
    page = visit()
    pick(page, "1.jpg")
    cards(page)
    assert " ".join(page.inner_text(".verdict").split()) == shown
    unknown = "unknown" in page.get_attribute(".verdict", "class").split()
    assert unknown == (shown in ("Unknown", "None of them", "None is likely enough"))


@needs_chromium
def test_of_several_models_one_is_chosen(visit, server) -> None:
    server.models = [model(), model(name="other", classes=["cat", "dog"])]
    page = visit()
    page.select_option("#model", "other")
    assert page.inner_text("h1") == "other"
    assert page.inner_text("#summary") == "Tells 2 kinds of picture apart: cat and dog."
    pick(page, "1.jpg")
    cards(page)
    assert server.asked[0][:2] == ("other", "1.jpg")


# ---- What goes wrong ----


@needs_chromium
def test_a_picture_that_cannot_be_read_says_why(visit, server) -> None:
    server.predict = lambda name: {"file": name, "error": "is empty (0 bytes)"}
    page = visit()
    drop(page, {"broken.tif": b"not much"})
    assert cards(page) == ["TIF broken.tif is empty (0 bytes)."]


@needs_chromium
@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (422, {"detail": "Give a picture.", "answers": [{"file": "1.jpg", "error": "is text"}]},
         "1.jpg is text."),
        (413, {"detail": "The body is too large."}, "The body is too large."),
        (500, {}, "The server answers 500 Internal Server Error."),
    ],
)  # fmt: skip
def test_a_refusal_is_a_sentence(visit, server, status, body, sentence) -> None:
    server.status, server.predict = status, lambda _: body
    page = visit()
    pick(page, "1.jpg")
    assert cards(page) == [sentence]


@needs_chromium
def test_a_file_above_the_limit_is_not_sent(visit, server) -> None:
    page = visit()
    drop(page, {"large.jpg": picture() + bytes(2 << 20)})
    (card,) = cards(page)
    assert card == "large.jpg is 2.0 MB, above this server's limit of 1.0 MB; make it smaller."
    assert server.asked == []


@needs_chromium
def test_a_busy_server_is_asked_again(visit, server) -> None:
    def busy_once(name: str):
        server.status = 429 if len(server.asked) == 1 else 200
        return answer(name)

    server.predict, server.headers = busy_once, {"retry-after": "0.05"}
    page = visit()
    pick(page, "1.jpg")
    assert cards(page)[0].startswith("1.jpg hat")
    assert len(server.asked) == 2


@needs_chromium
def test_a_server_that_is_gone_is_a_sentence(visit) -> None:
    page = visit()
    page.route("**/predict**", lambda route: route.abort())
    pick(page, "1.jpg")
    assert cards(page) == ["The server does not answer. Is it still running?"]


@needs_chromium
def test_what_is_dropped_but_is_no_file_is_said(visit) -> None:
    page = visit()
    drop(page, {})
    assert page.inner_text("#trouble").startswith("That was no picture file.")
    pick(page, "1.jpg")
    assert page.is_hidden("#trouble")


@needs_chromium
def test_a_server_with_a_key_asks_for_it(visit, server) -> None:
    server.key = "secret"
    page = visit(ready="#key-text")
    assert page.inner_text("#trouble") == "This server answers only with a key."
    page.fill("#key-text", "guessed")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#trouble').textContent.includes('know this')")
    page.fill("#key-text", "secret")
    page.keyboard.press("Enter")
    page.wait_for_selector("#choose")
    assert page.is_hidden("#key")
    assert page.is_hidden("#trouble")
    pick(page, "1.jpg")
    assert cards(page)[0].startswith("1.jpg hat")


# ---- The camera ----


@needs_chromium
def test_the_camera_is_answered_live(visit, server) -> None:
    page = visit()
    page.click("#use-camera")
    page.wait_for_selector("#live-answer .verdict")
    assert page.inner_text("#live-answer .label") == "hat"
    until(page, "document.querySelector('[role=status]').textContent === 'hat 90.0 %'")
    page.click("#take")
    assert re.match(r"camera \d\d\.\d\d\.\d\d\.jpg hat", cards(page)[0])
    page.click("#stop")
    assert page.is_hidden("#live")
    assert page.evaluate("document.activeElement.id") == "use-camera"
    asked = len(server.asked)
    page.wait_for_timeout(300)
    assert len(server.asked) <= asked + 1


@needs_chromium
@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("navigator.mediaDevices.getUserMedia = () => "
         "Promise.reject(new DOMException('', 'NotAllowedError'))",
         "The camera may not be used here. Allow it for this page in the browser's settings."),
        ("navigator.mediaDevices.getUserMedia = () => "
         "Promise.reject(new DOMException('', 'NotFoundError'))",
         "No camera was found. Connect one, or choose pictures."),
        ("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})",
         "Browsers give the camera only to pages at https:// or localhost. Choose pictures instead."
         ),
    ],
)  # fmt: skip
def test_a_camera_that_is_not_to_be_had_is_a_sentence(visit, script, sentence) -> None:
    page = visit(script=script)
    page.click("#use-camera")
    page.wait_for_selector("#trouble")
    assert page.inner_text("#trouble") == sentence
    assert page.is_hidden("#live")


# ---- Spelling ----


@pytest.fixture
def spelling(visit, server):
    """Return a page in whose camera the given sign is seen."""
    server.models = [model(mode="spell", classes=LETTERS)]
    server.predict = lambda name: answer(name, "nothing")
    page = visit()
    page.click("#use-camera")
    page.wait_for_selector("#live-answer .verdict")
    return page


def hold(page, server, sign: str, text: str) -> None:
    server.predict = lambda name: answer(name, sign, 0.8)
    until(page, "(text) => document.querySelector('#text').value === text", text)


@needs_chromium
def test_signs_that_are_held_are_written_out(spelling, server) -> None:
    hold(spelling, server, "a", "a")
    hold(spelling, server, "space", "a ")
    hold(spelling, server, "del", "a")


@needs_chromium
def test_a_set_of_several_signs_is_not_written(spelling, server) -> None:
    server.predict = lambda name: answer(name, label="a") | {"labels": ["a", "b"]}
    until(spelling, "document.querySelector('#live-answer .label')?.textContent === 'a or b'")
    spelling.wait_for_timeout(900)
    assert spelling.input_value("#text") == ""
    server.predict = lambda name: answer(name, label="a") | {"labels": ["a"]}
    until(spelling, "document.getElementById('text').value === 'a'")


@needs_chromium
def test_the_text_is_changed_by_buttons_and_keys(spelling) -> None:
    def text() -> str:
        return spelling.input_value("#text")

    spelling.evaluate("['a', 'b', 'c'].forEach(type)")
    spelling.keyboard.press("Backspace")
    spelling.keyboard.press("Space")
    assert text() == "ab "
    spelling.click("#delete")
    spelling.click("#delete")
    assert text() == "a"
    spelling.click("#space")
    assert text() == "a "
    spelling.keyboard.press("Space")  # the button has the focus: it is pressed, once
    assert text() == "a  "
    spelling.click("#clear-text")
    assert text() == ""
    spelling.evaluate("type('x'); at('live').focus()")
    spelling.keyboard.press("Escape")
    assert text() == ""
    spelling.fill("#text", "by hand")
    spelling.keyboard.press("Backspace")
    assert text() == "by han"


STREAM = """(frames) => {
  const speller = new Speller();
  let [now, text] = [0, ""];
  for (const [label, probability, milliseconds, step] of frames) {
    for (let spent = 0; spent < milliseconds; spent += step) {
      now += step;
      text += speller.see(label, probability, now).letter ?? "";
    }
  }
  return text;
}"""


HELD = [
    ([("a", 0.9, 1000, 50)], "a"),
    ([("a", 0.9, 5000, 50)], "a"),  # held on, it is not written twice
    ([("a", 0.9, 600, 50)], ""),
    ([("a", 0.4, 2000, 50)], ""),  # not sure enough
    ([("a", 0.9, 500, 50), ("b", 0.9, 50, 50), ("a", 0.9, 500, 50)], "a"),  # one stray frame
    ([("a", 0.9, 1000, 50), ("nothing", 0.9, 400, 50), ("a", 0.9, 1000, 50)], "aa"),
    ([("a", 0.9, 1000, 50), ("b", 0.9, 100, 50), ("a", 0.9, 1000, 50)], "a"),
    ([("a", 0.9, 1000, 50), ("b", 0.9, 1500, 50), ("a", 0.9, 1500, 50)], "aba"),
    ([("a", 0.9, 150, 50), ("b", 0.9, 150, 50)] * 10, ""),
    ([("a", 0.9, 6000, 2000)], ""),  # three frames are too few, however slow they come
    ([("a", 0.9, 12000, 2000)], "a"),
]


@needs_chromium
def test_how_long_a_sign_is_held(visit) -> None:
    page = visit()
    for frames, text in HELD:
        assert page.evaluate(STREAM, frames) == text, frames


# ---- For everyone ----


@needs_chromium
@pytest.mark.parametrize("mode", ["classify", "spell"])
def test_nothing_is_cut_off_on_a_narrow_phone(visit, server, mode) -> None:
    name = "a-model-with-a-name-that-is-longer-than-any-phone-is-wide"
    server.models = [model(name=name, mode=mode), model(name="other")]
    page = visit(width=320)
    drop(
        page,
        {"a-file-name-without-end-" * 6 + ".jpg": picture((400, 20)), "2.jpg": picture((20, 400))},
    )
    cards(page)
    page.click("#use-camera")
    page.wait_for_selector("#live-answer .verdict")
    assert page.evaluate("document.scrollingElement.scrollWidth") == 320


@needs_chromium
def test_every_control_has_a_name_and_is_reached_by_keyboard(visit, server) -> None:
    server.models = [model(mode="spell"), model(name="other")]
    page = visit()
    pick(page, "1.jpg")
    cards(page)
    page.click("#use-camera")
    page.wait_for_selector("#live-answer .verdict")
    named = page.evaluate("""
        [...document.querySelectorAll("button, input, select, textarea, section, video, canvas")]
          .map((e) => [e.id || e.tagName, e.innerText || e.ariaLabel || e.labels?.[0]?.innerText
            || e.getAttribute("aria-labelledby") || ""])
    """)
    assert [who for who, name in named if not name.strip()] == []
    assert {"model", "take", "stop", "text", "space", "delete", "clear"} <= reached(page)
    page.click("#stop")
    assert {"model", "choose", "use-camera", "clear"} <= reached(page)


def reached(page) -> set[str]:
    """Return where the Tab key leads."""
    page.evaluate("document.activeElement.blur()")
    found = set()
    for _ in range(14):
        page.keyboard.press("Tab")
        found.add(page.evaluate("document.activeElement.id"))
    return found


@pytest.mark.parametrize("file", sorted(PAGE.iterdir()), ids=lambda path: path.name)
def test_the_page_asks_nobody_else(file) -> None:
    text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    elsewhere = re.findall(r"""(?:src|href|url|import|fetch)[\s("'=]+(?:https?:)?//""", text)
    assert elsewhere == []
    assert not re.search(r"<style|style=|<script(?! defer src)|\son\w+=", text)
