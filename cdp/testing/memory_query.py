"""The part of MongoDB's query and update language that the platform uses, over plain dicts.

An operator that is not known here is refused loudly: a query must never match by mistake.
"""

import operator
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

Document = dict[str, Any]

_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$lt": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$gte": operator.ge,
}


Test = Callable[[Document], bool]

_LONG: Final = 8
"""From here on it pays to look a value up instead of comparing it with each."""


def test_of(query: Mapping[str, Any], now: datetime) -> Test:
    """Whether documents fit a query: what it says is read once for all of them."""
    tests = [test for name, wanted in query.items() for test in _tests_of(name, wanted, now)]
    if len(tests) == 1:
        return tests[0]

    def holds(document: Document) -> bool:
        for test in tests:  # noqa: SIM110 - a generator costs as much as most of the tests
            if not test(document):
                return False
        return True

    return holds


def _tests_of(name: str, wanted: Any, now: datetime) -> list[Test]:
    if name == "$or":
        branches = [test_of(branch, now) for branch in wanted]
        return [lambda document: any(branch(document) for branch in branches)]
    if name == "$expr":
        return [lambda document: bool(value_of(wanted, document, now))]
    if not _is_operators(wanted):
        return [lambda document: bool(document.get(name) == wanted)]
    return [_test_of(name, op, value) for op, value in wanted.items()]


def _is_operators(wanted: Any) -> bool:
    return isinstance(wanted, dict) and next(iter(wanted), "").startswith("$")


def _test_of(name: str, op: str, value: Any) -> Test:
    if op in _ORDER:
        return _ordered(name, _ORDER[op], value)
    if op in ("$in", "$nin"):
        known = frozenset(value) if len(value) > _LONG else value
        is_in = op == "$in"
        return lambda document: (document.get(name) in known) is is_in
    if op == "$ne":
        return lambda document: bool(document.get(name) != value)
    if op == "$exists":
        return lambda document: (name in document) is bool(value)
    raise _unknown(op)


def _ordered(name: str, compare: Callable[[Any, Any], bool], value: Any) -> Test:
    def holds(document: Document) -> bool:
        held = document.get(name)
        return held is not None and compare(held, value)

    return holds


def _unknown(op: str) -> ValueError:
    return ValueError(f"The platform uses no {op} yet: say here what it means.")


def value_of(expression: Any, document: Document, now: datetime) -> Any:
    """The value of an aggregation expression."""
    if isinstance(expression, str) and expression.startswith("$"):
        return now if expression == "$$NOW" else document.get(expression[1:])
    if not _is_operators(expression):
        return expression
    [(op, arguments)] = expression.items()
    return _OPERATIONS[op](*[value_of(argument, document, now) for argument in arguments])


def _less(first: Any, second: Any) -> bool:
    # What is missing sorts before everything.
    return second is not None if first is None else second is not None and first < second


def _add(first: Any, second: Any) -> Any:
    if isinstance(first, datetime):
        return first + timedelta(milliseconds=second)
    return first + second


_OPERATIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "$eq": lambda first, second: first == second,
    "$lt": _less,
    "$or": lambda *any_of: any(any_of),
    "$ifNull": lambda first, instead: instead if first is None else first,
    "$cond": lambda condition, then, otherwise: then if condition else otherwise,
    "$add": _add,
}


def updated(document: Document, update: Any, now: datetime) -> Document:
    """A document after an update, given as operators or as a pipeline of `$set` stages."""
    after = dict(document)
    if isinstance(update, list):
        for stage in update:
            [(op, fields)] = stage.items()
            assert op == "$set", op
            # All of a stage's expressions see the document as it was before the stage.
            after |= {name: value_of(value, after, now) for name, value in fields.items()}
        return after
    for op, fields in update.items():
        if op == "$set":
            after |= fields
        elif op == "$max":
            after |= {
                name: value if (held := document.get(name)) is None else max(held, value)
                for name, value in fields.items()
            }
        elif op == "$unset":
            for name in fields:
                after.pop(name, None)
        else:
            raise _unknown(op)
    return after
