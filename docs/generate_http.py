"""The page of the HTTP API, from its OpenAPI document."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cdp.http.app import ROUTES
from cdp.http.openapi import document

METHODS: Final = ("get", "post", "put", "patch", "delete")


def http_page() -> str:
    """Every route with its parameters, its body and its answers."""
    return "\n\n".join(_parts(document(ROUTES)))


def _parts(spec: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "The same as a document for machines: `GET /v1/openapi.json` (OpenAPI "
        f"{spec['openapi']}); for people: `GET /v1/docs`. Refusals: [errors.md](errors.md)."
    )
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                yield from _operation(spec, method, path, item[method])


def _operation(
    spec: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]
) -> Iterator[str]:
    prefix = (spec.get("servers") or [{"url": ""}])[0]["url"].rstrip("/")
    yield f"## `{method.upper()} {prefix}{path}`"
    yield operation["summary"].rstrip(".") + "."
    if operation.get("description"):
        yield operation["description"].strip()
    if operation.get("security") == []:
        yield "No API key is needed."
    parameters = [_resolved(spec, p) for p in operation.get("parameters", [])]
    if parameters:
        rows = [
            f"| `{p['name']}` | {p['in']} | {_line(p.get('description', ''))} |" for p in parameters
        ]
        yield "\n".join(["| parameter | in | meaning |", "| --- | --- | --- |", *rows])
    body = operation.get("requestBody")
    if body:
        yield from _body(spec, _resolved(spec, body))
    rows = [
        f"| {status} | {_line(_resolved(spec, answer)['description'])} |"
        for status, answer in sorted(operation["responses"].items())
    ]
    yield "\n".join(["| answer | meaning |", "| --- | --- |", *rows])


def _body(spec: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[str]:
    yield "Body: " + ", ".join(f"`{kind}`" for kind in body["content"]) + "."
    first = next(iter(body["content"].values()))
    fields = _resolved(spec, first.get("schema", {})).get("properties", {})
    if fields:
        required = _resolved(spec, first["schema"]).get("required", [])
        rows = [
            f"| `{name}` | {_kind(spec, field)} | {'yes' if name in required else ''} "
            f"| {_line(field.get('description', ''))} |"
            for name, field in fields.items()
        ]
        head = ["| field | kind | required | meaning |", "| --- | --- | --- | --- |"]
        yield "\n".join([*head, *rows])
    for media in body["content"].values():
        example = media.get("example")
        if example is None and media.get("examples"):
            example = next(iter(media["examples"].values())).get("value")
        if isinstance(example, str):
            yield f"```text\n{example.strip()}\n```"
        elif example is not None:
            yield f"```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```"


def _kind(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What a field holds, in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(spec, part) for part in schema["anyOf"]))
    if "$ref" in schema:
        names = ", ".join(f"`{name}`" for name in _resolved(spec, schema).get("properties", {}))
        return f"object of {names}" if names else "object"
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"array of {_kind(spec, schema['items'])}"
    return str(schema.get("format") or schema.get("type", "any"))


def _resolved(spec: Mapping[str, Any], thing: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a `$ref` points to."""
    if "$ref" not in thing:
        return thing
    found: Any = spec
    for name in thing["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    resolved: Mapping[str, Any] = found
    return resolved


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
