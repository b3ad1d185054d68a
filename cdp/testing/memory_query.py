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


def matches(document: Document, query: Mapping[str, Any], now: datetime) -> bool:
    """Whether a document fits a query."""
    for name, wanted in query.items():
        if name == "$or":
            if not any(matches(document, branch, now) for branch in wanted):
                return False
        elif name == "$expr":
            if not value_of(wanted, document, now):
                return False
        elif not _fits(document, name, wanted):
            return False
    return True


def _fits(document: Document, name: str, wanted: Any) -> bool:
    if not isinstance(wanted, dict) or not _is_operators(wanted):
        return bool(document.get(name) == wanted)
    return all(_holds(document, name, op, value) for op, value in wanted.items())


def _is_operators(wanted: Any) -> bool:
    return isinstance(wanted, dict) and next(iter(wanted), "").startswith("$")


def _holds(document: Document, name: str, op: str, value: Any) -> bool:
    held = document.get(name)
    if op in _ORDER:
        return held is not None and _ORDER[op](held, value)
    if op == "$in":
        return held in value
    if op == "$nin":
        return held not in value
    if op == "$ne":
        return bool(held != value)
    if op == "$exists":
        return (name in document) is bool(value)
    raise _unknown(op)


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
