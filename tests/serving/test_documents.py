"""The OpenAPI document, the page that shows it, and the page at /."""

import json
import re
from html.parser import HTMLParser

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from silverprint.serving import static
from silverprint.serving.app import create_app
from silverprint.serving.settings import Settings


def outside(text: str) -> list[str]:
    """Return addresses of other sites that a page would fetch from."""
    return re.findall(r"(?:src|href|url\()\s*=?\s*[\"']?((?:https?:)?//[^\"') >]+)", text)


def test_docs_show_every_route_and_ask_nobody_else(client) -> None:
    answered = client.get("/docs")
    document = client.get("/openapi.json").json()
    assert answered.headers["content-security-policy"].startswith("default-src 'none'")
    assert "$defs" not in json.dumps(document)  # a reference into them would lead nowhere
    for path in document["paths"]:
        assert f"<code>{path}</code>" in answered.text
    assert "<script" not in answered.text
    assert "style=" not in answered.text
    assert outside(answered.text) == []
    HTMLParser().feed(answered.text)
    links = set(re.findall(r'href="#(\w+)"', answered.text))
    assert links
    assert links <= set(re.findall(r'id="(\w+)"', answered.text))
    assert client.get("/docs/style.css").headers["content-type"].startswith("text/css")


def test_the_page_is_served_with_a_strict_policy(client, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(static, "PAGE", tmp_path)
    assert client.get("/").status_code == 404
    (tmp_path / "index.html").write_text("<p>hello</p>")
    (tmp_path / "app.js").write_text("1")
    answered = client.get("/")
    assert (answered.status_code, answered.text) == (200, "<p>hello</p>")
    policy = dict(
        part.strip().split(" ", 1)
        for part in answered.headers["content-security-policy"].split(";")
    )
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert answered.headers["x-content-type-options"] == "nosniff"
    asked = client.head("/")
    assert (asked.status_code, asked.content) == (200, b"")
    assert client.get("/page/app.js").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("name", ["none.js", "..%2Fstatic.py", "%2e%2e%2fgate.py", "a%00b.js"])
def test_nothing_else_is_served(client, name) -> None:
    assert client.get(f"/page/{name}").status_code == 404


def test_no_request_makes_it_fail(make_bundle) -> None:
    """Whatever follows from the OpenAPI document, or goes against it, is answered below 500."""
    app = create_app({"colours": make_bundle(distance=True)}, Settings(threads=1))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    statuses: set[int] = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        cases = st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes])

        @settings(max_examples=8, deadline=None, database=None, suppress_health_check=HealthCheck)
        @given(cases)
        def ask(case) -> None:
            response = case.call()
            assert response.status_code < 500, response.text
            statuses.add(response.status_code)

        ask()
    assert {200, 404, 422} <= statuses
