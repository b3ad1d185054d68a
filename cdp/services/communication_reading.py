"""What a client can see of its communications: one, many, a batch, and the books.

Everything is read from the projections, scoped by client; another client's id is none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.event import Status
from cdp.domain.failure import Failure
from cdp.domain.ids import BatchId, ClientId, RequestId, ResultId, lowest_id, result_ids
from cdp.domain.lane import Priority
from cdp.errors import NotFound
from cdp.storage.batches import Batch, Batches
from cdp.storage.codec import failure_of
from cdp.storage.communication_requests import CommunicationRequests, Recipients
from cdp.storage.delivery_results import DeliveryResults

Document = Mapping[str, Any]

FINISHED: Final = "finished"
IN_PROGRESS: Final = "in_progress"
FINAL_STATES: Final = (
    Status.DELIVERED,
    Status.UNDELIVERABLE,
    Status.CANCELLED,
    Status.EXPIRED,
    Status.SUPPRESSED,
)
"""In the order in which the books name them."""
PENDING_STATES: Final = ("scheduled", "waiting", "in_flight", "retrying")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultView:
    """One recipient's communication, as its client sees it."""

    id: ResultId
    request_id: RequestId
    to: str
    name: str
    channel: str
    status: Status
    priority: Priority
    attempts: int
    reason: str | None
    campaign: str | None
    segment: str | None
    reference: str | None
    batch_id: BatchId | None
    send_at: datetime | None
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    failure: Failure | None
    delivered_at: datetime | None
    opened_at: datetime | None
    read_at: datetime | None
    clicked_at: datetime | None
    machine_opened_at: datetime | None
    machine_clicked_at: datetime | None
    """By a machine; the others are people's (rule E10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Results counted by what became of them; the parts always add up to `accepted`."""

    by_state: Mapping[str, int]
    pending_by: Mapping[str, int]

    @property
    def pending(self) -> int:
        """Those that are not finished."""
        return sum(self.pending_by.values())

    @property
    def accepted(self) -> int:
        """All of them."""
        return sum(self.by_state.values()) + self.pending


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestView:
    """A request with all that became of it."""

    request: CommunicationRequest
    results: tuple[ResultView, ...]
    books: Books

    @property
    def status(self) -> str:
        """The one status that all results share, else whether something is still to come."""
        statuses = {result.status for result in self.results}
        if len(statuses) == 1:
            return next(iter(statuses)).value
        return IN_PROGRESS if self.books.pending else FINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchView:
    """A batch: what was taken in of it, and what became of that."""

    batch: Batch
    books: Books


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which results are listed. None filters nothing."""

    status: Status | None = None
    campaign: str | None = None
    reference: str | None = None
    recipient: str | None = None
    """The address, normalised."""
    batch_id: BatchId | None = None
    channel: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    """Exclusive."""

    def query(self) -> dict[str, Any]:
        """The fields that are compared for equality."""
        wanted = {
            "status": None if self.status is None else self.status.value,
            "campaign": self.campaign,
            "reference": self.reference,
            "recipient": self.recipient,
            "batch_id": self.batch_id,
            "channel": self.channel,
        }
        return {name: value for name, value in wanted.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an id in a path names: a whole request, or one of its results."""

    request: CommunicationRequest
    all_results: tuple[ResultId, ...]
    results: tuple[ResultId, ...]
    """Those that were named."""
    documents: Mapping[ResultId, Document] = field(repr=False)


class CommunicationReading:
    """Answers a client's questions about its communications."""

    def __init__(
        self,
        *,
        requests: CommunicationRequests,
        recipients: Recipients,
        results: DeliveryResults,
        batches: Batches,
        id_key: bytes,
    ) -> None:
        self._requests = requests
        self._recipients = recipients
        self._results = results
        self._batches = batches
        self._id_key = id_key

    async def target(self, client_id: ClientId, any_id: bytes) -> Target:
        """What this id of a request or of one of its results names.

        Raises:
            NotFound: nothing of this client, or nothing that was accepted.
        """
        found = await self._requests.of_client_with_counts(client_id, [RequestId(any_id)])
        named: ResultId | None = None
        if not found:
            named = ResultId(any_id)
            [*documents] = await self._results.of_request(client_id, [named])
            if documents:
                found = await self._requests.of_client_with_counts(
                    client_id, [documents[0]["request_id"]]
                )
        if not found:
            raise NotFound
        request, count = found[0]
        ids = tuple(result_ids(request.id, count, key=self._id_key))
        by_id = {d["_id"]: d for d in await self._results.of_request(client_id, ids)}
        # Results are written last: without one the request was never accepted.
        if not by_id or (named is not None and named not in by_id):
            raise NotFound
        return Target(
            request=request,
            all_results=ids,
            results=ids if named is None else (named,),
            documents=by_id,
        )

    async def one(self, client_id: ClientId, any_id: bytes) -> RequestView:
        """A request with the state of each recipient, in the order in which they were given.

        Raises:
            NotFound: as `target`.
        """
        target = await self.target(client_id, any_id)
        recipients = await self._recipients.of_client(client_id, target.all_results)
        views = tuple(
            view_of(target.documents[i], name=recipients[i].name if i in recipients else "")
            for i in target.all_results
            if i in target.documents
        )
        books = books_of((v.status.value, v.attempts > 0, 1) for v in views)
        return RequestView(request=target.request, results=views, books=books)

    async def page(
        self, client_id: ClientId, filters: Filters, *, before: bytes | None, limit: int
    ) -> list[ResultView]:
        """One communication for each recipient, the newest first."""
        documents = await self._results.page(
            client_id,
            filters=filters.query(),
            before=_earlier(before, filters.created_to),
            since=None if filters.created_from is None else lowest_id(filters.created_from),
            limit=limit,
        )
        return [view_of(document) for document in documents]

    async def batch(self, client_id: ClientId, batch_id: BatchId) -> BatchView:
        """A batch with its books.

        Raises:
            NotFound: this client has no such batch.
        """
        batch = await self._batches.of_client(client_id, batch_id)
        if batch is None:
            raise NotFound
        counts = await self._results.counts_of_batch(client_id, batch_id)
        return BatchView(batch=batch, books=books_of(counts))

    async def batch_results(
        self, client_id: ClientId, batch_id: BatchId, *, after: bytes | None, limit: int
    ) -> list[ResultView]:
        """A batch's results in the order of their ids.

        Raises:
            NotFound: this client has no such batch.
        """
        if await self._batches.of_client(client_id, batch_id) is None:
            raise NotFound
        documents = await self._results.of_batch(client_id, batch_id, after=after, limit=limit)
        return [view_of(document) for document in documents]

    async def with_key(self, client_id: ClientId, key: str) -> CommunicationRequest | None:
        """The request that came with this idempotency key, if one did. Without recipients."""
        return (await self._requests.with_keys(client_id, [key])).get(key)

    async def stored(
        self, client_id: ClientId, request_ids: Sequence[RequestId]
    ) -> dict[RequestId, CommunicationRequest]:
        """Those of these requests that are stored, accepted or not. Without recipients."""
        found = await self._requests.of_client_with_counts(client_id, request_ids)
        return {request.id: request for request, _ in found}

    async def existing(
        self, client_id: ClientId, ids: Sequence[ResultId]
    ) -> dict[ResultId, RequestId]:
        """Which of these results exist, and of which request each is."""
        documents = await self._results.of_request(client_id, ids)
        return {document["_id"]: document["request_id"] for document in documents}


def _earlier(before: bytes | None, created_to: datetime | None) -> bytes | None:
    bounds = [before] if before is not None else []
    if created_to is not None:
        bounds.append(lowest_id(created_to))
    return min(bounds, default=None)


def books_of(counts: Iterable[tuple[str, bool, int]]) -> Books:
    """The books from counts by status, those with an attempt behind them apart."""
    by_state = {status.value: 0 for status in FINAL_STATES}
    pending = dict.fromkeys(PENDING_STATES, 0)
    for status, tried, count in counts:
        if status in by_state:
            by_state[status] += count
        else:
            pending[_pending_state(Status(status), tried=tried)] += count
    return Books(by_state=by_state, pending_by=pending)


def _pending_state(status: Status, *, tried: bool) -> str:
    if status in (Status.QUEUED, Status.SENDING):
        return "in_flight"
    if status is Status.FAILED or (tried and status is Status.SCHEDULED):
        return "retrying"
    return "scheduled" if status is Status.SCHEDULED else "waiting"


def view_of(document: Document, *, name: str = "") -> ResultView:
    """A stored result, as its client sees it."""
    return ResultView(
        id=document["_id"],
        request_id=document["request_id"],
        to=document["recipient"],
        name=name,
        channel=document["channel"],
        status=Status(document["status"]),
        priority=Priority(document["priority"]),
        attempts=document["attempt"],
        reason=document.get("reason"),
        campaign=document.get("campaign"),
        segment=document.get("segment"),
        reference=document.get("reference"),
        batch_id=document.get("batch_id"),
        send_at=document.get("send_at"),
        expires_at=document.get("expires_at"),
        created_at=document["created_at"],
        updated_at=document["updated_at"],
        failure=failure_of(document),
        delivered_at=document.get("delivered_at"),
        opened_at=document.get("opened_at"),
        read_at=document.get("read_at"),
        clicked_at=document.get("clicked_at"),
        machine_opened_at=document.get("machine_opened_at"),
        machine_clicked_at=document.get("machine_clicked_at"),
    )
