"""The tree keeps its order: what is where, and what may not be in it."""

import ast
import re
import sys

import pytest

from cdp.storage.migrations import MIGRATIONS
from tests.house.repository import GENERATED_SUFFIXES, ROOT, files, files_in, read

NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "misc", "base", "core", "manager", "types"}
PURE = ("cdp.domain", "cdp.channels", "cdp.errors")
"""What domain may import of ours."""

# Spelt in two halves, so that this file does not hold what it looks for.
FORBIDDEN = [
    re.compile(first + second, re.IGNORECASE)
    for first, second in (
        (r"/wo", r"rk/"),
        (r"/ro", r"ot/"),
        (r"/ho", r"me/(?!ray\b|ubuntu\b)"),
        (r"files\.python", r"hosted"),
        (r"py", r"pi\.org"),
        (r"\bcla", r"ude\b"),
        (r"\banth", r"ropic\b"),
        (r"\bagen", r"tic\b"),
        (r"\bco-auth", r"ored-by\b"),
        (r"\bissue ", r"#?\d+\b"),
    )
]


def test_no_migration_is_missing():
    numbers = [number for number, _ in MIGRATIONS]
    modules = [p.stem for p in files_in("cdp", suffix=".py") if p.parent.name == "migrations"]
    numbered = sorted(int(m[1:5]) for m in modules if re.fullmatch(r"m\d{4}_\w+", m))

    assert numbers == list(range(1, len(numbers) + 1))
    assert numbered == numbers


def imports(source):
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            yield node.module


def foreign(source, *, pure=PURE):
    """What a file of the domain must not import."""
    return [
        name
        for name in imports(source)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not any(name == ours or name.startswith(f"{ours}.") for ours in pure)
    ]


def test_the_domain_imports_only_the_standard_library():
    paths = [p for p in files_in("cdp", suffix=".py") if p.parts[1] == "domain"]
    found = [f"{path}: {name}" for path in paths for name in foreign(read(path))]

    assert len(paths) > 10
    assert found == []


def test_file_formats_import_only_the_standard_library_the_domain_and_errors():
    pure = ("cdp.file_formats", "cdp.domain", "cdp.errors")
    paths = [p for p in files_in("cdp", suffix=".py") if p.parts[1] == "file_formats"]
    found = [f"{path}: {name}" for path in paths for name in foreign(read(path), pure=pure)]

    assert len(paths) > 10
    assert found == []


def test_a_foreign_import_is_found():
    source = "import os, ray.serve\ndef f():\n    from cdp.storage import database\n"

    assert foreign(source) == ["ray.serve", "cdp.storage"]


def test_the_domain_asks_no_clock_and_draws_no_number():
    paths = [p for p in files_in("cdp", suffix=".py") if p.parts[1] in ("domain", "channels")]
    impure = {"time", "random", "secrets", "os", "asyncio", "threading", "socket", "subprocess"}

    found = [f"{p}: {name}" for p in paths for name in imports(read(p)) if name in impure]

    assert found == []


def test_every_module_has_a_name_that_says_what_is_in_it():
    names = [
        path
        for path in files_in("cdp", "deployments", suffix=".py")
        if path.stem in NAMES_THAT_SAY_NOTHING or path.parent.name in NAMES_THAT_SAY_NOTHING
    ]

    assert names == []


def test_every_module_says_what_it_is_for():
    paths = files_in("cdp", "deployments", "benchmarks", "docs", suffix=".py")
    silent = [
        path
        for path in paths
        if path.name != "__init__.py" and not ast.get_docstring(ast.parse(read(path)))
    ]

    assert silent == []


@pytest.mark.parametrize("pattern", FORBIDDEN, ids=[f.pattern for f in FORBIDDEN])
def test_nothing_tells_of_one_machine_or_of_how_it_was_made(pattern):
    found = []
    for path in files():
        if path.suffix in GENERATED_SUFFIXES or (ROOT / path).stat().st_size > 1_000_000:
            continue
        text = (ROOT / path).read_bytes().decode("utf-8", errors="replace")
        found += [f"{path}: {match[0]}" for match in pattern.finditer(text)]

    assert found == []
