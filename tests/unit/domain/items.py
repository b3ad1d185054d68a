"""Work items for the tests of the domain."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import Status
from cdp.domain.ids import ClientId, Partition, RequestId, ResultId
from cdp.domain.lane import Priority, lane_of

START = datetime(2030, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So many seconds after the start."""
    return START + timedelta(seconds=seconds)


def client(number: int) -> ClientId:
    """A client's id."""
    return ClientId(bytes([number]) * 16)


def item(number: int = 1, **fields: Any) -> WorkItem:
    """An item; what is not given is unremarkable."""
    result_id = number.to_bytes(16, "big")
    priority = fields.pop("priority", Priority.NORMAL)
    values: dict[str, Any] = {
        "result_id": ResultId(result_id),
        "request_id": RequestId(result_id),
        "client_id": client(1),
        "channel": "email",
        "partition": Partition(0),
        "lane": lane_of("email", priority),
        "priority": priority,
        "status": Status.ACCEPTED,
        "seq": 1,
        "due_at": START,
    }
    return WorkItem(**(values | fields))
