"""L0: the seeded simulation, small.

A soak: SIMULATION_SEEDS=10000 .venv/bin/pytest tests/unit/test_simulation.py -k books
One seed, told: SIMULATION_SEED=17 .venv/bin/pytest -s tests/unit/test_simulation.py -k books

The names do not begin with CDP_, which are the platform's own settings.
"""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from pymongo.errors import AutoReconnect, BulkWriteError

from cdp.domain.event import EventName, Status
from cdp.domain.shard_state import ShardState
from cdp.services.communication_service import CommunicationService
from cdp.services.queueing_service import QueueingService
from cdp.testing.memory_store import DriverErrors
from cdp.testing.simulated_platform import LIMITS, Parts
from cdp.testing.simulation import simulate

ERRORS = DriverErrors(cut=AutoReconnect, bulk=BulkWriteError)
STEPS = 100
CHUNK = 20
SEEDS = int(os.environ.get("SIMULATION_SEEDS", "160"))
ONLY = os.environ.get("SIMULATION_SEED")
SEEDS_TO_FIND_A_MISTAKE = 60

chunks = [range(n, min(n + CHUNK, SEEDS)) for n in range(0, SEEDS, CHUNK)]
if ONLY is not None:
    chunks = [range(int(ONLY), int(ONLY) + 1)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seeds", chunks, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_whatever_happens_the_books_balance(seeds):
    for seed in seeds:
        outcome = simulate(seed, steps=STEPS, errors=ERRORS, story=ONLY is not None)

        if ONLY is not None:
            sys.stdout.write("\n".join([*outcome.story, ""]))
        assert not outcome.violations, report(outcome)


def report(outcome):
    """What went wrong, and how to see it again."""
    command = (
        f"SIMULATION_SEED={outcome.seed} .venv/bin/pytest -s tests/unit/test_simulation.py -k books"
    )
    lines = [f"seed {outcome.seed} breaks {len(outcome.violations)} promises:"]
    lines += [f"  {violation}" for violation in outcome.violations[:10]]
    return "\n".join([*lines, f"Run only this seed, with its story: {command}"])


def test_the_same_seed_is_the_same_run_in_every_process():
    program = (
        "from pymongo.errors import AutoReconnect, BulkWriteError;"
        "from cdp.testing.memory_store import DriverErrors;"
        "from cdp.testing.simulation import simulate;"
        "errors = DriverErrors(cut=AutoReconnect, bulk=BulkWriteError);"
        f"print(simulate(5, steps={STEPS}, errors=errors).fingerprint)"
    )

    # Beside each other and beside this one.
    others = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("1", "2")
    ]
    here = simulate(5, steps=STEPS, errors=ERRORS).fingerprint

    assert [other.communicate(timeout=60)[0].strip() for other in others] == [here, here]


def test_another_seed_is_another_run():
    first, second = (simulate(seed, steps=STEPS, errors=ERRORS) for seed in (1, 2))

    assert first.fingerprint != second.fingerprint
    assert first.accepted
    assert second.accepted


class SendsWhatItHasNotWon(CommunicationService):
    """Takes every claim for its own (rule D5)."""

    def __init__(self, true):
        self.__dict__.update(vars(true))

    async def advance(self, moves, **how):
        after = await super().advance(moves, **how)
        now = self._clock.now()
        return [
            move.item.after(move.name, now, move.metadata)
            if item is None and move.name is EventName.DELIVERY_ATTEMPTED
            else item
            for move, item in zip(moves, after, strict=True)
        ]


class TakesItsOtherCallsForItself(CommunicationService):
    """Marks all of its events alike, so that two of its calls both win a number (rule D4)."""

    def __init__(self, true):
        self.__dict__.update(vars(true))

    def ticket(self):
        return replace(super().ticket(), mark=self._writer)


class NeverLooksAtTheLogAgain(CommunicationService):
    """Believes its memory instead of the log when it was overtaken (rule D4)."""

    def __init__(self, true):
        self.__dict__.update(vars(true))

    async def repair(self, items):
        return [replace(item, seq=item.seq + 1) for item in items]


class GivesUpWhatIsStillHeld(QueueingService):
    """Calls a worker lost while its lease still holds (rules D6 and D7)."""

    def __init__(self, true):
        self.__dict__.update(vars(true))
        self.__dict__["_communications"] = KnowsNoLease(true._communications)

    async def prepare(self, items, *, epochs):
        return await super().prepare([hasty(item) for item in items], epochs=epochs)


class KnowsNoLease:
    """A Communication Service whose word on a lease is that it has ended."""

    def __init__(self, true):
        self._true = true

    def __getattr__(self, name):
        return getattr(self._true, name)

    async def repair(self, items):
        return [hasty(item) for item in await self._true.repair(items)]


def hasty(item):
    long_ago = item.due_at - timedelta(hours=1)
    return replace(item, due_at=long_ago) if item.status is Status.SENDING else item


class NeverPulls(ShardState):
    """Lives from hints alone, so that a lost one is a lost message (invariant 1)."""

    def pulls(self):
        return []


class KeepsEverything(ShardState):
    """Never forgets what it once knew."""

    def settle(self, result_ids):
        """Does nothing."""


MISTAKES = {
    "sends-unclaimed": (Parts(communications=SendsWhatItHasNotWon), {"D5", "D6", "V6", "V7", "V9"}),
    "shares-its-mark": (Parts(communications=TakesItsOtherCallsForItself), {"D5", "V8", "V4"}),
    "trusts-its-memory": (Parts(communications=NeverLooksAtTheLogAgain), {"V2", "V3", "V4", "bug"}),
    "gives-up-early": (Parts(queueing=GivesUpWhatIsStillHeld), {"D7"}),
    "never-pulls": (Parts(state=lambda: NeverPulls(limits=LIMITS)), {"V2"}),
    "keeps-everything": (Parts(state=lambda: KeepsEverything(limits=LIMITS)), {"P5", "V2"}),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("parts", "rules"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_platform_is_found(parts, rules):
    for seed in range(SEEDS_TO_FIND_A_MISTAKE):
        outcome = simulate(seed, steps=STEPS, errors=ERRORS, parts=parts)
        if outcome.violations:
            break

    found = {violation.split(":")[0] for violation in outcome.violations}
    assert found & rules, found
