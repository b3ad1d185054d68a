"""What the finished content of a channel is: texts by the names of its parts."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

DATA_DEPTH_MAX: Final = 32

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")

Parts = Mapping[str, str]
"""Part name to text, such as `subject`, `html`, `text`. A part that is not there has no entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentFault:
    """Why finished content can't be sent. It never holds a word of the content."""

    code: str
    part: str
    detail: str


class UnfitContent(ValueError):
    """The content can't be sent on its channel."""

    def __init__(self, code: str, part: str, detail: str) -> None:
        super().__init__(f"{part}: {detail}")
        self.fault = ContentFault(code=code, part=part, detail=detail)


def require(parts: Parts, *names: str) -> None:
    """Refuse content without any of these parts, or with nothing but space in them.

    Raises:
        UnfitContent: so it is.
    """
    if not any(parts.get(name, "").strip() for name in names):
        raise UnfitContent("content_empty", names[0], f"There is no {' or '.join(names)}.")


def require_at_most(parts: Parts, name: str, *, octets: int) -> None:
    """Refuse a part that is too long.

    Raises:
        UnfitContent: it is.
    """
    if len(parts.get(name, "").encode("utf-8", "surrogatepass")) > octets:
        raise UnfitContent("content_too_large", name, f"It is longer than {octets} bytes.")


def json_object(parts: Parts, name: str) -> dict[str, Any]:
    """The JSON object that a part is; an empty one where there is no such part.

    Raises:
        UnfitContent: it is something else, or holds what cannot be kept.
    """
    value = json_value(parts, name) if name in parts else {}
    if not isinstance(value, dict):
        raise UnfitContent("content_not_json", name, "It is not a JSON object.")
    if not _can_be_kept(value, DATA_DEPTH_MAX):
        detail = "It holds half a character, NUL, a number beyond 64 bits, or is too deep."
        raise UnfitContent("content_invalid", name, detail)
    return value


def _can_be_kept(value: Any, depth: int) -> bool:
    """Whether MongoDB and every reader of JSON take it, as what comes over HTTP is (a template may
    write what no caller could send).
    """
    if isinstance(value, str):
        return not _UNSTORABLE.search(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return depth > 0 and all(
            _can_be_kept(each, depth - 1) for pair in value.items() for each in pair
        )
    if isinstance(value, list):
        return depth > 0 and all(_can_be_kept(each, depth - 1) for each in value)
    return True


def json_value(parts: Parts, name: str) -> Any:
    """The JSON value that a part is.

    Raises:
        UnfitContent: it is not JSON, as RFC 8259 has it.
    """
    try:
        return json.loads(parts[name], parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise UnfitContent("content_not_json", name, "It is not JSON.") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
