"""Docs that follow from the code: every setting, event, error, metric, command and route."""

import importlib
import inspect
import re

import pytest

from cdp import errors, telemetry
from cdp.domain.event import LEGAL_AFTER, STATUS_AFTER, UNNUMBERED, EventName
from cdp.domain.file_arrival import ARRIVAL_FAULTS
from cdp.errors import CdpError
from cdp.file_formats.faults import FILE_FAULTS, ROW_FAULTS
from cdp.file_formats.text import ENCODINGS
from cdp.file_formats.warnings import FILE_WARNINGS
from cdp.http import problems
from cdp.http.problems import PROBLEMS
from cdp.rendering import environment, language
from cdp.settings import Settings
from docs import generate
from tests.house.repository import files_in, read

REFUSALS = [
    cls
    for module in (errors, problems)
    for cls in vars(module).values()
    if inspect.isclass(cls) and issubclass(cls, CdpError) and cls.__module__ == module.__name__
]
FAULTS = [
    *FILE_FAULTS.items(),
    *ROW_FAULTS.items(),
    *FILE_WARNINGS.items(),
    *ARRIVAL_FAULTS.items(),
]
NOBODY_RECORDS = "Nothing records it yet."


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_generated_page_is_current(name):
    text = read(f"docs/reference/{name}")

    assert text == generate.PAGES[name](), "run `make docs`"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is(name):
    field = Settings.model_fields[name]

    assert field.description
    assert field.description.endswith(".")
    assert f"| `CDP_{name.upper()}` |" in read("docs/reference/settings.md")


@pytest.mark.parametrize("name", EventName)
def test_every_event_has_its_place_in_the_order(name):
    assert (name in LEGAL_AFTER) != (name in UNNUMBERED)
    assert (name in LEGAL_AFTER) == (name in STATUS_AFTER)
    assert name in generate.MEANINGS
    assert f"| `{name}` |" in read("docs/reference/events.md")


@pytest.mark.parametrize("name", EventName)
def test_an_event_that_nothing_records_is_said_to_be_so(name):
    writers = files_in("cdp", suffix=".py")
    used = any(
        re.search(rf"\b(?:E|EventName)\.{name}\b", read(path))
        for path in writers
        if path.parts[1] in ("services", "http")
    )

    assert used == (NOBODY_RECORDS not in generate.MEANINGS[name])


@pytest.mark.parametrize("error", REFUSALS, ids=lambda cls: cls.__name__)
def test_every_error_has_a_sentence_and_a_status(error):
    assert "__doc__" in vars(error)
    assert error.__doc__.strip().endswith(".")
    assert error in PROBLEMS
    assert PROBLEMS[error].slug in read("docs/reference/errors.md")


def test_no_two_errors_share_a_type():
    slugs = [problem.slug for problem in PROBLEMS.values()]

    assert len(set(slugs)) == len(slugs)


def test_every_metric_that_is_counted_is_declared_and_documented():
    declared = {**telemetry.COUNTERS, **telemetry.GAUGES, **telemetry.HISTOGRAMS}
    page = read("docs/reference/metrics.md")
    used = {
        name
        for path in files_in("cdp", "deployments", suffix=".py")
        for name in re.findall(
            r"""(?:telemetry|metrics)\.(?:count|set|observe)\(\s*"(\w+)""", read(path)
        )
    }

    assert len(used) > 10
    assert used <= declared.keys()
    assert [name for name in declared if f"| `{name}" not in page] == []


def test_no_metric_is_declared_that_nobody_counts():
    declared = {**telemetry.COUNTERS, **telemetry.GAUGES, **telemetry.HISTOGRAMS}
    paths = [p for p in files_in("cdp", "deployments", suffix=".py") if p.name != "telemetry.py"]
    code = "".join(read(path) for path in paths)

    assert [name for name in declared if f'"{name}"' not in code] == []


A_LIMIT = re.compile(r"^\| .*? \| ([\d,]+)\b([^|]*)\|.*`(\w+)` in `(cdp/[\w/]+\.py)` \|$", re.M)
UNITS = {"MiB": 1024 * 1024}


@pytest.mark.parametrize(
    ("number", "unit", "name", "path"), A_LIMIT.findall(read("docs/reference/limits.md"))
)
def test_a_limit_is_as_documented(number, unit, name, path):
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    factor = UNITS.get(unit.strip(), 1)

    assert getattr(module, name) == int(number.replace(",", "")) * factor


def test_every_limit_of_the_page_is_looked_at():
    rows = [line for line in read("docs/reference/limits.md").splitlines() if "` in `cdp/" in line]

    assert len(rows) == len(A_LIMIT.findall(read("docs/reference/limits.md"))) > 20


@pytest.mark.parametrize(("code", "meaning"), FAULTS)
def test_every_fault_of_a_file_is_documented(code, meaning):
    assert f"| `{code}` | {meaning} |" in read("docs/reference/file-formats.md")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_of_a_file_is_documented(encoding):
    assert f"`{encoding}`" in read("docs/reference/file-formats.md")


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("Filters", environment._allowed_filters()),
        ("Tests", environment._allowed_tests()),
        ("Methods", language.METHODS),
    ],
)
def test_the_template_language_is_as_documented(heading, known):
    page = read("docs/reference/template-language.md")
    section = re.search(rf"^## {heading}\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    assert section is not None
    named = set(re.findall(r"`([^`.()]+)`", section[1].partition("\n\nA method")[0]))

    assert named == set(known)
