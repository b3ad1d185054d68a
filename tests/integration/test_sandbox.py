"""T1 to T5 with real children: what a hostile template does to them, and what to its neighbours."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any

import pytest
import pytest_asyncio

from cdp.ports.renderer import (
    Rendered,
    RenderFault,
    RenderItem,
    RenderOutcome,
    RenderRefusal,
    TemplateSource,
)
from cdp.rendering import limits
from cdp.rendering.sandbox import RendererUnavailable, SandboxedRenderer

# The promise is one second; the rest is for machines that have other things to do.
STOPPED_WITHIN_S = 3.0

BOMBS = {
    "loops": "{% for i in range(99000) %}{% set a = range(100000)|sum %}{% endfor %}",
    "macros": (
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(99) }}"
    ),
    "lists": "{% set a = range(100000)|list %}" + "{% set a = a + a %}" * 40,
    "doubling": "{% set a = 'x' * 10000 %}" + "{% set a = a ~ a %}" * 40 + "{{ a|length }}",
    "replacing": (
        "{% set a = 'x' * 10000 %}{% set a = a|replace('x', a) %}{{ a|replace('x', a)|length }}"
    ),
    "joining": "{% set a = 'x' * 10000 %}{% set a = (range(100000)|join(a))|list %}",
    "mapping": "{% set a = range(50000)|map('string')|map('upper')|sort|unique|list %}" * 99,
    "json": "{% set a = [1, 2] %}" + "{% set a = [a, a] %}" * 40 + "{{ a|tojson|length }}",
    "tags": "{{ ('<' * 10000)|replace('<', '<!--' * 2000)" + "|striptags" * 20 + "|length }}",
}

GOOD = TemplateSource(key="good", parts={"subject": "Hi {{ name }}", "html": "<b>{{ name }}</b>"})


@pytest_asyncio.fixture(scope="module")
async def renderer() -> AsyncIterator[SandboxedRenderer]:
    renderer = SandboxedRenderer()
    await renderer.check(GOOD)
    yield renderer
    await renderer.close()


def good(name: Any = "Bo") -> RenderItem:
    return RenderItem(source=GOOD, context={"name": name})


def item(source: str, **context: Any) -> RenderItem:
    return RenderItem(source=TemplateSource(key=source, parts={"text": source}), context=context)


def fault(outcome: RenderOutcome | None) -> RenderFault | None:
    return outcome.fault if isinstance(outcome, RenderRefusal) else None


def names(outcomes: Sequence[RenderOutcome]) -> list[str]:
    return [o.parts["subject"].removeprefix("Hi ") for o in outcomes if isinstance(o, Rendered)]


async def test_a_batch_is_rendered_in_order(renderer):
    outcomes = await renderer.render([good(f"n{n}") for n in range(1_000)])

    assert names(outcomes) == [f"n{n}" for n in range(1_000)]
    assert outcomes[7] == Rendered(parts={"subject": "Hi n7", "html": "<b>n7</b>"})


async def test_calls_may_overlap():
    renderer = SandboxedRenderer(children=2)

    results = await asyncio.gather(*(renderer.render([good(n)] * 300) for n in range(5)))
    pids = renderer.pids
    await renderer.close()

    assert [set(names(outcomes)) for outcomes in results] == [{str(n)} for n in range(5)]
    assert len(pids) == 2


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
async def test_t3_a_bomb_is_stopped_and_its_99_neighbours_are_rendered(renderer, bomb):
    items = [good(n) for n in range(99)]
    items.insert(50, item(bomb))

    started = perf_counter()
    outcomes = await renderer.render(items)

    assert perf_counter() - started < STOPPED_WITHIN_S
    assert fault(outcomes[50]) in {RenderFault.TIMEOUT, RenderFault.MEMORY}
    assert names(outcomes) == [str(n) for n in range(99)]


async def test_t3_bombs_in_one_batch_are_refused_one_by_one(renderer):
    outcomes = await renderer.render([good(), item(BOMBS["loops"]), good(), item(BOMBS["macros"])])

    assert [fault(outcome) is None for outcome in outcomes] == [True, False, True, False]


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
async def test_t2_a_bomb_may_be_saved_since_saving_runs_nothing(renderer, bomb):
    assert await renderer.check(TemplateSource(key="b", parts={"html": bomb})) is None


async def test_t2_nothing_is_evaluated_when_a_version_is_saved(renderer):
    source = '{% if false %}{{ "x" * 300000000 }}{{ 9 ** 9 ** 9 ** 9 }}{% endif %}'
    [pid] = renderer.pids

    assert await renderer.check(TemplateSource(key=source, parts={"html": source})) is None
    assert renderer.pids == [pid]


async def test_t2_a_source_too_large_to_compile_in_time_is_refused():
    impatient = SandboxedRenderer(compile_timeout_s=0.05)
    source = "{{ a }}" * (limits.SOURCE_CHARS_MAX // 7)

    refusal = await impatient.check(TemplateSource(key="large", parts={"html": source}))
    [outcome] = await impatient.render([good()])
    await impatient.close()

    assert fault(refusal) is RenderFault.TIMEOUT
    assert isinstance(outcome, Rendered)


@pytest.mark.parametrize("source", ["\n{{ x.__class__ }}", "\n{{ x|attr('y') }}", "\n{% if %}"])
async def test_t2_a_refusal_when_saving_names_part_and_line(renderer, source):
    refusal = await renderer.check(TemplateSource(key=source, parts={"subject": source}))

    assert refusal.fault in {RenderFault.FORBIDDEN, RenderFault.SYNTAX}
    assert (refusal.part, refusal.line) == ("subject", 2)


async def test_t4_each_limit_refuses_only_the_item_that_is_over_it(renderer):
    items = [
        item("{{ x }}{{ x }}", x="x" * 600_000),
        good(),
        item("{% for i in range(99999) %}{% endfor %}{% for i in 'ab' %}{% endfor %}"),
        good(),
        item("{{ x|length }}", x="x" * limits.CONTEXT_BYTES_MAX),
        good(),
        item("x" * (limits.SOURCE_CHARS_MAX + 1)),
        good(),
    ]

    outcomes = await renderer.render(items)

    assert [fault(outcome) for outcome in outcomes] == [
        *(RenderFault.OUTPUT_TOO_LARGE, None, RenderFault.FORBIDDEN, None),
        *(RenderFault.ERROR, None, RenderFault.FORBIDDEN, None),
    ]


async def test_t4_the_largest_output_of_many_is_delivered(renderer):
    items = [item("{{ x }}", x="x" * 900_000)] * 20

    outcomes = await renderer.render(items)

    assert {len(outcome.parts["text"]) for outcome in outcomes} == {900_000}


async def test_t5_a_missing_variable_is_named_and_its_neighbours_are_rendered(renderer):
    source = TemplateSource(key="missing", parts={"subject": "Hi", "html": "\n{{ user.name }}"})
    contexts: list[dict[str, Any]] = [{"user": {"name": "Bo"}}, {"user": {}}, {}]

    outcomes = await renderer.render([RenderItem(source=source, context=c) for c in contexts])

    assert isinstance(outcomes[0], Rendered)
    assert outcomes[1] == RenderRefusal(
        fault=RenderFault.MISSING_VARIABLE,
        detail="'user.name' is missing or null",
        part="html",
        line=2,
        variables=("user.name",),
    )
    assert isinstance(outcomes[2], RenderRefusal)
    assert outcomes[2].variables == ("user",)


async def test_t1_the_data_arrives_as_plain_json(renderer):
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    items = [
        item("{{ at }} {{ list[0] }}", at=at, list=(1, 2)),
        item("{{ m.a }}", m=MappingProxyType({"a": "b"})),
        item("{{ x }}", x=object()),
        item("{{ x }}", x={1: 2}),
        item("{{ x }}", x=2**70),
    ]

    outcomes = await renderer.render(items)

    assert outcomes[0] == Rendered(parts={"text": "2026-01-02T03:04:00+00:00 1"})
    assert outcomes[1] == Rendered(parts={"text": "b"})
    assert [fault(outcome) for outcome in outcomes[2:]] == [RenderFault.ERROR] * 3


@pytest.fixture
def open_secret(tmp_path: Path) -> Iterator[None]:
    with open(tmp_path / "secret", "w") as secret:
        os.set_inheritable(secret.fileno(), True)
        yield


@pytest.mark.usefixtures("open_secret")
async def test_t3_a_child_has_nothing_worth_stealing(monkeypatch):
    monkeypatch.setenv("CDP_SECRET", "x")
    fresh = SandboxedRenderer()
    await fresh.check(GOOD)
    [pid] = fresh.pids
    process = Path(f"/proc/{pid}")
    environment = (process / "environ").read_bytes()
    files = {os.readlink(file).partition(":")[0] for file in (process / "fd").iterdir()}
    cwd, session = os.readlink(process / "cwd"), os.getsid(pid)
    await fresh.close()

    assert environment == b""
    # The memory is the eight bytes that show how far it is.
    assert files <= {"/dev/null", "pipe", "socket", "/memfd"}
    assert cwd == "/"
    assert session == pid


@pytest.fixture
def bounds(renderer: SandboxedRenderer) -> dict[str, list[str]]:
    rows = Path(f"/proc/{renderer.pids[0]}/limits").read_text().splitlines()
    return {row[:25].strip(): row[25:].split()[:2] for row in rows}


def test_t3_the_memory_of_a_child_is_bounded_by_the_kernel(bounds):
    assert bounds["Max address space"] == [str(512 * 1024 * 1024)] * 2
    assert bounds["Max open files"] == [str(limits.FILES_MAX)] * 2
    assert bounds["Max core file size"] == ["0", "0"]


async def test_t3_out_of_memory_is_refused_without_a_death_if_there_is_time():
    patient = SandboxedRenderer(item_timeout_s=20)
    greedy = item(BOMBS["doubling"])

    outcomes = await patient.render([good(1), greedy, good(2), greedy, good(3)])
    await patient.close()

    memory = RenderFault.MEMORY
    assert [fault(outcome) for outcome in outcomes] == [None, memory, None, memory, None]


async def test_t3_a_child_that_was_killed_is_replaced(renderer):
    [pid] = renderer.pids
    os.kill(pid, signal.SIGKILL)

    assert names(await renderer.render([good()] * 3)) == ["Bo"] * 3
    assert renderer.pids != [pid]


async def test_t3_an_item_survives_one_death_from_outside():
    patient = SandboxedRenderer(item_timeout_s=30)
    slow = item("{% for i in range(300) %}{% set a = range(100000)|sum %}{% endfor %}ok")
    await patient.check(GOOD)
    [pid] = patient.pids
    rendering = asyncio.create_task(patient.render([good(1), slow, good(2)]))
    await asyncio.wait({rendering}, timeout=0.1)
    os.kill(pid, signal.SIGKILL)

    outcomes = await rendering
    await patient.close()

    assert [fault(outcome) for outcome in outcomes] == [None, None, None]
    assert patient.pids == []


async def test_t3_an_item_at_which_two_children_die_is_refused():
    patient = SandboxedRenderer(item_timeout_s=30)
    endless = item(BOMBS["loops"])
    rendering = asyncio.create_task(patient.render([good(1), endless, good(2)]))
    killed: set[int] = set()
    while len(killed) < 2:
        await asyncio.wait({rendering}, timeout=0.1)
        assert not rendering.done()
        for pid in set(patient.pids) - killed:
            await asyncio.wait({rendering}, timeout=0.1)
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)

    outcomes = await rendering
    await patient.close()

    assert [fault(outcome) for outcome in outcomes] == [None, RenderFault.MEMORY, None]


async def test_an_abandoned_call_leaves_the_renderer_usable():
    patient = SandboxedRenderer(item_timeout_s=30)
    await patient.check(GOOD)
    rendering = asyncio.create_task(patient.render([item(BOMBS["loops"])]))
    await asyncio.wait({rendering}, timeout=0.1)
    rendering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rendering

    assert names(await patient.render([good()])) == ["Bo"]
    await patient.close()


async def test_a_closed_renderer_has_no_children_and_refuses():
    patient = SandboxedRenderer(item_timeout_s=30)
    await patient.check(GOOD)
    [pid] = patient.pids
    rendering = asyncio.create_task(patient.render([item(BOMBS["loops"])]))
    await asyncio.wait({rendering}, timeout=0.1)
    await patient.close()

    with pytest.raises(RendererUnavailable):
        await rendering
    with pytest.raises(RendererUnavailable):
        await patient.render([good()])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_renderer_may_be_closed_while_a_child_starts():
    renderer = SandboxedRenderer()
    rendering = asyncio.create_task(renderer.render([good()]))
    await asyncio.wait({rendering}, timeout=0.01)
    await renderer.close()

    with pytest.raises(RendererUnavailable):
        await rendering
    assert renderer.pids == []


async def test_a_renderer_that_cannot_start_a_child_says_so(monkeypatch):
    hurried = SandboxedRenderer(start_timeout_s=0.001)
    with pytest.raises(RendererUnavailable):
        await hurried.render([good()])
    await hurried.close()

    for executable in ("/bin/false", "/nowhere/python"):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(RendererUnavailable):
            await SandboxedRenderer().render([good()])


async def test_a_child_forgets_old_templates_and_gets_them_again(renderer):
    sources = [
        TemplateSource(key=f"v{n}", parts={"subject": f"Hi {n} {{{{ name }}}}"})
        for n in range(limits.KNOWN_SOURCES_MAX + 50)
    ]
    items = [RenderItem(source=source, context={"name": "Bo"}) for source in sources]

    for _ in range(2):
        outcomes = await renderer.render(items)
        assert names(outcomes) == [f"{n} Bo" for n in range(len(sources))]


async def test_another_text_under_the_same_key_is_not_mistaken(renderer):
    sources = [TemplateSource(key="draft", parts={"subject": text}) for text in ("a", "b", "a")]

    outcomes = await renderer.render([RenderItem(source=s, context={}) for s in sources])

    assert names(outcomes) == ["a", "b", "a"]


ORPHAN = """
import asyncio
from cdp.ports.renderer import RenderItem, TemplateSource
from cdp.rendering.sandbox import SandboxedRenderer

async def main():
    renderer = SandboxedRenderer(item_timeout_s=60)
    bomb = TemplateSource(key="bomb", parts={"text": BOMB})
    await renderer.check(bomb)
    print(renderer.pids[0], flush=True)
    await renderer.render([RenderItem(source=bomb, context={})])

asyncio.run(main())
"""


def test_t3_children_die_with_their_parent_even_at_work():
    program = ORPHAN.replace("BOMB", repr(BOMBS["loops"]))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        pidfd = os.pidfd_open(pid)
        parent.kill()
        ended, _, _ = select.select([pidfd], [], [], 10)
        os.close(pidfd)

    assert ended
