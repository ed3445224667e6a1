"""`/docs`: the OpenAPI document as one plain page, without scripts and without other sites."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/style.css"></head>
<body><h1>{title} <small>{version}</small></h1><p>{description}</p>
<p>The same for programs: <a href="/openapi.json">openapi.json</a>.</p>
"""


def render(document: Mapping[str, Any]) -> str:
    """Return an OpenAPI document as HTML."""
    info = {key: escape(str(value)) for key, value in document["info"].items()}
    parts = [HEAD.format(**{"description": "", **info})]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.extend(_operation(method.upper(), path, operation))
    parts.append("<h2>Bodies</h2>")
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        parts.append(
            f'<details id="{escape(name)}"><summary>{escape(name)}</summary>'
            f"<pre>{escape(text)}</pre></details>"
        )
    return "\n".join([*parts, "</body></html>"])


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<section><h2><b>{method}</b> <code>{escape(path)}</code></h2>"
    yield f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p><dl>"
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
    return f"<code>{escape(json.dumps(schema)[:300])}</code>" if schema else ""
