"""L1: Hypothesis looks for an order of doings on a real MongoDB in which a rule breaks.

Every doing works with copies of the items that may be long stale, as a shard's memory is. Workers
hold what they have claimed until they are told to answer, are forgotten, or answer too late. The
clock moves only when it is told to. After each doing the log is audited, at the end all is settled.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cdp.domain.campaign import CampaignAct
from cdp.domain.dead_letter import DeadLetterFilter
from cdp.domain.event import EventName, Status
from cdp.domain.ids import text_of
from cdp.domain.lane import Priority
from cdp.services.engagement_queue import Engagement
from cdp.storage.database import Database
from tests.faults.holding_provider import OUTCOMES
from tests.faults.state_machine_life import LEASE_S, Life
from tests.integration.conftest import Embedded
from tests.integration.http.services import HeldClock
from tests.integration.rules.campaign_rig import SPRING
from tests.integration.rules.rig import Rig, accept, recorded
from tests.integration.verification_world import request_of

EXAMPLES, STEPS = 30, 40
A = CampaignAct


class Machine(RuleBasedStateMachine):
    """The doings."""

    loop: asyncio.AbstractEventLoop
    rig: Rig
    clock: HeldClock
    copies = Bundle("copies")

    def run(self, doing: Any) -> Any:
        """Let a doing happen, on the one loop that all examples share."""
        return self.loop.run_until_complete(doing)

    @initialize(target=copies, started=st.booleans())
    def begin(self, started):
        self.life = Life(self.rig, self.clock)
        self.client_id = self.run(self.life.begin())
        if started:
            self.run(self.life.act(self.client_id, A.START))
            self.run(self.life.see_campaigns())
        plain = self.accepted(request_of(self.client_id, recipients=3))
        return multiple(
            *plain, *self.accepted(request_of(self.client_id, recipients=3, campaign=SPRING))
        )

    def accepted(self, request):
        """Copies of what a request was accepted as."""
        items = self.run(accept(self.life.api, [request]))
        self.life.told.add(text_of(request.id))
        self.life.requests |= {item.result_id: request for item in items}
        return items

    @rule(
        target=copies,
        recipients=st.integers(1, 5),
        keyed=st.booleans(),
        delay_s=st.sampled_from([None, None, 30, 700]),
        expires_s=st.sampled_from([None, None, None, 50, 200]),
        priority=st.sampled_from(list(Priority)),
        campaign=st.sampled_from([None, SPRING, SPRING]),
    )
    def post(self, recipients, keyed, delay_s, expires_s, priority, campaign):
        now = self.clock.now()
        fields: dict[str, Any] = {"priority": priority, "campaign": campaign}
        if keyed:
            fields |= {"idempotency_key": os.urandom(4).hex(), "body_hash": b"h"}
        if delay_s is not None:
            fields["send_at"] = now + timedelta(seconds=delay_s)
        if expires_s is not None:
            fields["expires_at"] = now + timedelta(seconds=expires_s)
        request = request_of(self.client_id, recipients=recipients, **fields)
        return multiple(*self.accepted(request))

    @rule(item=copies)
    def repeat(self, item):
        again = self.run(accept(self.life.api, [self.life.requests[item.result_id]]))
        assert item.result_id in {i.result_id for i in again}

    @rule(target=copies, item=copies)
    def look(self, item):
        """What a poll would bring."""
        stored = self.run(self.life.wiring.results.items_across_clients([item.result_id]))
        return stored[item.result_id]

    @rule(items=st.lists(copies, min_size=1, max_size=5), handed_over=st.booleans())
    def decide(self, items, handed_over):
        self.run(self.life.decide(items, handed_over=handed_over))

    @rule(index=st.integers(0, 1))
    def hand_over_late(self, index):
        """A shard that is no longer asked hands over what it once queued."""

        async def handed() -> None:
            stale = {item.result_id: item for item in self.life.queued[-8:]}
            await self.life.services[index].deliver(list(stale.values()))
            await self.life.all_held()

        self.run(handed())

    @rule()
    def poll(self):
        async def pulled() -> None:
            await self.life.shard.own_all()
            await self.life.shard.step()
            await self.life.all_held()

        self.run(pulled())

    @rule(index=st.integers(0, 1), kind=st.sampled_from(sorted(OUTCOMES)))
    def answer(self, index, kind):
        async def answered() -> None:
            await self.life.all_held()
            self.life.providers[index].answer(kind)
            await recorded(self.life.services[index])

        self.run(answered())

    @rule(index=st.integers(0, 1), taken=st.booleans())
    def crash(self, index, taken):
        self.run(self.life.crash(index, taken))

    @rule(is_sure=st.booleans())
    def come_back(self, is_sure):
        """Workers that were thought dead answer after all; what was taken is long decided."""

        async def late() -> None:
            for provider, _, taken in self.life.crashed:
                provider.ledger = []
                known = "accepted" if taken else "transient"
                provider.answer(known if is_sure else "lost-unknown")
            # Whether they win or lose the outcome's number: then they hold nothing any more.
            await recorded(*(service for _, service, _ in self.life.crashed))

        self.run(late())

    @rule(seconds=st.sampled_from([1, 11, LEASE_S / 2, LEASE_S + 1]))
    def time_passes(self, seconds):
        self.clock.advance(timedelta(seconds=seconds))

    @rule(items=st.lists(copies, min_size=1, max_size=3))
    def renew(self, items):
        sending = [i for i in items if i.status is Status.SENDING]
        until = self.clock.now() + timedelta(seconds=LEASE_S)
        self.run(self.life.wiring.communications.show_sending(sending, until=until))

    @rule(item=copies)
    def cancel(self, item):
        service = self.life.api.communications
        after = self.run(service.cancel(self.client_id, [item.result_id], metadata={"by": "api"}))
        if after[item.result_id].status is Status.CANCELLED:
            self.life.cancelled.add(item.result_id)

    @rule(
        item=copies,
        change=st.sampled_from([{"send_at": None}, {"expires_at": None}, {"priority": 0}, {}]),
        later_s=st.sampled_from([None, 20, 500]),
    )
    def reschedule(self, item, change, later_s):
        if later_s is not None:
            change = change | {"send_at": self.clock.now() + timedelta(seconds=later_s)}
        service = self.life.api.communications
        self.run(service.reschedule(self.client_id, [item.result_id], change=change))

    @rule(items=st.lists(copies, min_size=1, max_size=5))
    def replay(self, items):
        """What a copy says was given up, whatever has become of it since, and everything else."""
        service = self.life.api.dead_letter_service()
        one_each = list({item.result_id: item for item in items}.values())
        self.run(service.replay(one_each, by="copies"))
        dead = self.run(service.oldest(self.client_id, DeadLetterFilter(), limit=3))
        outcomes = self.run(service.replay(dead, by="stored"))
        assert all(opened for _, opened in outcomes)

    @rule(act=st.sampled_from([A.START, A.RESUME, A.CLOSE]))
    def act_on_the_campaign(self, act):
        self.run(self.life.act(self.client_id, act))

    @rule()
    def pause_the_campaign(self):
        self.run(self.life.act(self.client_id, A.PAUSE))

    @precondition(lambda self: hasattr(self, "life") and len(self.life.requests) > 25)
    @rule()
    def cancel_the_campaign(self):
        self.run(self.life.act(self.client_id, A.CANCEL))

    @rule(index=st.sampled_from([None, 0, 1]))
    def see_campaigns(self, index):
        self.run(self.life.see_campaigns(index))

    @rule(item=copies)
    def open(self, item):
        seen = Engagement(result_id=item.result_id, name=EventName.OPENED, at=self.clock.now())
        self.run(self.life.tracking.record([seen]))

    @rule(item=consumes(copies))
    def forget(self, item):
        """A copy is dropped from memory."""

    @invariant()
    def the_log_keeps_the_rules(self):
        if hasattr(self, "life"):
            found = self.run(self.life.wiring.verification_service().discrepancies())
            assert [v for v in found if v.rule != "V13"] == []
            assert max(self.life.begun.values(), default=1) == 1
            if self.life.held_since is not None:
                # Whatever was queued, handed over late or retried: nothing of it has begun since.
                assert self.life.begun_of_campaign() <= self.life.held_since

    def teardown(self):
        if not hasattr(self, "life"):
            return
        try:
            self.run(self.life.settle())
            with tempfile.TemporaryDirectory() as folder:
                verification = self.run(self.life.books(Path(folder)))
            assert verification.violations == ()
            ids = list(self.life.cancelled)
            stored = self.run(self.life.wiring.results.items_across_clients(ids))
            assert all(item.status is Status.CANCELLED for item in stored.values())
        finally:
            self.run(end_all())


async def end_all() -> None:
    """Forget the workers that wait for an answer for ever."""
    waiting = [task for task in asyncio.all_tasks() if "DeliveryBatch" in repr(task)]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.fixture
def machine(rules_mongod: Embedded) -> Iterator[type[Machine]]:
    """The machine with a loop of its own, which no test's loop may run beside."""
    loop = asyncio.new_event_loop()
    admin = Database(rules_mongod.mongo_uri("admin"), component="test-admin")
    Machine.rig, Machine.loop = Rig(embedded=rules_mongod, admin=admin), loop
    Machine.clock = HeldClock()
    yield Machine
    for wiring in Machine.rig.processes:
        loop.run_until_complete(wiring.close())
    loop.run_until_complete(admin.close())
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
    loop.close()


def test_no_order_of_doings_breaks_a_rule(machine, rules_admin):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            # Without shrinking's hundreds of reruns a failure says soon enough what it is.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
        ),
    )
