"""The names of the actors, and the ports of `cdp.ports` as Ray calls.

A call that fails says nothing about whether it ran; Ray never repeats one by itself (rule D9).
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import ray
from grpc import RpcError
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from cdp.domain.delivery_result import WorkItem
from cdp.domain.hint_queue import HintQueue
from cdp.domain.lane import channel_of
from cdp.domain.rate_budget import Grant, Want
from cdp.ports.handoff import Report, Resolution, Verdict, WorkerLost
from cdp.rendering.sandbox import RendererUnavailable
from cdp.services.partition_service import PartitionOwners

LOST: Final = (RayError, RayServeException, RpcError, RendererUnavailable, TimeoutError)
"""What a call raises whose callee is gone, restarting or slow. Serve's deployments call each other
over gRPC, whose own errors come through as they are, and so does what the callee raises."""
NAMESPACE: Final = "cdp"
SUPERVISOR: Final = "supervisor"
SCHEDULER: Final = "scheduler"
SFTP_GATEWAY: Final = "sftp-gateway"
API_APP: Final = "api"
MESSAGE_SERVICE: Final = "MessageService"
CALL_TIMEOUT_S: Final = 60.0
DELIVER_TIMEOUT_S: Final = 12.0
"""A worker answers after two seconds with what it knows; one that does not is gone or paused."""
ROSTER_FRESH_S: Final = 1.0
BUDGET_WITHIN_S: Final = 2.0
PENDING_CALLS_MAX: Final = 1_000
HINT_PAUSE_S: Final = 0.06
"""Bulk gathers this long for one call; urgent items never wait."""
HINT_MAX: Final = 1_000


def shard_name(index: int) -> str:
    """The name of a queue shard."""
    return f"queue-shard-{index}"


def ingestion_name(index: int) -> str:
    """The name of a file ingestion."""
    return f"file-ingestion-{index}"


def pool_name(channel: str) -> str:
    """The name of a channel's delivery pool."""
    return f"delivery-pool-{channel}"


def worker_name(lane: str, index: int) -> str:
    """The name of a delivery worker."""
    return f"delivery-worker-{lane.replace('.', '-')}-{index}"


def worker_prefix(channel: str) -> str:
    """What the names of a channel's workers begin with."""
    return f"delivery-worker-{channel}-"


def find(name: str) -> Any | None:
    """The handle of the actor of this name, if there is one."""
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def start(kind: type, name: str, *arguments: Any, num_cpus: float = 0.1) -> None:
    """Start a detached actor under this name, unless it is there.

    Ray restarts it whenever it dies, and repeats no call to it: a claim or a send that was cut
    off is unknown, and only the log can say (rule D9). A full mailbox refuses hints, which cost
    a poll.
    """
    ray.remote(kind).options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_task_retries=0,
        max_pending_calls=PENDING_CALLS_MAX,
        num_cpus=num_cpus,
    ).remote(*arguments)


def tell(name: str, method: str, *arguments: Any) -> None:
    """Call an actor and forget it. It may be lost, late, doubled or out of order."""
    actor = find(name)
    if actor is not None:
        with contextlib.suppress(RayError):
            getattr(actor, method).remote(*arguments)


async def ask(name: str, method: str, *arguments: Any, within_s: float = CALL_TIMEOUT_S) -> Any:
    """Call an actor and wait for its answer.

    Raises:
        WorkerLost: there is no such actor, or it went away, or it took too long.
    """
    actor = find(name)
    if actor is None:
        raise WorkerLost(name)
    try:
        return await asyncio.wait_for(getattr(actor, method).remote(*arguments), within_s)
    except LOST as error:
        raise WorkerLost(name) from error


class RayHandoff:
    """`Handoff`: the way to the delivery workers. The pool tells their roster once a second."""

    def __init__(self) -> None:
        self._rosters: dict[str, tuple[float, dict[str, list[str]]]] = {}
        self._under_way: dict[str, int] = {}

    async def deliver(self, lane: str, items: Sequence[WorkItem]) -> list[Report]:
        """See `Handoff.deliver`. Without a worker all is declined, and one is asked for."""
        workers = (await self._roster(channel_of(lane))).get(lane, [])
        if not workers:
            tell(SUPERVISOR, "want", lane)
            return [Report(item=item, verdict=Verdict.DECLINED) for item in items]
        worker = min(workers, key=lambda name: self._under_way.get(name, 0))
        self._under_way[worker] = self._under_way.get(worker, 0) + len(items)
        try:
            reports: list[Report] = await ask(
                worker, "deliver", list(items), within_s=DELIVER_TIMEOUT_S
            )
        finally:
            self._under_way[worker] -= len(items)
        return reports

    async def _roster(self, channel: str) -> dict[str, list[str]]:
        fresh_until, roster = self._rosters.get(channel, (0.0, {}))
        if time.monotonic() >= fresh_until:
            # While the pool restarts, the workers that it had go on.
            with contextlib.suppress(WorkerLost):
                roster = await ask(pool_name(channel), "roster", within_s=2.0)
            self._rosters[channel] = (time.monotonic() + ROSTER_FRESH_S, roster)
        return roster


class RayBudgets:
    """`Budgets`: the way to the channel's pool."""

    def __init__(self, channel: str) -> None:
        self._pool = pool_name(channel)

    async def spend(self, wants: Sequence[Want]) -> list[Grant]:
        """See `Budgets.spend`."""
        grants: list[Grant] = await ask(self._pool, "spend", list(wants), within_s=BUDGET_WITHIN_S)
        return grants


class RayContentResolver:
    """`ContentResolver`: the way to the Message Service, by Serve handle."""

    def __init__(self) -> None:
        self._handle: Any = None

    async def resolve(self, items: Sequence[WorkItem]) -> list[Resolution]:
        """See `ContentResolver.resolve`."""
        if self._handle is None:
            self._handle = message_service()
        try:
            answer: list[Resolution] = await asyncio.wait_for(
                self._handle.resolve.remote(list(items)), CALL_TIMEOUT_S
            )
        except LOST as error:
            raise WorkerLost(MESSAGE_SERVICE) from error
        return answer


def message_service() -> Any:
    """The Message Service's handle."""
    return serve.get_deployment_handle(MESSAGE_SERVICE, app_name=API_APP)


class ShardHints:
    """Tells the owning shards of new or due items, a few calls a second however many there are.

    The first goes at once; those that come while it is on its way go together, and of bulk no more
    than can be delivered meanwhile. What is lost costs a poll, never a message.
    """

    def __init__(self, owners: PartitionOwners) -> None:
        self._owners = owners
        self._queue = HintQueue()
        self._urgent = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def tell(self, items: Iterable[WorkItem]) -> None:
        """Note the items for their shards."""
        if self._queue.put(items):
            self._urgent.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        while self._queue:
            self._urgent.clear()
            await self._send()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), HINT_PAUSE_S)

    async def _send(self) -> None:
        owners = await self._owners.owners()
        shares: dict[str, list[WorkItem]] = {}
        for item in self._queue.take(len(set(owners.values())) or 1):
            if (owner := owners.get(item.partition)) is not None:
                shares.setdefault(owner, []).append(item)
        for shard, share in shares.items():
            for start in range(0, len(share), HINT_MAX):
                tell(shard, "enqueue", share[start : start + HINT_MAX])
