"""Files and functions stay small enough to be read at once."""

import ast
from collections.abc import Iterator

import pytest

from tests.house.repository import files_in, read

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
FOLDERS = ("cdp", "deployments", "benchmarks", "docs", "examples", "tests")


def long_functions(source: str) -> Iterator[str]:
    """The functions that are too long, with their length."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.name}: {lines} lines"


def test_no_file_is_too_long():
    sizes = {path: read(path).count("\n") for path in files_in(*FOLDERS, suffix=".py")}

    assert len(sizes) > 100
    assert [f"{path}: {n} lines" for path, n in sizes.items() if n > FILE_LINES_MAX] == []


def test_no_function_is_too_long():
    found = [
        f"{path}: {function}"
        for path in files_in(*FOLDERS, suffix=".py")
        for function in long_functions(read(path))
    ]

    assert found == []


@pytest.mark.parametrize(("lines", "found"), [(59, []), (60, ["f: 61 lines"])])
def test_a_long_function_is_found(lines, found):
    source = "async def f():\n" + "    pass\n" * lines

    assert list(long_functions(source)) == found
