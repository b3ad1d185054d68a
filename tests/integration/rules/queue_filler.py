"""Fills the durable queue fast: results as intake leaves them, without the rest of a request."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import Event, EventName, Status
from cdp.domain.ids import ClientId, RequestId, ResultId, event_id, partition_of
from cdp.domain.lane import Priority, lane_of
from cdp.storage.delivery_results import NewResult
from cdp.wiring import Wiring
from tests.integration.verification_world import PARTITIONS, new_id

CHUNK = 1_000


def new_item(
    client_id: ClientId, due_at: datetime, *, priority: Priority = Priority.NORMAL, **fields: Any
) -> WorkItem:
    """An accepted item."""
    result_id = ResultId(new_id())
    given: dict[str, Any] = {"status": Status.ACCEPTED, "seq": 1}
    return WorkItem(
        result_id=result_id,
        request_id=RequestId(result_id),
        client_id=client_id,
        channel="email",
        partition=partition_of(result_id, PARTITIONS),
        lane=lane_of("email", priority),
        priority=priority,
        due_at=due_at,
        **(given | fields),
    )


async def store(wiring: Wiring, items: Sequence[WorkItem], **fields: Any) -> None:
    """Make them exist, each with the event that its log begins with."""
    created_at = wiring.clock.now()
    for start in range(0, len(items), CHUNK):
        some = items[start : start + CHUNK]
        await wiring.logs.append(
            [
                Event(
                    id=event_id(item.result_id, 1),
                    name=EventName.CREATED,
                    at=item.due_at,
                    client_id=item.client_id,
                    writer="filler",
                    metadata={"priority": int(item.priority)},
                )
                for item in some
            ]
        )
        await wiring.results.insert(
            [
                NewResult(item=i, recipient="ada@example.org", created_at=created_at, **fields)
                for i in some
            ]
        )


async def fill(
    wiring: Wiring,
    client_id: ClientId,
    count: int,
    *,
    since: datetime,
    step: timedelta = timedelta(milliseconds=1),
    **fields: Any,
) -> list[WorkItem]:
    """So many of one client, each due a little after the other."""
    items = [new_item(client_id, since + n * step, **fields) for n in range(count)]
    await store(wiring, items)
    return items
