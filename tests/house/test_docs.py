"""The documentation holds: links resolve, commands exist, and what is named is there."""

import ast
import importlib
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer

from cdp.cli.main import app
from tests.house.repository import ROOT, make_targets, pages, read

LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
A_PATH = re.compile(
    r"(?:cdp|deployments|tests|docs|benchmarks|examples|scripts)/(?:[\w./-]*[\w/])?"
    r"|(?:serve_config|cluster)\.yaml|pyproject\.toml|requirements[\w-]*\.lock"
)
A_TEST = re.compile(r"(tests/[\w./-]+\.py)::(\w+)")
NAMES_IN = re.compile(r"((?:`[\w.]+`(?:, | and )?)+) in `((?:cdp|deployments)/[\w/]+\.py)`")
PATH_WITH_NAME = re.compile(r"`((?:cdp|deployments)/[\w/]+\.py)`: (`\w+`)")
NOT_BUILT = "not built"
SEED = "docs/reference/seed.md"


def anchors(text):
    """The anchors of a page's headings, as they are usually made."""
    prose = FENCE.sub("", text)
    return {
        re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
        for heading in HEADING.findall(prose)
    }


def broken_links(page, text):
    """The links of a page that lead to nothing in the tree. Foreign ones are not followed."""
    for target in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name
        if not path.exists():
            yield target
        elif anchor:
            other = path.read_text(encoding="utf-8") if name else text
            if anchor not in anchors(other):
                yield target


@pytest.mark.parametrize("page", pages(), ids=str)
def test_every_link_resolves(page):
    assert list(broken_links(page, read(page))) == []


def test_a_broken_link_would_be_found():
    text = "# Here\n[a](nothing.md) [b](README.md#none) [c](#here) [d](https://example.com/x)\n"

    assert list(broken_links(Path("README.md"), text)) == ["nothing.md", "README.md#none"]


def test_every_page_of_the_docs_is_in_the_index():
    index = read("docs/README.md")
    listed = {(ROOT / "docs" / target).resolve() for target in LINK.findall(index)}
    folders = {path.parent for path in listed}

    missing = [
        page
        for page in pages()
        if page.parts[0] == "docs"
        and page != Path("docs/README.md")
        and (ROOT / page).resolve() not in listed
        and (ROOT / page).resolve().parent not in folders - {(ROOT / "docs" / "decisions")}
    ]

    assert missing == []


def commands(text):
    """The lines of a page's shell blocks."""
    for language, block in FENCE.findall(text):
        if language in ("sh", "bash", "shell", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                yield line.removeprefix("$ ").strip()


@cache
def command_tree():
    return typer.main.get_command(app)


def unknown_command(line):
    """What in a line is no target of the Makefile or no command or option of `cdp`."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return None
    if not words:
        return None
    if words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        unknown = set(targets) - make_targets(read("Makefile"))
        return f"make {' '.join(sorted(unknown))}" if unknown else None
    if Path(words[0]).name == "cdp":
        return unknown_cdp(words[1:])
    return None


def unknown_cdp(words):
    node = command_tree()
    for position, word in enumerate(words):
        children = getattr(node, "commands", None)
        if children is not None:
            if word == "--help":
                return None
            if word not in children:
                return f"cdp {' '.join(words[: position + 1])}"
            node = children[word]
        elif word.startswith("-") and word != "--help":
            options = {o for p in node.params for o in (*p.opts, *p.secondary_opts)}
            if word.partition("=")[0] not in options:
                return f"cdp {' '.join(words[: position + 1])}"
    return None


@pytest.mark.parametrize("page", pages(), ids=str)
def test_every_command_exists(page):
    found = [unknown_command(line) for line in commands(read(page))]

    assert [command for command in found if command] == []


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("make demo KEEP=1", None),
        ("make nothing", "make nothing"),
        ("cdp status", None),
        ("cdp fly", "cdp fly"),
        ("cdp verify --settled", None),
        ("cdp verify --softly", "cdp verify --softly"),
        (".venv/bin/cdp nothing at all", "cdp nothing"),
    ],
)
def test_an_unknown_command_would_be_found(line, unknown):
    assert unknown_command(line) == unknown


def test_the_readme_names_the_two_commands():
    lines = list(commands(read("README.md")))

    assert "make demo" in lines
    assert "make test" in lines


@cache
def functions(path):
    """The functions of a file, methods too."""
    tree = ast.parse(read(path))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def missing_names(text):
    """The paths and tests in a page's code spans that are not there."""
    for span in CODE.findall(FENCE.sub("", text)):
        if (test := A_TEST.fullmatch(span)) is not None:
            path, name = test.groups()
            if not (ROOT / path).is_file() or name not in functions(path):
                yield span
        elif A_PATH.fullmatch(span) and not (ROOT / span).exists():
            yield span


@pytest.mark.parametrize("page", [page for page in pages() if page.name != "CHANGELOG.md"], ids=str)
def test_every_file_and_test_that_a_page_names_is_there(page):
    assert list(missing_names(read(page))) == []


def test_a_missing_name_would_be_found():
    text = "`cdp/nothing.py` `cdp/errors.py` `tests/house/test_docs.py::test_nothing` `nothing`"

    assert list(missing_names(text)) == [
        "cdp/nothing.py",
        "tests/house/test_docs.py::test_nothing",
    ]


def strayed_names(text):
    """What stands in no such file, though a page says so: `name` in `path`, or `path`: `name`."""
    prose = " ".join(FENCE.sub("", text).split())
    pairs = [(path, names) for names, path in NAMES_IN.findall(prose)]
    for path, names in [*pairs, *PATH_WITH_NAME.findall(prose)]:
        for name in CODE.findall(names):
            last = re.escape(name.rpartition(".")[2])
            defined = rf"^\s*(?:(?:async )?def|class) {last}\b|^\s*{last}\b\s*[:=]"
            if not re.search(defined, read(path), re.MULTILINE):
                yield f"{name} in {path}"


@pytest.mark.parametrize("page", [page for page in pages() if page.name != "CHANGELOG.md"], ids=str)
def test_every_name_stands_in_the_file_that_a_page_says(page):
    assert list(strayed_names(read(page))) == []


def test_a_strayed_name_would_be_found():
    text = "`NotFound` and `NotLost` in\n`cdp/errors.py`; `cdp/domain/lane.py`: `lane_of`"

    assert list(strayed_names(text)) == ["NotLost in cdp/errors.py"]


def wrong_imports(text):
    """What the Python programs of a page import from us that is not there."""
    for language, block in FENCE.findall(text):
        for node in ast.walk(ast.parse(block if language == "python" else "")):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cdp."):
                module = importlib.import_module(node.module)
                yield from (a.name for a in node.names if not hasattr(module, a.name))


@pytest.mark.parametrize("page", pages(), ids=str)
def test_every_program_imports_what_is_there(page):
    assert list(wrong_imports(read(page))) == []


def test_a_wrong_import_would_be_found():
    text = "```python\nfrom cdp.errors import NotFound, NotLost\n```\n"

    assert list(wrong_imports(text)) == ["NotLost"]


def seed_rows():
    """The rows of the seed's tables: what it says, where it is, which tests prove it."""
    lines = read(SEED).splitlines()
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [cells for cells in rows if len(cells) == 3 and cells[0] not in ("seed", "---")]


def test_the_seed_is_mapped_sentence_by_sentence():
    assert len(seed_rows()) > 80


@pytest.mark.parametrize("row", seed_rows(), ids=lambda row: row[0][:60])
def test_a_sentence_of_the_seed_has_its_file_or_is_not_built(row):
    _, where, tests = row
    built = any(A_PATH.fullmatch(span) for span in CODE.findall(where))

    assert built or NOT_BUILT in where.lower()
    if built and NOT_BUILT not in where.lower():
        assert any(A_TEST.fullmatch(span) for span in CODE.findall(tests))


def test_the_readme_states_no_guarantee_without_its_test():
    section = re.search(r"^## Guarantees\n(.*?)^## ", read("README.md"), re.MULTILINE | re.DOTALL)
    assert section is not None
    rows = [line for line in section[1].splitlines() if line.startswith("| ")][2:]

    assert len(rows) >= 5
    assert [row for row in rows if not any(map(A_TEST.fullmatch, CODE.findall(row)))] == []
