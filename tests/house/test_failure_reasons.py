"""No failure without a row in the table of reasons, no row that nothing can lead to."""

import ast
from collections.abc import Iterator

import pytest

from cdp.domain import retry
from cdp.domain.failure import REASONS, Origin
from cdp.ports.provider import FailureClass
from cdp.ports.renderer import RenderFault
from tests.house.repository import files_in, read


def reasons_in(source: str) -> Iterator[str]:
    """The reasons that a file gives up for, as they stand there."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = ast.unparse(call.func)
        said = {keyword.arg: keyword.value for keyword in call.keywords}
        word: ast.expr | None = None
        if name == "Resolution":
            word = said.get("refusal")
        elif name == "GiveUp":
            word = said.get("reason")
        elif name == "UnfitContent":
            word = call.args[0]
        elif name == "Move" and ast.unparse(said["name"]).endswith("UNDELIVERABLE"):
            word = _reason_in(said["metadata"])
        if isinstance(word, ast.Constant) and isinstance(word.value, str):
            yield word.value


def _reason_in(metadata: ast.expr | None) -> ast.expr | None:
    if not isinstance(metadata, ast.Dict):
        return None
    named = zip(metadata.keys, metadata.values, strict=True)
    return next((v for k, v in named if k is not None and ast.unparse(k) == "'reason'"), None)


def words() -> set[str]:
    found = {word for path in files_in("cdp", suffix=".py") for word in reasons_in(read(path))}
    return found | set(FailureClass) | set(RenderFault) | {retry.UNKNOWN}


def test_every_reason_that_the_code_gives_is_in_the_table_and_no_other():
    assert words() == REASONS.keys()


@pytest.mark.parametrize("word", REASONS)
def test_every_reason_is_documented_with_a_sentence(word):
    assert REASONS[word].meaning.endswith(".")
    assert f"| `{word}` |" in read("docs/reference/failures.md")


def test_only_retries_have_a_class_that_depends():
    depend = {word for word, row in REASONS.items() if row.error_class is None}

    assert {REASONS[word].origin for word in depend} == {Origin.RETRIES}


def test_a_reason_is_found_where_it_is_given():
    source = (
        'Resolution(item=item, refusal="a")\nGiveUp(reason="b")\n'
        'UnfitContent("c", "text", "x")\nGiveUp(reason=failure)\n'
    )

    assert list(reasons_in(source)) == ["a", "b", "c"]
