"""From bytes to a checked model, with a pointer for each thing that is wrong.

orjson and pydantic do the work. What JSON allows and MongoDB or a template could not hold (NUL,
half characters, integers beyond 64 bits, `$` names, deep nesting) is looked for by cheap tests on
the bytes; only a body that fails one of them is read a second time, slowly, to say where.
"""

import json
from collections.abc import Iterator
from typing import Any, ClassVar, Final, TypeVar

import orjson
from pydantic import BaseModel, RootModel, ValidationError

from cdp.errors import HALF_CHARACTER, FieldError, Invalid, pointer_of
from cdp.http.problems import ERRORS_MAX, Malformed

DEPTH_MAX: Final = 32
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

M = TypeVar("M", bound=BaseModel)

R = TypeVar("R")


class OneOf(RootModel[R]):
    """One of several models, chosen by the field `TAG`."""

    TAG: ClassVar[str]


_TAG_FAULTS: Final = {
    "union_tag_not_found": ("missing", "Field required"),
    "union_tag_invalid": ("literal_error", ""),
}
_DIGITS: Final = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER: Final = b"0" * 19
_NOT_A_NUMBER: Final = object()
_DEEP: Final = b"\n" + b"  " * (DEPTH_MAX + 1)


def parse(model: type[M], raw: bytes) -> M:
    """The model that these bytes are.

    Raises:
        Malformed: they are not JSON.
        Invalid: they are, but not this model; with everything that is wrong.
    """
    return validate(model, loads(raw))


def loads(raw: bytes) -> Any:
    """The plain values, all of which MongoDB can hold.

    Raises:
        Malformed: it is not JSON.
        Invalid: it holds a value that can't be stored.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        _refuse(raw)
        raise Malformed(f"The body is not valid JSON: {error}.") from None
    # Fewer brackets than levels need no look.
    has_many = raw.count(b"{") + raw.count(b"[") > DEPTH_MAX
    if _may_be_unstorable(raw) or (has_many and _may_be_deep([value])):
        _refuse(raw)
    return value


def load_elements(raw: bytes) -> list[Any] | None:
    """The elements of a JSON array, where `loads` would return each of them.

    None where it may not: then each has to be read by itself.
    """
    if _may_be_unstorable(raw):
        return None
    try:
        values = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return None if not isinstance(values, list) or _may_be_deep(values) else values


def _may_be_unstorable(raw: bytes) -> bool:
    return (
        b"\\u0000" in raw
        or b'"$' in raw
        or b"\\u0024" in raw
        or _LONG_NUMBER in raw.translate(_DIGITS)
    )


def validate(model: type[M], value: Any, *, strict: bool | None = None) -> M:
    """The model that these values are.

    Args:
        model: which.
        value: plain values.
        strict: whether the text of a number is none; left out, as the model has it.

    Raises:
        Invalid: with everything that is wrong.
    """
    try:
        return model.model_validate(value, strict=strict)
    except ValidationError as error:
        tag = model.TAG if issubclass(model, OneOf) else None
        raise Invalid(list(_field_errors(error, tag))) from None


def _field_errors(error: ValidationError, tag: str | None) -> Iterator[FieldError]:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    for detail in details[:ERRORS_MAX]:
        location = [part for part in detail["loc"] if part != "[key]"]
        if tag is not None:
            # pydantic begins with the model that was chosen; where none could be, with nothing.
            location = location[1:] or ([tag] if detail["type"].startswith("union_tag") else [])
        code, message = _TAG_FAULTS.get(detail["type"], (detail["type"], detail["msg"]))
        if detail["type"] == "union_tag_invalid":
            message = f"Input should be one of {detail['msg'].rpartition('tags: ')[2]}"
        yield FieldError(pointer=pointer_of(location), code=code, detail=_sentence(message))


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ").rstrip(".") + "."


def _may_be_deep(values: list[Any]) -> bool:
    """Whether one of them nests deeper than it may, or holds a plain value just that deep.

    Written with indentation, each level is a column: an eighth of the cost of walking down.
    """
    try:
        return _DEEP in orjson.dumps(values, option=orjson.OPT_INDENT_2)
    except orjson.JSONEncodeError:
        # It nests deeper than orjson writes.
        return True


def _too_deep() -> Invalid:
    return Invalid.at("", "too_deep", f"The body is nested deeper than {DEPTH_MAX} levels.")


def _refuse(raw: bytes) -> None:
    """Say where the unstorable values are, if that is what is wrong with these bytes.

    Raises:
        Invalid: there are some.
    """
    try:
        value = json.loads(
            raw, parse_int=_int, parse_float=_float, parse_constant=lambda _: _NOT_A_NUMBER
        )
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        return
    errors = list(_unstorable(value, ()))
    if errors:
        raise Invalid(errors[:ERRORS_MAX])


def _int(digits: str) -> object:
    if len(digits) > len(str(INT_MIN)) or not INT_MIN <= int(digits) <= INT_MAX:
        return _NOT_A_NUMBER
    return 0


def _float(digits: str) -> object:
    return _NOT_A_NUMBER if abs(float(digits)) == float("inf") else 0.0


def _unstorable(value: Any, at: tuple[str | int, ...]) -> Iterator[FieldError]:
    if len(at) >= DEPTH_MAX and isinstance(value, dict | list):
        yield FieldError(
            pointer=pointer_of(at),
            code="too_deep",
            detail=f"The body is nested deeper than {DEPTH_MAX} levels.",
        )
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from _text(name, (*at, name))
            if name.startswith("$"):
                yield FieldError(
                    pointer=pointer_of((*at, name)),
                    code="name_forbidden",
                    detail="A name must not begin with a dollar sign.",
                )
            yield from _unstorable(child, (*at, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _unstorable(child, (*at, index))
    elif isinstance(value, str):
        yield from _text(value, at)
    elif value is _NOT_A_NUMBER:
        yield FieldError(
            pointer=pointer_of(at),
            code="number_out_of_range",
            detail="A number must be finite, and an integer must fit into 64 bits.",
        )


def _text(text: str, at: tuple[str | int, ...]) -> Iterator[FieldError]:
    if "\0" in text:
        yield FieldError(
            pointer=pointer_of(at).replace("\0", "?"),
            code="nul",
            detail="Text must not hold the character NUL.",
        )
    if HALF_CHARACTER.search(text):
        yield FieldError(
            pointer=pointer_of(at),
            code="half_character",
            detail="Text must not hold half of a surrogate pair.",
        )
