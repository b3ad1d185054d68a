"""Every refusal has its row, every route its key or its place on the list of open ones."""

import inspect

import pytest

from cdp import errors
from cdp.errors import CdpError, FieldError, Invalid, Overloaded
from cdp.http.app import ROUTES
from cdp.http.openapi import document
from cdp.http.problems import PROBLEMS, document_of, problem_answer, problem_of

OPEN = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"}
REFUSALS = [
    cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, CdpError)
]


@pytest.mark.parametrize("cls", REFUSALS)
def test_every_refusal_of_the_platform_has_a_row(cls):
    assert cls in PROBLEMS


def test_a_refusal_without_a_row_is_answered_as_its_parent():
    class Special(errors.TooLate):
        """A special case."""

    assert problem_of(Special()) is PROBLEMS[errors.TooLate]


def test_slugs_are_unique():
    slugs = [problem.slug for problem in PROBLEMS.values()]
    assert len(set(slugs)) == len(slugs)


def test_a_refusal_says_when_to_come_again_and_where_it_is_wrong():
    busy = problem_answer(Overloaded("Busy.", retry_after_s=7))
    wrong = document_of(Invalid([FieldError(pointer="/a", code="c", detail="d")] * 300))

    assert (b"retry-after", b"7") in busy.headers
    assert len(wrong["errors"]) == 100


def test_only_the_listed_routes_are_open():
    assert {route.path for route in ROUTES if route.open} == OPEN


EITHER: list[dict[str, list[str]]] = [{"inboxToken": []}, {"apiKey": []}]
"""A recipient's own token, or the key of the client's backend."""


def test_every_route_is_described_and_named_once():
    described = document(ROUTES)["paths"]
    names = [route.operation.id for route in ROUTES]

    assert len(set(names)) == len(names)
    for route in ROUTES:
        operation = described[route.path][route.method.lower()]
        assert operation["summary"]
        assert operation.get("security") == (
            [] if route.open else EITHER if route.for_recipients else None
        )
