"""What the site is made of, besides docs/: a hook of mkdocs.

The site knows each file by its place in the repository, so that a relative link that works on a
code-hosting site works here too. The README is the home, notebooks become pages, options of the
command line are written when the site is built, and files of the repository that a page links to
come along as text.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import dirname, join, normpath
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

import silverprint
from silverprint.cli.app import app

sys.path.insert(0, str(Path(__file__).parent))
from formulas import UnreadableError, with_formulas

log = logging.getLogger("mkdocs.hooks.pages")

ROOT = Path(__file__).resolve().parents[2]
PLACES = {  # pages outside docs/, and where they are on the site
    "README.md": "index.html",
    "CHANGELOG.md": "changelog/index.html",
    "CONTRIBUTING.md": "contributing/index.html",
    "benchmarks/RESULTS.md": "benchmarks/index.html",
    "benchmarks/decoding.md": "benchmarks/decoding/index.html",
    "lessons/README.md": "lessons/index.html",
}
LINK = re.compile(r"\]\(([^)\s#]+)")
RAW = re.compile(r'(<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=")(?![a-z]+:|[/#])([^"#]+)')
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Lesson(File):
    """A notebook, which mkdocs takes for a page once its text is Markdown."""

    def is_documentation_page(self) -> bool:
        """Say that it is one, whatever its name ends with."""
        return True


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every lesson behind the index of lessons."""
    for section in config.nav or []:
        if "Lessons" in section:
            section["Lessons"] += [f"lessons/{path.name}" for path in notebooks()]
    return config


@event_priority(100)
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Name files by their place in the repository, and add those outside docs/."""
    ours = [file for file in files if file.src_dir == config.docs_dir]
    found = [file for file in files if file.src_dir != config.docs_dir]
    kept = [file for file in ours if not file.inclusion.is_excluded()]
    found += [_file(config, f"docs/{file.src_uri}", file.dest_uri) for file in kept]
    found += [_file(config, name, place) for name, place in PLACES.items()]
    for path in notebooks():
        found += _lesson(config, path)
    known = {file.src_uri for file in found}
    for name in sorted(_linked(found) - known):
        if (ROOT / name).is_file():
            found.append(_file(config, name, f"files/{name}.txt"))
    return Files(found)


@event_priority(100)
def on_page_markdown(markdown: str, page: Page, files: Files, **_: object) -> str:
    """Write what is generated into the page it belongs to."""
    place = PurePosixPath(page.file.src_uri)
    if str(place) == "README.md":
        page.meta["hide"] = ["navigation"]  # there is one page in its section
    if str(place) == "lessons/README.md":
        if (listed := _list_of_lessons()) not in markdown:
            log.warning("lessons/README.md: its list must be that of the notebooks:\n%s", listed)
        return markdown
    if str(place) == "docs/how-to/index.md":
        return markdown.replace("<!-- verbs -->", _list_of_verbs(files))
    if str(place) == "docs/api.md":
        _compare(set(re.findall(r"^::: silverprint\.(\w+)", markdown, re.M)), _public(), place)
    elif str(place.parent) == "docs/how-to":
        markdown += f"\n## All options\n\n{''.join(_options(_verbs()[place.stem], place.stem))}"

    def moved(match: re.Match[str]) -> str:
        target = files.get_file_from_path(normpath(f"{place.parent}/{match[2]}"))
        if target is None:
            log.warning("%s links to %s, which is not there", place, match[2])
            return match[0]
        return match[1] + get_relative_url(target.url, page.file.url)

    return RAW.sub(moved, markdown)


def notebooks() -> list[Path]:
    """Return the lessons in their order."""
    return sorted((ROOT / "lessons").glob("[0-9][0-9]_*.ipynb"))


def _file(config: MkDocsConfig, name: str, place: str) -> File:
    return File(name, str(ROOT), config.site_dir, config.use_directory_urls, dest_uri=place)


def _linked(files: list[File]) -> set[str]:
    """Return what pages link to, by place in the repository."""
    found = set()
    for file in files:
        if file.is_documentation_page():
            folder = dirname(file.src_uri)
            names = LINK.findall(file.content_string)
            found |= {normpath(join(folder, name)) for name in names}
    return found


def _public() -> set[str]:
    return {name for name in silverprint.__all__ if not name.startswith("_")}


def _compare(here: set[str], there: set[str], place: PurePosixPath) -> None:
    for name in sorted(here ^ there):
        log.warning("%s %s %s", place, "lacks" if name in there else "has no longer", name)


# Lessons


def _lesson(config: MkDocsConfig, path: Path) -> Iterator[File]:
    """Yield a notebook's page and its pictures."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    name, parts, pictures = f"lessons/{path.name}", [], 0
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(_described(text, name))
            continue
        parts.append(_fenced(text, "python"))
        for output in _together(cell["outputs"]):
            data = output.get("data", {})
            if "image/png" in data or "image/svg+xml" in data:
                kind = "image/png" if "image/png" in data else "image/svg+xml"
                pictures += 1
                picture = f"lessons/{path.stem}/{pictures}.{'png' if 'png' in kind else 'svg'}"
                yield _picture(config, picture, kind, "".join(data[kind]))
                parts.append(f"![What the cell above shows]({picture.removeprefix('lessons/')})")
            elif "text/html" in data:
                html = "".join(data["text/html"])
                parts.append(f'<div class="output">\n{html}\n</div>')
            else:
                said = output["text"] if "text" in output else data.get("text/plain", "")
                parts.append(_fenced(_plain("".join(said)), ".text .output"))
    page = Lesson.generated(config, name, content="\n\n".join(parts))
    page.inclusion = InclusionLevel.INCLUDED
    yield page


def _described(text: str, name: str) -> str:
    """Return a cell of text, its formulas and hidden answers as the site can show them."""
    try:
        text = with_formulas(text)
    except UnreadableError as error:
        log.warning("%s: %s", name, error)
    return text.replace("<details>", '<details markdown="1">')


def _picture(config: MkDocsConfig, name: str, kind: str, data: str) -> File:
    from base64 import b64decode

    content = b64decode(data) if kind == "image/png" else data
    return File.generated(config, name, content=content)


def _together(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join what was printed bit by bit."""
    joined: list[dict[str, Any]] = []
    for output in outputs:
        if output["output_type"] == "stream":
            text = "".join(output["text"])
            if joined and joined[-1]["output_type"] == "stream":
                joined[-1]["text"] += text
            else:
                joined.append({"output_type": "stream", "text": text})
        else:
            joined.append(output)
    return joined


def _plain(text: str) -> str:
    """Return what a terminal would show in the end."""
    lines = ANSI.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines).strip("\n")


def _fenced(text: str, kind: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    kind = f"{{ {kind} }}" if " " in kind else kind
    return f"{fence}{kind}\n{text}\n{fence}"


def _list_of_lessons() -> str:
    """Return a line for each lesson: its title, and its first sentence."""
    lines = []
    for path in notebooks():
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
        title, _, rest = "".join(first).partition("\n")
        number, _, name = title.lstrip("# ").partition(". ")
        sentence = re.split(r"(?<=[.!?])\s", rest.strip(), maxsplit=1)[0]
        lines.append(f"| {number} | [{name}]({path.name}) | {sentence} |")
    return "\n".join(["| | lesson | |", "| --- | --- | --- |", *lines])


# The command line


def _verbs() -> dict[str, Any]:
    commands: dict[str, Any] = dict(typer.main.get_command(app).commands)
    return commands


def _list_of_verbs(files: Files) -> str:
    verbs = _verbs()
    prefix = "docs/how-to/"
    pages = {PurePosixPath(file.src_uri).stem for file in files if file.src_uri.startswith(prefix)}
    _compare(pages - {"index"}, set(verbs), PurePosixPath(prefix))
    lines = [f"| [`{name}`]({name}.md) | {_about(verb)} |" for name, verb in verbs.items()]
    return "\n".join(["| verb | what it does |", "| --- | --- |", *lines])


def _about(verb: Any) -> str:
    return str(verb.help or "").split("\n\n")[0].replace("\n", " ")


def _options(verb: Any, name: str, level: str = "###") -> Iterator[str]:
    """Yield tables of a verb's arguments and options, as its --help has them."""
    if hasattr(verb, "commands"):
        for part, inner in verb.commands.items():
            yield f"{level} `{name} {part}`\n\n{_about(inner)}\n\n"
            yield from _options(inner, f"{name} {part}", level + "#")
        return
    groups: dict[str, list[str]] = {}
    for option in verb.params:
        if getattr(option, "hidden", False):
            continue
        argument = option.param_type_name == "argument"
        names = option.name.upper() if argument else ", ".join(option.opts + option.secondary_opts)
        group = "Arguments" if argument else option.rich_help_panel or "Options"
        row = f"| `{names}` | {_escaped(option.help or '')} | {_escaped(_default(option))} |\n"
        groups.setdefault(group, []).append(row)
    for group, rows in groups.items():
        yield f"**{group}**\n\n| | | default |\n| --- | --- | --- |\n{''.join(rows)}\n"


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if isinstance(option.show_default, str):
        return option.show_default
    shown = option.show_default and option.default not in (None, False, (), [])
    return f"`{option.default}`" if shown else ""


def _escaped(text: str) -> str:
    """Keep what is no Markdown from becoming some."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([|*_<\[])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)
