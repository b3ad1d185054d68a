from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from cdp.errors import OutcomeUnknown
from cdp.services import outcome_recorder
from cdp.services.communication_service import Ticket
from cdp.services.outcome_recorder import Answered, OutcomeRecorder
from tests.waiting import eventually

TICKET = Ticket(mark="w#1", at=datetime(2026, 1, 1, tzinfo=UTC))


class Log:
    """Takes what it is given, but for what it can't stand."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.poison: set[str] = set()
        self.away = 0

    def ticket(self) -> Ticket:
        return TICKET

    async def advance(self, moves: list[Any], *, ticket: Ticket) -> list[Any]:
        assert ticket is TICKET
        names = [move.name for move in moves]
        if self.away:
            self.away -= 1
            raise OutcomeUnknown
        if self.poison & set(names):
            raise ValueError
        self.groups.append(names)
        return [f"after {name}" for name in names]


@pytest.fixture
def log(monkeypatch) -> Log:
    monkeypatch.setattr(outcome_recorder, "RECORD_PAUSE_S", 0.001)
    monkeypatch.setattr(outcome_recorder, "RECORD_TRIES", 5)
    return Log()


def recorder_of(log: Any, **given: Any) -> OutcomeRecorder:
    async def nothing(_: Any) -> None: ...

    return OutcomeRecorder(log, note_bounces=given.get("note_bounces", nothing))


def noted(recorder: OutcomeRecorder, *names: str, bounced: Any = None) -> dict[str, Any]:
    """What is told of each, once it is."""
    told: dict[str, Any] = {}

    def teller(name: str) -> Any:
        return lambda item: told.update({name: item})

    for name in names:
        move: Any = SimpleNamespace(name=name)
        recorder.note(Answered(move, bounced, teller(name)))
    return told


async def test_what_comes_in_one_moment_is_recorded_together_whichever_batch_it_is_of(log):
    recorder = recorder_of(log)
    one, other = noted(recorder, "a", "b"), noted(recorder, "c")

    await eventually(lambda: len(one) + len(other) == 3, within_s=5)

    assert log.groups == [["a", "b", "c"]]
    assert (one, other) == ({"a": "after a", "b": "after b"}, {"c": "after c"})


async def test_few_outcomes_wait_for_more_and_many_do_not(log, monkeypatch):
    monkeypatch.setattr(outcome_recorder, "GATHER_S", 0.2)
    few, many = recorder_of(log), recorder_of(log)
    told = noted(few, "a")
    noted(many, *(f"m{n}" for n in range(outcome_recorder.FEW)))

    await eventually(lambda: len(log.groups) == 1, within_s=5)
    told |= noted(few, "b")
    await eventually(lambda: len(log.groups) == 2, within_s=5)

    assert len(log.groups[0]) == outcome_recorder.FEW
    assert log.groups[1] == ["a", "b"]


async def test_who_hurries_takes_along_what_waits_and_leaves_no_timer(log):
    recorder = recorder_of(log)
    told = noted(recorder, "a", "b")
    recorder.hurry()
    recorder.hurry()
    later = noted(recorder, "c")

    await eventually(lambda: told and later, within_s=5)

    assert log.groups == [["a", "b"], ["c"]]


async def test_while_mongodb_is_away_all_of_them_wait(log):
    log.away = 2
    told = noted(recorder_of(log), "a", "b")

    await eventually(lambda: len(told) == 2, within_s=5)

    assert log.groups == [["a", "b"]]


async def test_what_is_wrong_with_one_does_not_cost_the_others_theirs(log):
    log.poison = {"b"}
    told = noted(recorder_of(log), "a", "b", "c")

    await eventually(lambda: len(told) == 3, within_s=5)

    assert sorted(log.groups) == [["a"], ["c"]]
    assert told == {"a": "after a", "b": None, "c": "after c"}


async def test_an_outcome_is_recorded_behind_its_bounce_and_a_bug_there_costs_no_outcome(
    log, monkeypatch
):
    monkeypatch.setattr(outcome_recorder, "BOUNCE_TRIES", 2)
    tries = 0

    async def failing(contents: Any) -> None:
        nonlocal tries
        tries += 1
        assert list(contents) == ["content"]
        assert not log.groups
        raise ValueError

    told = noted(recorder_of(log, note_bounces=failing), "a", bounced="content")

    await eventually(lambda: told, within_s=5)

    assert (tries, told) == (3, {"a": "after a"})
