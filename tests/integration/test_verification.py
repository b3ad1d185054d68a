"""`cdp verify` against a real MongoDB: silent about what is right, loud about each wrong."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator

import psutil
import pytest
from rich.console import Console

from cdp.cli.verify import exit_code, print_verification
from cdp.domain.event import EventName
from cdp.domain.ids import ClientId, text_of
from cdp.services.verification_service import Progress, Verification
from tests.integration.conftest import Embedded, running
from tests.integration.verification_corruptions import Act
from tests.integration.verification_failure_corruptions import CORRUPTIONS
from tests.integration.verification_world import (
    LIVES,
    PENDING,
    World,
    fill,
    open_world,
    request_of,
)

E = EventName
MANY = 20_000
LOOKS_MAX, MOVED = 100, 20
RSS_GROWTH_MAX = 60 * 1024 * 1024


@pytest.fixture(scope="module")
def own_mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """The audit reads all there is, so it gets a MongoDB in which nobody else writes."""
    with running(tmp_path_factory.mktemp("verification")) as parts:
        yield parts


@pytest.fixture(scope="module")
async def filled(
    own_mongod: Embedded, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("ledgers")
    world = await open_world(
        own_mongod.mongo_uri("platform"), own_mongod.mongo_uri("admin"), folder
    )
    await fill(world)
    await world.keep()
    yield world
    await world.close()


@pytest.fixture
async def world(filled: World) -> AsyncIterator[World]:
    """A world in which every rule holds; it is made right again after the test."""
    yield filled
    await filled.restore()


def shown(verification: Verification) -> str:
    console = Console(file=io.StringIO(), width=160)
    print_verification(console, verification)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


async def test_nothing_is_found_where_every_rule_holds(world):
    verification = await world.verify()

    assert verification.violations == ()
    assert verification.is_clean
    assert exit_code(verification) == 0
    # Of each client one that is rendered, one that is queued and one that is being sent.
    assert verification.late == 6
    assert verification.never_accepted == 2
    assert verification.unknown_outcomes == 2
    assert verification.doubles == 2
    assert verification.batches == 2
    assert verification.callers == len(world.told)
    assert verification.taken == len(world.taken)


async def test_v5_the_books_say_what_became_of_everything(world):
    verification = await world.verify()

    [acme, globex] = verification.balances
    assert (acme.name, globex.name) == ("Acme", "Globex")
    assert acme.balance == globex.balance
    balance = acme.balance
    assert balance.accepted == balance.accounted == len(LIVES) + 11
    assert (balance.delivered, balance.undeliverable) == (10, 1)
    assert (balance.suppressed, balance.cancelled, balance.expired) == (1, 2, 1)
    assert (balance.scheduled, balance.waiting) == (2, 5)
    assert (balance.in_flight, balance.retrying) == (1, 2)
    assert (balance.opened, balance.clicked) == (1, 1)


async def test_the_closing_sentence_says_that_the_books_balance(world):
    text = shown(await world.verify())

    assert "The books balance: 50 accepted = 20 delivered + " in text
    assert "Acme" in text


async def test_v2_settled_finds_everything_that_is_pending(world):
    verification = await world.verify(settled=True)

    pending = {text_of(world.results[name]) for name in PENDING}
    found = {v.result_id for v in verification.violations if v.rule == "V2"}
    assert pending <= found
    assert verification.by_rule["V2"] == verification.total.pending


@pytest.mark.parametrize(
    ("rule", "act"),
    [pytest.param(rule, act, id=f"{rule.lower()}_{act.__name__}") for rule, act in CORRUPTIONS],
)
async def test_it_is_found_when(world: World, rule: str, act: Act):
    culprit = await act(world)

    verification = await world.verify()

    named = {v.result_id for v in verification.violations if v.rule == rule}
    assert named, verification.violations
    if culprit is not None:
        assert text_of(culprit) in named, verification.violations
    assert exit_code(verification) == 1
    assert f"violation{'' if verification.violations_total == 1 else 's'} (" in shown(verification)


def test_each_rule_has_a_corruption_and_there_are_more_than_twenty():
    assert {rule for rule, _ in CORRUPTIONS} == {f"V{n}" for n in range(1, 14)}
    assert len(CORRUPTIONS) > 20


async def test_only_what_was_corrupted_is_blamed(world):
    for rule, act in CORRUPTIONS:
        if rule not in ("V4", "V6", "V8", "V12"):
            continue
        culprit = await act(world)
        verification = await world.verify()
        assert {v.result_id for v in verification.violations} <= {text_of(culprit or b""), ""}, act
        await world.restore()


async def test_v7_nothing_is_asked_of_a_provider_without_a_ledger(world):
    world.taken.clear()
    without = await world.verify(provider_ledger=None)

    assert without.violations == ()
    assert without.taken == 0


async def lives_on(world: World, client_id: ClientId, stop: asyncio.Event) -> None:
    """Take in and deliver until told to stop."""
    while not stop.is_set():
        items = await world.accept([request_of(client_id, recipients=n) for n in (1, 1, 2)])
        await world.live(items, LIVES["retried"])


async def test_a_live_platform_gives_no_false_alarm(world):
    stop = asyncio.Event()
    writers = [
        asyncio.create_task(lives_on(world, client_id, stop))
        for client_id in (*world.client_ids, *world.client_ids)
    ]
    found, looked_again, accepted = [], 0, len(world.told)
    try:
        for _ in range(LOOKS_MAX):
            verification = await world.verify()
            found += verification.violations
            looked_again += verification.looked_again - verification.late
            if looked_again > MOVED and len(world.told) > accepted + MOVED:
                break
    finally:
        stop.set()
        await asyncio.gather(*writers)

    assert found == []
    assert looked_again > MOVED, "nothing moved while it was being read"
    assert (await world.verify()).violations == ()


async def test_memory_is_bounded_and_the_log_is_read_fast(world, capsys):
    for start in range(0, MANY, 2_000):
        client_id = world.client_ids[start // 2_000 % 2]
        items = await world.accept([request_of(client_id) for _ in range(2_000)])
        await world.live(items, LIVES["delivered"])
    process, sizes = psutil.Process(), []

    def look(_: Progress) -> None:
        sizes.append(process.memory_info().rss)

    before = process.memory_info().rss
    verification = await world.verify(progress=look)

    assert verification.violations == ()
    assert verification.results > MANY
    growth = max(sizes) - before
    rate = verification.events / verification.duration_s
    with capsys.disabled():
        print(  # noqa: T201 - the measurement is for people
            f"\n{verification.events:,} events of {verification.results:,} results in "
            f"{verification.duration_s:.2f} s: {rate:,.0f} events/s, "
            f"memory grew by {growth / 2**20:.0f} MiB"
        )
    assert growth < RSS_GROWTH_MAX
    assert len(sizes) > 10
