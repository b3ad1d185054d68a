"""`/openapi.json` and `/docs`: the description of the API, for programs and for people.

The page is made here from the document: no script, no font, no request to anywhere.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from cdp.http.answer import Answer
from cdp.http.call import Call
from cdp.http.endpoint import Operation, Route
from cdp.http.openapi import document

TEMPLATE: Final = "docs.html.jinja"
STYLE: Final = "docs.css"


def documentation_routes(others: Sequence[Route]) -> tuple[Route, ...]:
    """The two routes that describe `others` and themselves."""

    @cache
    def described() -> dict[str, Any]:
        return document([*others, *own])

    @cache
    def openapi_answer() -> Answer:
        return Answer(status=200, body=orjson.dumps(described(), option=orjson.OPT_INDENT_2))

    @cache
    def page_answer() -> Answer:
        return page_of(described())

    async def openapi(_: Call) -> Answer:
        return openapi_answer()

    async def docs(_: Call) -> Answer:
        return page_answer()

    own = (
        Route(
            method="GET",
            path="/openapi.json",
            handler=openapi,
            open=True,
            operation=Operation(
                id="getOpenApi",
                tag="Operations",
                summary="This description",
                texts=("application/json",),
            ),
        ),
        Route(
            method="GET",
            path="/docs",
            handler=docs,
            open=True,
            operation=Operation(
                id="getDocs",
                tag="Operations",
                summary="This description, as a page",
                texts=("text/html",),
            ),
        ),
    )
    return own


def page_of(described: Mapping[str, Any]) -> Answer:
    """The page, with a policy that lets it load nothing at all."""
    environment = Environment(
        loader=PackageLoader("cdp.http", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["example"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    loader = environment.loader
    assert loader is not None
    style = loader.get_source(environment, STYLE)[0]
    text = environment.get_template(TEMPLATE).render(
        api=described,
        style=style,
        operations=_by_tag(described),
        resolve=lambda node: _resolve(described, node),
        shape=_shape,
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return Answer(
        status=200,
        body=text.encode(),
        content_type=b"text/html; charset=utf-8",
        headers=((b"content-security-policy", policy.encode()),),
    )


def _by_tag(described: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    tags: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in described["tags"]}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            entry = {"path": path, "method": method.upper(), **operation}
            tags[operation["tags"][0]].append(entry)
    return tags


def _resolve(described: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference stands for, or the node itself."""
    target = node
    while "$ref" in target:
        found: Any = described
        for part in target["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        target = found
    return target


def _shape(schema: Mapping[str, Any]) -> str:
    """A schema in a few words; names of other schemas stand as they are."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_shape(option) for option in schema["anyOf"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_shape(schema.get('items', {}))}"
    form = schema.get("format")
    return f"{kind} ({form})" if form else kind
