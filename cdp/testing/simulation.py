"""The seeded simulation: the real services under every fault there is, in no time at all.

One seed decides everything: what callers want, how long each step takes, who dies at which await,
which answer is lost, what the provider says. After the steps the faults end, time runs on until
all is quiet, and the books are held. A seed that fails, fails again.
"""

import asyncio
import gc
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from cdp.domain.communication_request import CommunicationRequest, Recipient
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import Status
from cdp.domain.ids import ClientId, RequestId, result_ids, uuid7
from cdp.domain.lane import Priority
from cdp.errors import IdempotencyKeyInUse, IdempotencyKeyReused, OutcomeUnknown
from cdp.ports.handoff import WorkerLost
from cdp.services.communication_intake import Accepted, AcceptOutcome
from cdp.testing.memory_store import DriverErrors, MemoryServer
from cdp.testing.simulated_actors import ACTORS
from cdp.testing.simulated_platform import APIS, SHARDS_MAX, WORKERS, Parts, Platform
from cdp.testing.simulated_provider import POISON, ProviderSide
from cdp.testing.simulated_world import CALLER, Process, World
from cdp.testing.simulation_rules import ATTEMPTS_MAX, Books, Watch

QUIET_S: Final = 600.0
"""After the last fault all must have its final state within this time."""
TRIES_MAX: Final = 12
CLIENTS: Final = tuple(ClientId(bytes([n]) * 16) for n in range(1, 5))
AT_MOST_ONCE, NO_SENDER = CLIENTS[1], CLIENTS[3]
LIMITED_PER_S: Final = 1.5
"""Of the one that is sent to at most once; with its bursts that is too little now and then."""
_ID_KEY: Final = b"i" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one seed came to."""

    seed: int
    violations: tuple[str, ...]
    fingerprint: str
    accepted: int
    story: tuple[str, ...] = ()


class Simulation:
    """One run of one seed."""

    def __init__(
        self, seed: int, *, steps: int, errors: DriverErrors, parts: Parts, story: bool = False
    ) -> None:
        self._seed = seed
        self._steps = steps
        self.world = World(seed)
        self.world.story = [] if story else None
        self.server = MemoryServer(self.world, errors)
        self._watch = Watch(self.world, self.server)
        self.provider = ProviderSide(self.world, self._watch.begins, self._killed)
        self.platform = Platform(
            world=self.world,
            server=self.server,
            provider=self.provider,
            parts=parts,
            kinds=ACTORS,
        )
        self._accepted: dict[bytes, str] = {}
        self._items: list[WorkItem] = []
        self._cancelled: dict[bytes, str] = {}
        self._callers: set[asyncio.Task[Any]] = set()
        self._keys = 0
        self._by_key: dict[str, RequestId] = {}
        self._doings = {
            self._post: 34,
            self._burst: 4,
            self._cancel: 12,
            self._reschedule: 10,
            self._kill: 10,
            self._pause: 8,
            self._storm: 5,
            self._cut_off: 4,
            self._provider_down: 3,
            self._resize: 5,
            self._stale_hint: 5,
        }
        self._draw_temper()

    def _draw_temper(self) -> None:
        """Each seed has troubles of its own: where all of them are mixed, many never meet."""
        random, faults = self.world.random, self.world.faults
        for doing in self._doings:
            if doing != self._post:
                self._doings[doing] *= random.choice((0, 1, 1, 2, 4))
        faults.rate = random.choice((0.0, 0.02, 0.02, 0.06, 0.15))
        faults.half_rate = random.choice((0.0, 0.1, 0.5))
        faults.lost_call_rate = random.choice((0.0, 0.03, 0.1))
        self.provider.long_rate = random.choice((0.0, 0.03, 0.03, 0.3))
        faults.slow_rate = random.choice((0.0, 0.03, 0.03, 0.1))

    def run(self) -> Outcome:
        """From the first step to the books."""
        loop = self.world.loop
        loop.set_exception_handler(lambda _, context: self._on_lost_error(context))
        try:
            loop.run_until_complete(self._everything())
        finally:
            self.world.ended = True
            self._end_all()
        return Outcome(
            seed=self._seed,
            violations=tuple(self.world.violations),
            fingerprint=self.world.fingerprint,
            accepted=len(self._accepted),
            story=tuple(self.world.story or ()),
        )

    def _on_lost_error(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, AssertionError | LookupError | TypeError | AttributeError):
            self.world.violated("bug", f"{type(error).__name__}: {error}")

    def _end_all(self) -> None:
        loop = self.world.loop
        for _ in range(20):
            tasks = asyncio.all_tasks(loop)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks, timeout=0.001))
        loop.close()

    async def _everything(self) -> None:
        self._set_up()
        random = self.world.random
        doings, weights = list(self._doings), list(self._doings.values())
        for _ in range(self._steps):
            random.choices(doings, weights=weights)[0]()
            await asyncio.sleep(random.expovariate(4.0))
        self._calm_down()
        await self._until_quiet()
        books = Books(self.world, self.server, self.provider)
        books.close(self._accepted, self._cancelled)

    def _set_up(self) -> None:
        clients, senders = self.server.table("clients"), self.server.table("senders")
        now = self.world.clock.now()
        for client in CLIENTS:
            name = client.hex()
            document = {"_id": client, "name": name, "created_at": now}
            clients.insert(document | {"track_opens": False, "track_clicks": False})
            if client is not NO_SENDER:
                sender = {"_id": client, "client_id": client, "name": "default", "version": 1}
                dates = {"created_at": now, "updated_at": now}
                shown = {"channel": "email", "address": "a@b.example", "is_default": True}
                senders.insert({**sender, **dates, **shown})
        configs = self.server.table("delivery_configs")
        retries = {"attempts_max": ATTEMPTS_MAX, "backoff_initial_s": 2.0, "backoff_cap_s": 8.0}
        level = dict.fromkeys(("channel", "campaign", "segment"))
        level |= {"version": 1, "created_at": now, "updated_at": now}
        configs.insert({"_id": b"all", "client_id": None, "fields": retries, **level})
        once = {"at_least_once": False, "rate_per_s": LIMITED_PER_S}
        configs.insert({"_id": b"once", "client_id": AT_MOST_ONCE, "fields": once, **level})
        for name in self.platform.names():
            self.platform.start(name)

    def _calm_down(self) -> None:
        self.world.note("the faults end")
        self.world.faults.stopped = True
        for process in list(self.world.processes.values()):
            process.resume()
            if process.dead:
                self.platform.start(process.name)

    async def _until_quiet(self) -> None:
        until = self.world.loop.time() + QUIET_S
        while self.world.loop.time() < until:
            await asyncio.sleep(1.0)
            results = self.server.table("delivery_results").documents.values()
            if not self._callers and not any("due_at" in result for result in results):
                break
        # What was still on its way, and who still holds something.
        await asyncio.sleep(15.0)
        for name, process in self.world.processes.items():
            if name.startswith("shard"):
                held = process.actor.state.held()
                if any(held.values()):
                    self.world.violated("P5", f"{name} still holds {held}")

    # What the callers do.

    def _caller(self, work: Any) -> None:
        task = self.world.spawn(work)
        self._callers.add(task)
        task.add_done_callback(self._callers.discard)

    def _post(self, client: ClientId | None = None) -> None:
        self._caller(self._posting(self._request(client)))

    def _burst(self) -> None:
        client = self.world.random.choice(CLIENTS[:2])
        for _ in range(12):
            self._post(client)

    def _soon(self, most_s: float) -> datetime:
        millis = self.world.random.randrange(1, int(most_s * 1000))
        return self.world.clock.now() + timedelta(milliseconds=millis)

    def _request(self, client: ClientId | None) -> CommunicationRequest:
        random = self.world.random
        now = self.world.clock.now()
        made = uuid7(unix_ms=int(now.timestamp() * 1000), random_bytes=random.randbytes(10))
        request_id = RequestId(made)
        ids = result_ids(request_id, random.choice((1, 1, 1, 2, 3)), key=_ID_KEY)
        self._keys += 1
        keyed = random.random() < 0.6
        expires = random.random() < 0.15
        subject = random.choices((f"subject {self._keys}", "bad\x07", POISON), weights=(96, 3, 1))[
            0
        ]
        return CommunicationRequest(
            id=request_id,
            client_id=client or random.choices(CLIENTS, weights=(5, 3, 3, 1))[0],
            channel="email",
            recipients=tuple(
                Recipient(result_id=result_id, identifier=f"r{index}@example.org")
                for index, result_id in enumerate(ids)
            ),
            content={"subject": subject, "text": "text"},
            priority=random.choices(list(Priority), weights=(3, 5, 2))[0],
            send_at=self._soon(20.0) if random.random() < 0.25 else None,
            expires_at=self._soon(25.0) if expires else None,
            reference=f"{self._keys}",
            idempotency_key=f"key-{self._keys}" if keyed else None,
            body_hash=f"body-{self._keys}".encode() if keyed else None,
            requested_at=now,
        )

    async def _posting(self, request: CommunicationRequest) -> None:
        """A caller who repeats what is unknown, as far as a key lets it."""
        random = self.world.random
        for _ in range(TRIES_MAX):
            outcome = await self._call("accept", request, lost=OutcomeUnknown())
            if isinstance(outcome, Accepted):
                self._note_accepted(request, outcome)
                await self._reuse(request)
                if request.idempotency_key is None or random.random() < 0.8:
                    return
            elif not isinstance(outcome, OutcomeUnknown | IdempotencyKeyInUse):
                self.world.violated("D3", f"{request.reference} was refused: {outcome!r}")
                return
            if request.idempotency_key is None:
                return
            await asyncio.sleep(4.0 * random.random())
            request = self._again(request)

    async def _reuse(self, request: CommunicationRequest) -> None:
        """The same key with another body is refused."""
        if request.idempotency_key is None or self.world.random.random() > 0.1:
            return
        other = replace(self._again(request), body_hash=b"another body")
        outcome = await self._call("accept", other, lost=OutcomeUnknown())
        if not isinstance(outcome, IdempotencyKeyReused | OutcomeUnknown):
            self.world.violated("D3", f"key {request.idempotency_key} was reused: {outcome!r}")

    def _again(self, request: CommunicationRequest) -> CommunicationRequest:
        """The same key and body come as a new request with an id of its own."""
        fresh = self._request(request.client_id)
        ids = result_ids(fresh.id, len(request.recipients), key=_ID_KEY)
        recipients = tuple(
            replace(recipient, result_id=result_id)
            for recipient, result_id in zip(request.recipients, ids, strict=True)
        )
        return replace(request, id=fresh.id, recipients=recipients, requested_at=fresh.requested_at)

    async def _call(self, method: str, *arguments: Any, lost: AcceptOutcome | None) -> Any:
        """A call over HTTP to one of the API's replicas."""
        caller = Process(self.world, CALLER)
        try:
            return await caller.ask(self.world.random.choice(APIS), method, *arguments)
        except WorkerLost:
            return lost

    def _note_accepted(self, request: CommunicationRequest, outcome: Accepted) -> None:
        for item in outcome.items:
            self._accepted[item.result_id] = request.reference or ""
            self._items.append(item)
        key, made = request.idempotency_key, outcome.request.id
        self.world.note(f"accepted {request.reference} {key} as {made.hex()[-6:]}")
        if key is not None and self._by_key.setdefault(key, made) != made:
            self.world.violated("D3", f"{key} made a second communication")

    def _cancel(self) -> None:
        if self._items:
            self._caller(self._cancelling(self.world.random.choice(self._items[-30:])))

    async def _cancelling(self, item: WorkItem) -> None:
        after = await self._call("cancel", item.client_id, [item.result_id], lost=None)
        if after is not None and after[item.result_id].status is Status.CANCELLED:
            by = f"at {self.world.loop.time():.3f} s"
            self.world.note(f"told that {item.result_id.hex()[-6:]} is cancelled")
            self._cancelled[item.result_id] = by

    def _reschedule(self) -> None:
        if self._items:
            item = self.world.random.choice(self._items[-30:])
            self._caller(self._rescheduling(item))

    async def _rescheduling(self, item: WorkItem) -> None:
        random = self.world.random
        change: dict[str, Any] = random.choice(
            (
                {"send_at": None},
                {"send_at": self._soon(15.0)},
                {"expires_at": self._soon(30.0)},
                {"expires_at": None},
                {"priority": int(random.choice(list(Priority)))},
            )
        )
        await self._call("reschedule", item.client_id, [item.result_id], change, lost=None)

    def _stale_hint(self) -> None:
        if self._items:
            item = self.world.random.choice(self._items)
            shard = f"shard-{self.world.random.randrange(SHARDS_MAX)}"
            Process(self.world, CALLER).tell(shard, "enqueue", [item, item])

    # What befalls the platform.

    def _victim(self) -> Process | None:
        # Half of all harm comes to those who claim and send: there it can do the most.
        random = self.world.random
        name = random.choice(WORKERS if random.random() < 0.5 else self.platform.names())
        process = self.world.processes[name]
        return None if process.dead else process

    def _kill(self) -> None:
        victim = self._victim()
        if victim is not None:
            self._killed(victim)

    def _killed(self, victim: Process) -> None:
        victim.kill()
        self.world.spawn(self._restart(victim, 5.0 * self.world.random.random()))

    async def _restart(self, victim: Process, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if self.world.processes[victim.name] is victim:
            self.platform.start(victim.name)

    def _pause(self) -> None:
        victim = self._victim()
        if victim is not None:
            victim.pause()
            self.world.spawn(self._wake_up(victim, 30.0 * self.world.random.random() ** 2))

    async def _wake_up(self, victim: Process, after_s: float) -> None:
        await asyncio.sleep(after_s)
        victim.resume()

    def _storm(self) -> None:
        until = self.world.loop.time() + 4.0 * self.world.random.random()
        self.world.faults.storm_until = until
        self.world.note(f"the database is hardly there until {until:.3f}")

    def _cut_off(self) -> None:
        victim = self._victim()
        if victim is not None:
            victim.cut_until = self.world.loop.time() + 8.0 * self.world.random.random()
            self.world.note(f"{victim.incarnation} is cut off until {victim.cut_until:.3f}")

    def _provider_down(self) -> None:
        self.provider.down_until = self.world.loop.time() + 6.0 * self.world.random.random()

    def _resize(self) -> None:
        self.platform.shards = self.world.random.randint(1, SHARDS_MAX)


def simulate(
    seed: int, *, steps: int, errors: DriverErrors, parts: Parts | None = None, story: bool = False
) -> Outcome:
    """Run one seed. The services' own log lines about survived errors are not wanted here."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    gc_was_on = gc.isenabled()
    gc.disable()
    try:
        simulation = Simulation(
            seed, steps=steps, errors=errors, parts=parts or Parts(), story=story
        )
        return simulation.run()
    finally:
        logging.disable(level)
        if gc_was_on:
            gc.enable()
