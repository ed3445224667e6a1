"""`/docs`: the OpenAPI document as one plain page, without scripts and without other sites."""

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from pydantic import BaseModel

SHORT = 60  # characters of a schema that is shown as it is
HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/style.css"><link rel="icon" href="/page/icon.svg"></head>
<body><h1>{title} <small>{version}</small></h1><p>{description}</p>
<p>The same for programs: <a href="/openapi.json">openapi.json</a>.</p>
"""


def inlined(model: type[BaseModel]) -> Any:
    """Return a body's schema in one piece, as OpenAPI needs where it stands outside components."""
    schema = model.model_json_schema()
    parts = {f"#/$defs/{name}": part for name, part in schema.pop("$defs", {}).items()}

    def put_in(value: Any) -> Any:
        if isinstance(value, dict):
            known = parts.get(value.get("$ref", ""), value)
            return {key: put_in(inner) for key, inner in known.items()}
        return [put_in(inner) for inner in value] if isinstance(value, list) else value

    return put_in(schema)


def render(document: Mapping[str, Any]) -> str:
    """Return an OpenAPI document as HTML."""
    info = {key: escape(str(value)) for key, value in document["info"].items()}
    parts = [HEAD.format(**{"description": "", **info})]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.extend(_operation(method.upper(), path, operation))
    parts.append("<h2>Bodies</h2>")
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        parts.append(f'<div id="{escape(name)}">{_details(name, schema)}</div>')
    return "\n".join([*parts, "</body></html>"])


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<section><h2><b>{method}</b> <code>{escape(path)}</code></h2>"
    told = escape(operation.get("description") or operation.get("summary", ""))
    told = re.sub("`([^`]+)`", r"<code>\1</code>", told)
    yield f"<p>{told}</p><dl>"
    for parameter in operation.get("parameters", ()):
        told = parameter.get("description", "") or parameter["schema"].get("type", "")
        yield f"<dt><code>{escape(parameter['name'])}</code> in {escape(parameter['in'])}</dt>"
        yield f"<dd>{escape(told)}</dd>"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<dt>body <code>{escape(kind)}</code></dt><dd>{_schema(content)}</dd>"
    for status, response in operation.get("responses", {}).items():
        shapes = " ".join(_schema(content) for content in response.get("content", {}).values())
        told = escape(response.get("description", ""))
        yield f"<dt>{escape(status)}</dt><dd>{told} {shapes}</dd>"
    yield "</dl></section>"


def _schema(content: Mapping[str, Any]) -> str:
    schema = content.get("schema", {})
    of = "list of " if "items" in schema else ""
    name = str(schema.get("items", schema).get("$ref", "")).rpartition("/")[2]
    if name:
        return f'{of}<a href="#{escape(name)}">{escape(name)}</a>'
    text = json.dumps(schema)
    if len(text) > SHORT:
        return _details("schema", schema)
    return f"<code>{escape(text)}</code>" if schema else ""


def _details(name: str, schema: Any) -> str:
    text = escape(json.dumps(schema, indent=2, ensure_ascii=False))
    return f"<details><summary>{escape(name)}</summary><pre>{text}</pre></details>"
