"""The platform of one example of the state machine: real services on a real MongoDB, held still."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from cdp.domain.breaker import Breaker
from cdp.domain.campaign import CampaignAct, Standing
from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import ClientId, ResultId
from cdp.errors import Conflict
from cdp.services.delivery_service import DeliveryService
from cdp.wiring import Wiring
from tests.faults.holding_provider import HoldingProvider
from tests.integration.http.services import HeldClock
from tests.integration.rules.campaign_rig import SPRING, make_campaign
from tests.integration.rules.conftest import empty
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import Rig, recorded
from tests.waiting import eventually

LEASE_S = 60.0


class Life:
    """One example's platform: a shard and two workers that can be replaced."""

    def __init__(self, rig: Rig, clock: HeldClock) -> None:
        self.rig, self.clock = rig, clock
        self.known: set[str] = set()
        self.wiring, self.api = self.process("shard"), self.process("api")
        self.tracking = self.wiring.delivery_tracking_service()
        self.ledger: list[dict[str, str]] = []
        self.begun: Counter[tuple[bytes, int]] = Counter()
        self.told: set[str] = set()
        self.cancelled: set[ResultId] = set()
        self.requests: dict[ResultId, CommunicationRequest] = {}
        self.providers: list[HoldingProvider] = []
        self.services: list[DeliveryService] = []
        self.workers: list[str] = []
        """The names of those whose services these are."""
        self.held_since: set[tuple[bytes, int]] | None = None
        """What had begun of the campaign when all knew that it is held; None while it may go."""
        self.queued: list[WorkItem] = []
        """What was ever handed over, as it was then."""
        self.crashed: list[tuple[HoldingProvider, DeliveryService, bool]] = []
        for name in ("worker-a", "worker-b"):
            self.add_worker(name)
        self.shard = self.new_shard()

    def process(self, name: str) -> Wiring:
        """The process of this name; it outlives the example, for connections are dear."""
        found = {wiring.component: wiring for wiring in self.rig.processes}
        wiring = found.get(name) or self.rig.process(name, clock=self.clock)
        if name not in self.known:
            # Of the last example's campaigns it knows nothing: their numbers begin anew.
            wiring.__dict__.pop("campaigns", None)
            self.known.add(name)
        return wiring

    def new_shard(self) -> LittleShard:
        """A shard that knows nothing."""
        return LittleShard(self.wiring, *self.services, batch=50)

    def add_worker(self, name: str) -> None:
        """A worker in a process of its own."""
        provider = HoldingProvider(self.ledger, self.begun)
        wiring = self.process(name)
        # The breaker has its own test; here it would only make most doings do nothing.
        service = self.rig.worker(
            wiring,
            provider,
            breaker=Breaker(threshold=10**9),
            lease_s=LEASE_S,
            answer_s=0.02,
            alone_wait_s=0.05,
        )
        self.providers.append(provider)
        self.services.append(service)
        self.workers.append(name)

    async def begin(self) -> ClientId:
        """An empty database with one client."""
        await empty(self.rig.admin)
        client = await self.rig.client(self.api, attempts_max=6, backoff_initial_s=5.0)
        await self.shard.own_all()
        await make_campaign(self.api, client.id)
        await self.see_campaigns()
        return client.id

    async def see_campaigns(self, index: int | None = None) -> None:
        """One worker looks for what has changed; or all do, and the shard brings and takes back."""
        names = ["shard", *self.workers] if index is None else [self.workers[index]]
        for name in names:
            await self.process(name).campaigns.watch.refresh()
        if index is None:
            epochs = await self.shard.own_all()
            while (await self.shard.sweep.step(frozenset(epochs))).is_more:
                continue

    async def act(self, client_id: ClientId, act: CampaignAct) -> None:
        """What its client does with the campaign; a pause or a cancel until all know of it."""
        try:
            campaign = await self.api.campaigns.service.act(client_id, SPRING, act)
        except Conflict:
            return
        self.held_since = None
        if act in (CampaignAct.PAUSE, CampaignAct.CANCEL):
            await self.see_campaigns()
            await self.all_held()
            assert campaign.standing is not Standing.GO
            self.held_since = self.begun_of_campaign()

    def begun_of_campaign(self) -> set[tuple[bytes, int]]:
        """The attempts of the campaign that have begun."""
        mine = {r for r, request in self.requests.items() if request.campaign == SPRING}
        return {(result_id, n) for result_id, n in self.begun if result_id in mine}

    async def decide(self, copies: Sequence[WorkItem], *, handed_over: bool) -> None:
        """The shard acts on what it remembers, and hands over what is to be sent, or dies."""
        epochs = await self.shard.own_all()
        one_each = list({item.result_id: item for item in copies}.values())
        queued, decided = await self.shard.queueing.prepare(one_each, epochs=epochs)
        while decided.again:
            more, decided = await self.shard.queueing.prepare(decided.again, epochs=epochs)
            queued += more
        self.queued += queued
        for lane in {item.lane for item in queued if handed_over}:
            share = [item for item in queued if item.lane == lane]
            await self.shard.queueing.deliver(share)
        await self.all_held()

    async def all_held(self) -> None:
        """Wait until what was claimed has reached the providers."""

        def held() -> bool:
            pairs = zip(self.providers, self.services, strict=True)
            return all(len(provider.held) >= service.in_flight for provider, service in pairs)

        await eventually(held, within_s=10)

    async def crash(self, index: int, taken: bool) -> None:
        """A worker is gone: what it held was or was not taken, and nobody will say."""
        await self.all_held()
        provider, service = self.providers.pop(index), self.services.pop(index)
        self.workers.pop(index)
        for message, _ in provider.held if taken else ():
            provider.take(message)
        self.crashed.append((provider, service, taken))
        self.add_worker(f"worker-{len(self.crashed) % 3}")
        # Who starts looks before it takes work.
        await self.see_campaigns(-1)
        self.shard = self.new_shard()
        await self.shard.own_all()

    async def settle(self) -> None:
        """All goes well from now on, until nothing is open."""
        for provider in self.providers:
            provider.answers_at_once = True
            provider.answer("transient")
        await recorded(*self.services)
        for act in (CampaignAct.START, CampaignAct.RESUME):
            for client_id in {request.client_id for request in self.requests.values()}:
                await self.act(client_id, act)
        await self.see_campaigns()
        ids = list(self.requests)
        for _ in range(80):
            await self.shard.own_all()
            await self.shard.step()
            stored = await self.wiring.results.items_across_clients(ids)
            if all(item.is_final for item in stored.values()):
                break
            self.clock.advance(timedelta(seconds=LEASE_S + 1))
        await recorded(*self.services)
        assert self.shard.bugs == self.shard.direct.bugs == []

    async def books(self, folder: Path) -> Any:
        """Every rule, with both ledgers."""
        callers, taken = folder / "callers", folder / "taken"
        callers.write_text("".join(json.dumps({"id": t}) + "\n" for t in self.told))
        taken.write_text("".join(json.dumps(entry) + "\n" for entry in self.ledger))
        service = self.wiring.verification_service()
        return await service.verify(settled=True, callers_ledger=callers, provider_ledger=taken)
