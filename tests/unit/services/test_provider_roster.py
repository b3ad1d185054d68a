"""Who gets a message: the first of its providers that is trusted, another after a failure."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.breaker import Breaker
from cdp.ports.provider import Accepted, FailureClass, Rejected, Unknown
from cdp.services.provider_roster import (
    IDLE_S,
    Account,
    OpenProvider,
    ProviderRoster,
    choose,
    in_turn,
    is_trouble,
)
from tests.unit.domain.items import item

NOW = 100.0


def opened(name: str, **more: Any) -> OpenProvider:
    return OpenProvider(name=name, provider=object(), **more)  # type: ignore[arg-type]


def in_trouble(name: str) -> OpenProvider:
    breaker = Breaker()
    for _ in range(5):
        breaker.note(True, now=NOW)
    return opened(name, breaker=breaker)


def test_the_first_provider_gets_all_while_it_is_trusted():
    first, second = opened("first"), opened("second")
    items = [item(n) for n in range(5)]

    chosen = choose(items, [[first, second]] * 5, now=NOW)

    assert set(chosen.values()) == {first}
    assert len(chosen) == 5


def test_what_one_in_trouble_may_not_take_the_next_gets():
    first, second = in_trouble("first"), opened("second")
    items = [item(n) for n in range(5)]

    now = choose(items, [[first, second]] * 5, now=NOW)
    probing = choose(items, [[first, second]] * 5, now=NOW + 60)

    assert set(now.values()) == {second}
    assert Counter(each.name for each in probing.values()) == {"first": 1, "second": 4}


def test_without_a_trusted_provider_an_item_is_left_out():
    assert choose([item(1), item(2)], [[in_trouble("only")], []], now=NOW) == {}


def test_after_a_failure_the_next_provider_has_its_turn():
    route = [opened(name) for name in ("a", "b", "c")]

    def names(failed_by):
        return "".join(each.name for each in in_turn(route, failed_by))

    assert [names(f) for f in (None, "a", "b", "c", "gone")] == ["abc", "bca", "cab", "abc", "abc"]
    [chosen] = choose([replace(item(1), failed_by="a")], [route], now=NOW).values()
    assert chosen.name == "b"


@given(st.lists(st.lists(st.integers(0, 3), unique=True), max_size=30), st.data())
def test_nobody_gets_what_is_not_its_and_no_item_that_has_somebody_is_left_out(routes, data):
    pool = [opened(f"p{n}") if data.draw(st.booleans()) else in_trouble(f"p{n}") for n in range(4)]
    items = [item(n) for n in range(len(routes))]

    chosen = choose(items, [[pool[n] for n in route] for route in routes], now=NOW)

    for each, route in zip(items, routes, strict=True):
        trusted = [pool[n] for n in route if pool[n].breaker.state == "closed"]
        assert chosen.get(each.result_id) == (trusted[0] if trusted else None)


@pytest.mark.parametrize(
    ("outcome", "trouble"),
    [
        (Accepted(), False),
        (Unknown(code="timeout"), True),
        (Rejected(failure=FailureClass.ADDRESS, code="550"), False),
        (Rejected(failure=FailureClass.TRANSIENT, code="500"), False),
        (Rejected(failure=FailureClass.TRANSIENT, code="connect_failed"), True),
        (Rejected(failure=FailureClass.THROTTLED, code="429"), True),
        (Rejected(failure=FailureClass.CONFIG, code="401"), True),
    ],
)
def test_what_speaks_against_a_provider(outcome, trouble):
    assert is_trouble(outcome) is trouble


def test_where_each_message_has_a_host_of_its_own_none_speaks_for_the_others():
    webhooks = opened("webhooks", has_many_hosts=True)
    refused = Rejected(failure=FailureClass.TRANSIENT, code="connect_failed")

    for _ in range(50):
        webhooks.note(refused, now=NOW)

    assert webhooks.breaker.state == "closed"


class Vendor:
    """A provider that notes when it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = NOW

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """A roster over accounts that can be changed."""

    def __init__(self) -> None:
        self.clock = Time()
        self.accounts = [Account(key="k", version=1, name="mail", kind="email.smtp")]
        self.opened: dict[int, Vendor] = {}
        self.roster = ProviderRoster(routing=self._route, open_account=self._open, clock=self.clock)

    async def _route(self, items):
        return [self.accounts] * len(items)

    def _open(self, account):
        if account.kind == "email.broken":
            raise ValueError("its settings are unfit")
        assert account.version not in self.opened
        self.opened[account.version] = Vendor()
        return self.opened[account.version]


async def test_a_provider_is_opened_once_and_closed_when_its_account_has_changed():
    world = World()
    [[first]] = await world.roster.routes([item(1)])
    [[same]] = await world.roster.routes([item(2)])

    world.accounts = [replace(world.accounts[0], version=2)]
    [[second]] = await world.roster.routes([item(3)])
    world.clock.at += IDLE_S + 1
    await world.roster.routes([item(4)])
    await world.roster.close()

    assert first is same
    assert first is not second
    assert world.opened[1].is_closed
    assert world.opened[2].is_closed
    assert world.roster.states() == {}


async def test_one_that_is_in_use_is_not_closed():
    world = World()
    [[first]] = await world.roster.routes([item(1)])
    first.in_use += 1
    world.accounts = []
    world.clock.at += IDLE_S + 1

    await world.roster.routes([item(2)])

    assert not world.opened[1].is_closed


async def test_one_that_can_not_be_opened_is_left_out_and_not_tried_at_every_message():
    world = World()
    world.accounts = [
        Account(key="b", version=1, name="broken", kind="email.broken"), *world.accounts
    ]  # fmt: skip

    for _ in range(3):
        [route] = await world.roster.routes([item(1)])
        assert [each.name for each in route] == ["mail"]
