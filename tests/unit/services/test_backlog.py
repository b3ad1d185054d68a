"""Limits hold for a client and for the platform, and are given back."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.client import Client
from cdp.domain.ids import ClientId
from cdp.domain.lane import Priority
from cdp.errors import BacklogFull, Overloaded, PlatformFull
from cdp.ports.clock import SystemClock
from cdp.services.backlog import Backlog


def client(name: str = "a", backlog_max: int | None = None) -> Client:
    raw_id = ClientId(name.encode().ljust(16))
    return Client(id=raw_id, name=name, backlog_max=backlog_max, created_at=datetime.now(UTC))


def backlog(**limits: Any) -> Backlog:
    given = {"client_max": 10, "platform_max": 100, "free_disk": None} | limits
    return Backlog(clock=SystemClock(), **given)


def test_a_clients_own_limit_wins_over_the_platforms_setting():
    limits = backlog()
    limits.admit(client(backlog_max=20), 20, Priority.NORMAL)

    with pytest.raises(BacklogFull):
        limits.admit(client("b"), 11, Priority.HIGH)


def test_what_was_not_stored_is_given_back():
    limits = backlog()
    limits.admit(client(), 10, Priority.NORMAL)
    with pytest.raises(BacklogFull):
        limits.admit(client(), 1, Priority.NORMAL)

    limits.release(client(), 1)

    limits.admit(client(), 1, Priority.NORMAL)


def test_newer_counts_replace_what_was_noted():
    limits = backlog()
    limits.admit(client(), 10, Priority.NORMAL)
    limits.update(50, {client().id: 4})

    limits.admit(client(), 6, Priority.NORMAL)
    with pytest.raises(BacklogFull):
        limits.admit(client(), 1, Priority.NORMAL)


def test_urgent_messages_may_go_over_the_platforms_limit_by_a_tenth():
    limits = backlog()
    limits.update(100, {})

    with pytest.raises(PlatformFull):
        limits.admit(client(), 1, Priority.LOW)
    limits.admit(client(), 10, Priority.HIGH)
    with pytest.raises(PlatformFull):
        limits.admit(client("b"), 1, Priority.HIGH)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 8)), max_size=60))
def test_no_sequence_gets_more_in_than_the_limits(asked):
    limits = backlog(platform_max=25)
    let_in: dict[str, int] = {}
    for name, count in asked:
        try:
            limits.admit(client(name), count, Priority.NORMAL)
        except Overloaded:
            continue
        let_in[name] = let_in.get(name, 0) + count

    assert all(count <= 10 for count in let_in.values())
    assert sum(let_in.values()) <= 25
