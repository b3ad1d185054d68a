"""The OpenAPI 3.1 document, put together from the routes and the models."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cdp.http.communication_models import CommunicationIn
from cdp.http.endpoint import Operation, Route
from cdp.http.outputs import ProblemDocument
from cdp.http.problems import PROBLEMS, TYPE_PREFIX

Json = dict[str, Any]

JSON_TYPE: Final = "application/json"
EVENTS_TYPE: Final = "text/event-stream"
"""Whose events are objects to those who read the document."""
PROBLEM_TYPE: Final = "application/problem+json"
REFERENCE: Final = "#/components/schemas/{model}"
HEADERS_OF: Final[Mapping[int, Sequence[str]]] = {
    405: ("Allow",),
    401: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
DESCRIPTION: Final = """\
Sends communications and says what became of each.

Authenticate with `Authorization: Bearer <API key>`. Every refusal is a problem document (RFC 9457),
with a pointer for each field that is wrong. Times are in RFC 3339; answers give them in UTC. Lists
are read with `limit` and `cursor`. Ids are opaque.
"""


def document(routes: Sequence[Route]) -> Json:
    """The whole document."""
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Communication Delivery Platform",
            "version": "1",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/v1"}],
        "security": [{"apiKey": []}],
        "tags": [{"name": name} for name in dict.fromkeys(r.operation.tag for r in routes)],
        "paths": paths,
        "components": {
            "schemas": _schemas(routes),
            "responses": {
                f"Problem{status}": _problem(status)
                for status in sorted({problem.status for problem in PROBLEMS.values()})
            },
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "cdp_live_<id>_<secret>_<checksum>",
                },
                "inboxToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "From `POST /inbox/tokens`, for one user's inbox.",
                },
            },
        },
    }


def _operation(route: Route) -> Json:
    said = route.operation
    answers: Json = {str(status): _answer(said, status) for status in said.answers}
    if said.texts and not said.answers:
        answers["200"] = _answer(said, 200)
    for status in sorted({*said.problems, *(() if route.open else (401, 503))}):
        answers.setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})
    operation: Json = {
        "operationId": said.id,
        "tags": [said.tag],
        "summary": said.summary,
        "parameters": [dict(parameter) for parameter in said.parameters],
        "responses": answers,
    }
    if said.description:
        operation["description"] = said.description
    bodies = _bodies(said)
    if bodies:
        operation["requestBody"] = {"required": True, "content": bodies}
    if route.open:
        operation["security"] = []
    elif route.for_recipients:
        operation["security"] = [{"inboxToken": []}, {"apiKey": []}]
    return operation


def _bodies(said: Operation) -> Json:
    if said.body is None:
        return {name: dict(body) for name, body in said.bodies.items()}
    examples = {name: {"value": value} for name, value in said.examples.items()}
    return {JSON_TYPE: {"schema": _reference(said.body), "examples": examples}}


def _answer(said: Operation, status: int) -> Json:
    model = said.answers.get(status)
    content: Json = {} if model is None else {JSON_TYPE: {"schema": _reference(model)}}
    content |= {
        text: {"schema": {"type": "object" if text in (JSON_TYPE, EVENTS_TYPE) else "string"}}
        for text in said.texts
        if status == 200
    }
    answer: Json = {"description": _sentence(model) if model else "Done."}
    if content:
        answer["content"] = content
    return answer


def _sentence(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _reference(model: type[BaseModel]) -> Json:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def _problem(status: int) -> Json:
    rows = [problem for problem in PROBLEMS.values() if problem.status == status]
    answer: Json = {
        "description": "; ".join(row.title for row in rows) + ".",
        "content": {
            PROBLEM_TYPE: {
                "schema": _reference(ProblemDocument),
                "examples": {
                    row.slug: {
                        "value": {
                            "type": TYPE_PREFIX + row.slug,
                            "title": row.title,
                            "status": status,
                            "detail": f"{row.title}.",
                        }
                    }
                    for row in rows
                },
            }
        },
    }
    if status in HEADERS_OF:
        answer["headers"] = {name: {"schema": {"type": "string"}} for name in HEADERS_OF[status]}
    return answer


def _schemas(routes: Sequence[Route]) -> Json:
    _, schema = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(_models(routes))],
        ref_template=REFERENCE,
        by_alias=True,
    )
    definitions: Json = schema["$defs"]
    return definitions


def _models(routes: Sequence[Route]) -> Iterable[type[BaseModel]]:
    yield ProblemDocument
    yield CommunicationIn
    for route in routes:
        if route.operation.body is not None:
            yield route.operation.body
        yield from (model for model in route.operation.answers.values() if model is not None)
