"""Finds the codes of field errors in the code that makes them."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CDP: Final = Path(__file__).parent.parent / "cdp"
CODE_FIRST: Final = "PydanticCustomError"
"""Called with the code and the sentence."""
DEPENDS: Final = "(It says what is wrong with the value.)"


def refusal_codes() -> list[tuple[str, str]]:
    """Each code with its sentence; what depends on the case stands there as `…`."""
    found: dict[str, set[str]] = {}
    for path in sorted(CDP.rglob("*.py")):
        for code, text in _codes_in(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(code, set()).add(text)
    return [(code, " ".join(sorted(texts))) for code, texts in sorted(found.items())]


def _codes_in(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = ast.unparse(call.func)
        if name == CODE_FIRST and len(call.args) >= 2:
            code, text = call.args[:2]
        elif name == "Invalid.at" and len(call.args) == 3:
            code, text = call.args[1:]
        elif name == "FieldError":
            keywords = {keyword.arg: keyword.value for keyword in call.keywords}
            code, text = keywords["code"], keywords["detail"]
        else:
            continue
        if isinstance(code, ast.Constant):
            yield str(code.value), _shown(text)


def _shown(text: ast.expr) -> str:
    if isinstance(text, ast.Constant):
        return DEPENDS if text.value == "{why}" else _sentence(str(text.value))
    if isinstance(text, ast.JoinedStr):
        parts = (str(p.value) if isinstance(p, ast.Constant) else "…" for p in text.values)
        return _sentence("".join(parts))
    return DEPENDS


def _sentence(text: str) -> str:
    first = text.partition(" ")[0]
    begin = first if "_" in first else first[:1].upper() + first[1:]
    return begin + text[len(first) :].rstrip(".") + "."
