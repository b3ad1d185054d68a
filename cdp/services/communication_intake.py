"""How a request becomes durable: the Communication Service's front door, for API and files alike.

The order of the writes is the promise (rules D1 to D3). Requests, recipients and CREATED events
come first, together; `delivery_results` come last and make the communication exist. A request
with an idempotency key is written before all else: the unique index decides who is first, and
whoever comes second completes what the first has left undone.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from cdp.channels.table import CHANNELS
from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import Event, EventName, Status
from cdp.domain.ids import ClientId, ResultId, event_id, partition_of, result_ids
from cdp.domain.lane import lane_of
from cdp.domain.record import record
from cdp.errors import CdpError, IdempotencyKeyInUse, IdempotencyKeyReused, OutcomeUnknown
from cdp.ports.clock import Clock
from cdp.storage.communication_logs import CommunicationLogs
from cdp.storage.communication_requests import CommunicationRequests, Recipients
from cdp.storage.delivery_results import DeliveryResults, NewResult

log = logging.getLogger(__name__)

IN_PROGRESS: Final = timedelta(seconds=10)
"""How long the first holder of an idempotency key is given to finish before another does it."""


@record
class Accepted:
    """A request that is durable, and its results as the queue will see them."""

    request: CommunicationRequest
    items: tuple[WorkItem, ...]
    repeated: bool = False
    """Whether it had been accepted before, under the same idempotency key."""


AcceptOutcome = Accepted | CdpError


class CommunicationIntake:
    """Makes requests durable, many at a time."""

    def __init__(
        self,
        *,
        requests: CommunicationRequests,
        recipients: Recipients,
        logs: CommunicationLogs,
        results: DeliveryResults,
        clock: Clock,
        writer: str,
        partitions: int,
        id_key: bytes,
    ) -> None:
        self._requests = requests
        self._recipients = recipients
        self._logs = logs
        self._results = results
        self._clock = clock
        self._writer = writer
        self._partitions = partitions
        self._id_key = id_key

    async def accept(self, requests: Sequence[CommunicationRequest]) -> list[AcceptOutcome]:
        """Make the requests durable; for each what came of it.

        Safe to repeat with the same ids: it completes what is missing.

        Raises:
            OutcomeUnknown: MongoDB could not be asked; any of them may be there.
        """
        outcomes: dict[int, AcceptOutcome] = {}
        fresh: list[tuple[int, CommunicationRequest]] = []
        keyed: list[tuple[int, CommunicationRequest]] = []
        for index, request in enumerate(requests):
            (fresh if request.idempotency_key is None else keyed).append((index, request))
        decided = await self._decide([request for _, request in keyed]) if keyed else []
        mine = []
        for (index, _), decision in zip(keyed, decided, strict=True):
            if isinstance(decision, CdpError):
                outcomes[index] = decision
            else:
                mine.append((index, decision))
        plain = [request for _, request in fresh]
        await asyncio.gather(
            self._requests.insert(plain), self._write_rest(plain + [d.request for _, d in mine])
        )
        made = [Accepted(request=r, items=self._items(r)) for r in plain]
        outcomes |= {index: a for (index, _), a in zip(fresh, made, strict=True)}
        outcomes |= dict(mine)
        completed = made + [decision for _, decision in mine]
        await self._results.insert([new for accepted in completed for new in _new(accepted)])
        return [outcomes[index] for index in range(len(requests))]

    async def _write_rest(self, requests: Sequence[CommunicationRequest]) -> None:
        events = [event for request in requests for event in self._created(request)]
        await asyncio.gather(self._recipients.insert(requests), self._logs.append(events))

    async def _decide(self, requests: Sequence[CommunicationRequest]) -> list[Accepted | CdpError]:
        """Who is the first with its key; a repeat goes on under the id of the first."""
        first = await self._requests.insert_keyed(requests)
        stored = await self._stored([r for r, won in zip(requests, first, strict=True) if not won])
        known = await self._results.items_across_clients(
            [
                result_ids(request.id, len(new.recipients), key=self._id_key)[0]
                for new in requests
                if (request := stored.get((new.client_id, new.idempotency_key or ""))) is not None
            ]
        )
        decided: list[Accepted | CdpError] = []
        for request, won in zip(requests, first, strict=True):
            earlier = stored.get((request.client_id, request.idempotency_key or ""))
            if won or earlier is None or earlier.id == request.id:
                decided.append(Accepted(request=request, items=self._items(request)))
            else:
                decided.append(self._repeat(request, earlier, known))
        return decided

    def _repeat(
        self,
        request: CommunicationRequest,
        earlier: CommunicationRequest,
        known: Mapping[ResultId, WorkItem],
    ) -> Accepted | CdpError:
        if earlier.body_hash != request.body_hash:
            return IdempotencyKeyReused()
        again = self._under_id(request, earlier)
        exists = again.recipients[0].result_id in known
        if not exists and self._clock.now() - earlier.requested_at < IN_PROGRESS:
            return IdempotencyKeyInUse()
        return Accepted(request=again, items=self._items(again), repeated=exists)

    async def _stored(
        self, requests: Sequence[CommunicationRequest]
    ) -> dict[tuple[ClientId, str], CommunicationRequest]:
        keys: dict[ClientId, list[str]] = {}
        for request in requests:
            keys.setdefault(request.client_id, []).append(request.idempotency_key or "")
        found = {}
        for client_id, wanted in keys.items():
            for key, request in (await self._requests.with_keys(client_id, wanted)).items():
                found[client_id, key] = request
        return found

    def _under_id(
        self, request: CommunicationRequest, earlier: CommunicationRequest
    ) -> CommunicationRequest:
        ids = result_ids(earlier.id, len(request.recipients), key=self._id_key)
        recipients = tuple(
            replace(recipient, result_id=result_id)
            for recipient, result_id in zip(request.recipients, ids, strict=True)
        )
        return replace(
            request,
            id=earlier.id,
            recipients=recipients,
            # Campaign or configuration may give others now; the log that there may be has these.
            priority=earlier.priority,
            expires_at=earlier.expires_at,
            requested_at=earlier.requested_at,
            batch_id=earlier.batch_id,
        )

    def _created(self, request: CommunicationRequest) -> list[Event]:
        metadata: dict[str, object] = {"priority": int(request.priority)}
        if request.send_at is not None:
            metadata["send_at"] = request.send_at
        if request.expires_at is not None:
            metadata["expires_at"] = request.expires_at
        return [
            Event(
                id=event_id(recipient.result_id, 1),
                name=EventName.CREATED,
                at=request.requested_at,
                client_id=request.client_id,
                writer=self._writer,
                metadata=metadata,
            )
            for recipient in request.recipients
        ]

    def _items(self, request: CommunicationRequest) -> tuple[WorkItem, ...]:
        return tuple(
            WorkItem(
                result_id=recipient.result_id,
                request_id=request.id,
                client_id=request.client_id,
                channel=request.channel,
                campaign=request.campaign,
                segment=request.segment,
                partition=partition_of(recipient.result_id, self._partitions),
                lane=lane_of(request.channel, request.priority),
                priority=request.priority,
                status=Status.ACCEPTED,
                seq=1,
                due_at=request.requested_at,
                send_at=request.send_at,
                expires_at=request.expires_at,
                timezone=recipient.timezone,
            )
            for recipient in request.recipients
        )


def _new(accepted: Accepted) -> list[NewResult]:
    request = accepted.request
    return [
        NewResult(
            item=item,
            recipient=recipient.identifier,
            batch_id=request.batch_id,
            reference=request.reference,
            suppressed_as=_other_spelling(request.channel, recipient.identifier),
            topic=request.topic,
            created_at=request.requested_at,
        )
        for item, recipient in zip(accepted.items, request.recipients, strict=True)
    ]


def _other_spelling(channel: str, identifier: str) -> str | None:
    """How a recipient would be suppressed, where that is not how they are written to."""
    spelling = CHANNELS[channel].suppressed_as(identifier)
    return None if spelling == identifier else spelling


class GroupCommit:
    """Lets concurrent single requests share their writes (rule D2).

    A flusher takes what waits when its last flush ends, so a lone request waits for nothing. After
    a crowd it waits for as many to come again, for a moment at most: those that it has just
    answered then share the next group with those that came meanwhile. So groups are as large as
    the crowd, and nobody just misses one. A second flusher begins only with a group worth its
    round trips. Each request gets its own outcome; a caller that goes away does not take the
    others, nor its own write, with it.
    """

    FLUSHERS: Final = 2
    SECOND_LEAST: Final = 100
    CROWD: Final = 8
    CROWD_WAIT_S: Final = 0.03
    GROUP_MAX: Final = 500

    def __init__(
        self, accept: Callable[[Sequence[CommunicationRequest]], Awaitable[list[AcceptOutcome]]]
    ) -> None:
        self._accept = accept
        self._waiting: list[tuple[CommunicationRequest, asyncio.Future[AcceptOutcome]]] = []
        self._flushing: set[asyncio.Task[None]] = set()
        self._crowd = self.GROUP_MAX
        self._crowd_is_back = asyncio.Event()

    async def submit(self, request: CommunicationRequest) -> AcceptOutcome:
        """The outcome of one request, once it is durable."""
        future: asyncio.Future[AcceptOutcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if len(self._waiting) >= self._crowd:
            self._crowd_is_back.set()
        wanted = self.FLUSHERS if len(self._waiting) >= self.SECOND_LEAST else 1
        if len(self._flushing) < wanted:
            task = asyncio.create_task(self._flush())
            self._flushing.add(task)
        return await future

    async def _flush(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while self._waiting:
                flushed = await self._flush_group()
                if flushed >= self.CROWD:
                    await self._until_back(flushed)
        finally:
            # Here and not in a callback of the task: that comes a turn later, and who came
            # meanwhile would count on a flusher that has ended.
            self._flushing.discard(task)

    async def _until_back(self, crowd: int) -> None:
        if len(self._waiting) >= crowd:
            return
        self._crowd = crowd
        self._crowd_is_back.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.CROWD_WAIT_S):
                await self._crowd_is_back.wait()

    async def _flush_group(self) -> int:
        group, self._waiting = self._waiting[: self.GROUP_MAX], self._waiting[self.GROUP_MAX :]
        outcomes = await self._outcomes([request for request, _ in group])
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)
        return len(group)

    async def _outcomes(self, requests: Sequence[CommunicationRequest]) -> list[AcceptOutcome]:
        try:
            return await self._accept(requests)
        except OutcomeUnknown as error:
            return [error] * len(requests)
        except Exception as error:
            # One that cannot be stored must not fail its neighbours, whose turn comes alone. The
            # driver's message holds whole documents, so only the kind of the error is logged.
            facts = {"requests": len(requests), "error": type(error).__name__}
            log.error("a group could not be stored", extra=facts)
            if len(requests) == 1:
                return [CdpError("This request could not be stored.")]
            return [(await self._outcomes([request]))[0] for request in requests]
