"""Does the browser answer as Python does, and how fast? Prints a Markdown section.

    SILVERPRINT_DATA=... python benchmarks/browser.py BUNDLE [--count 200] [--runtime FOLDER]

Exports the bundle as a web page, opens it from a static server in a headless Chromium, and has it
answer test photos, which it decodes itself. The same photos then as large as a camera's.
"""

import argparse
import functools
import io
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common import spread, table
from silverprint.export.web import write_web
from silverprint.runtime.bundle import read_bundle
from silverprint.runtime.predictor import Predictor

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
ANSWER = """async (names) => {
  const answers = [];
  for (const name of names) {
    const blob = await (await fetch(`photos/${name}`)).blob();
    answers.push(await backend.predict(model, blob, name, model.classes.length));
  }
  return answers;
}"""
CHUNK = 10  # photos
ALLOWED = 0.03  # difference of a probability
LARGE = (3000, 4000)  # what a telephone's camera takes: 12 million pixels


class Handler(SimpleHTTPRequestHandler):
    """Files from a folder, silently; isolated, where threads are wanted."""

    isolated = False

    def end_headers(self) -> None:
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Isolated(Handler):
    """The same, with the headers that let a page use threads."""

    isolated = True


@contextmanager
def static_server(folder: Path, handler: type[Handler]) -> Iterator[str]:
    made = functools.partial(handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), made) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextmanager
def opened(
    site: Path, handler: type[Handler]
) -> Iterator[tuple[Callable[[list[str]], Any], float]]:
    """Open the page; yield a function that has it answer, and the seconds until it was ready."""
    from playwright.sync_api import sync_playwright

    with static_server(site, handler) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(120_000)
        began = time.perf_counter()
        page.goto(address)
        page.wait_for_selector("#choose")
        yield lambda names: page.evaluate(ANSWER, names), time.perf_counter() - began
        browser.close()


def in_python(predictor: Predictor, photo: Path) -> tuple[np.ndarray, float]:
    """Return what `predict` says of a photo, and the milliseconds on one thread."""
    began = time.perf_counter()
    told = predictor.probabilities(predictor.decode(photo)[None])[0]
    return told, 1000 * (time.perf_counter() - began)


def compare(name: str, predictor: Predictor, site: Path, handler: type[Handler] = Handler) -> dict:
    """Return a row's figures for all photos of the site."""
    photos = sorted((site / "photos").iterdir())
    answers, expected, milliseconds = [], [], []
    with opened(site, handler) as (ask, ready):
        ask([photo.name for photo in photos[:3]])  # warm
        for i in range(0, len(photos), CHUNK):  # in turns, so that a noisy minute strikes both
            chunk = photos[i : i + CHUNK]
            answers += ask([photo.name for photo in chunk])
            for told, spent in (in_python(predictor, photo) for photo in chunk):
                expected.append(told)
                milliseconds.append(spent)
    classes = predictor.bundle.classes
    differences, swapped, beyond = [], 0, 0
    for wanted, answer in zip(expected, answers, strict=True):
        told = dict(answer["top"])
        differences.append(float(np.abs(wanted - [told[label] for label in classes]).max()))
        other = classes[int(np.argmax(wanted))] != answer["label"]
        swapped += other
        beyond += other and float(np.diff(np.sort(wanted)[-2:])[0]) > ALLOWED
    return {
        "photos": name,
        "n": len(photos),
        "largest": max(differences),
        "median": statistics.median(differences),
        "swapped": swapped,
        "beyond": beyond,
        "milliseconds": [answer["milliseconds"] for answer in answers],
        "in python": milliseconds,
        "ready": ready,
    }


def enlarge(site: Path, count: int) -> None:
    """Put photos as large as a camera's in the place of the site's first ones."""
    photos = sorted((site / "photos").iterdir())
    for photo in photos[count:]:
        photo.unlink()
    for photo in photos[:count]:
        picture = Image.open(io.BytesIO(photo.read_bytes())).convert("RGB")
        size = LARGE if picture.height > picture.width else LARGE[::-1]
        photo.unlink()  # it is a link
        picture.resize(size, Image.Resampling.BICUBIC).save(photo, quality=92)


def main() -> None:
    """Measure, and print the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("SILVERPRINT_DATA", "")) / "clothing" / "test"
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--large", type=int, default=20)
    parser.add_argument("--runtime", default=None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    predictor = Predictor(read_bundle(options.bundle))
    files = [path for path in sorted(options.data.rglob("*")) if path.is_file()]
    files = files[:: max(1, len(files) // options.count)][: options.count]
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        write_web(predictor.bundle, site, runtime=options.runtime, mode="classify")
        (site / "photos").mkdir()
        for i, file in enumerate(files):
            (site / "photos" / f"{i:04d}{file.suffix}").symlink_to(file.resolve())
        rows = [
            compare("as they are, one thread", predictor, site),
            compare("as they are, threads allowed", predictor, site, Isolated),
        ]
        enlarge(site, options.large)
        rows.append(compare("as large as a camera's", predictor, site))
    if options.json:
        print(json.dumps(rows))
        return
    header = ("photos", "n", "largest difference", "median", "other label",
              f"of these with a margin over {ALLOWED}", "ms a picture",
              "in Python", "s until ready")  # fmt: skip
    print("## In the browser\n")
    print(table(header, [
        [row["photos"], row["n"], f"{row['largest']:.4f}", f"{row['median']:.5f}", row["swapped"],
         row["beyond"], spread(row["milliseconds"], 0), spread(row["in python"], 0),
         f"{row['ready']:.1f}"]
        for row in rows
    ]))  # fmt: skip


if __name__ == "__main__":
    main()
