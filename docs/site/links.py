"""Every link of the built site leads somewhere, and nothing is loaded from elsewhere: a hook.

Links to other sites are only read, never asked for: a build works without a network.
"""

import logging
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mkdocs.config.defaults import MkDocsConfig

log = logging.getLogger("mkdocs.hooks.links")

POLICY = "default-src 'self' 'unsafe-inline' data:; worker-src 'self' blob:; object-src 'none'"
LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src"),
          ("audio", "src"), ("embed", "src"), ("object", "data"), ("link", "href"),
          ("form", "action")}  # fmt: skip


class Read(HTMLParser):
    """The ids of a page, and what it links to or loads."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[tuple[str, bool]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names, links to or loads."""
        for name, value in attrs:
            if name == "id" or (tag == "a" and name == "name"):
                self.ids.add(value or "")
            elif name in ("href", "src", "data", "action") and value is not None:
                self.links.add((value, (tag, name) in LOADED))


def on_post_page(output: str, **_: object) -> str:
    """Forbid the browser to load anything from elsewhere."""
    tag = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    return output.replace("<head>", f"<head>{tag}", 1)


def on_post_build(config: MkDocsConfig) -> None:
    """Warn of each link that leads nowhere; a strict build fails of it."""
    site = Path(config.site_dir)
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        if path.name == "404.html":  # its links begin where the site does, wherever that is
            continue
        for link, loaded in sorted(page.links):
            trouble = _trouble(link, loaded, path, pages)
            if trouble:
                log.warning("%s: %s %s", path.relative_to(site), link, trouble)


def _read(path: Path) -> Read:
    page = Read()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _trouble(link: str, loaded: bool, path: Path, pages: dict[Path, Read]) -> str:
    parts = urlsplit(link)
    if parts.scheme in ("data", "mailto", "javascript"):
        return ""
    if parts.scheme or parts.netloc:
        if loaded:
            return "is loaded from elsewhere"
        good = parts.scheme in ("http", "https") and "." in parts.netloc
        local = parts.hostname in ("localhost", "127.0.0.1")
        return "" if good or local else "is no address"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return "is not there"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        return "" if parts.fragment == "__skip" else "has no such anchor"
    return ""
