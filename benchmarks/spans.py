"""Times between two events of the same communication, read from the platform's log."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from cdp.domain.event import EventName
from cdp.domain.ids import EVENT_ID_BYTES, ID_BYTES, ClientId

_TIME_BYTES: Final = 6


@dataclass(slots=True, kw_only=True)
class Timeline:
    """One communication's events: when the first of each name was recorded."""

    at: dict[str, datetime] = field(default_factory=dict)
    send_at: datetime | None = None

    def seconds(self, earlier: EventName, later: EventName) -> float | None:
        """Seconds between the two, if it has both."""
        first, second = self.at.get(earlier), self.at.get(later)
        return (second - first).total_seconds() if first and second else None

    def late_s(self, event: EventName) -> float | None:
        """Seconds from `send_at` to this event, if it has both."""
        at = self.at.get(event)
        return (at - self.send_at).total_seconds() if at and self.send_at else None


async def timelines(
    database: AsyncDatabase[dict[str, Any]], client_id: ClientId, *, since: datetime
) -> AsyncIterator[Timeline]:
    """The communications that this client has sent since then, in the order of their ids."""
    # Ids begin with the time in milliseconds, and the log is clustered by them.
    prefix = int(since.timestamp() * 1000).to_bytes(_TIME_BYTES, "big")
    bounds = {
        "$gte": prefix + bytes(EVENT_ID_BYTES - _TIME_BYTES),
        "$lte": b"\xff" * EVENT_ID_BYTES,
    }
    query = {"_id": bounds, "client_id": client_id}
    fields = {"event": 1, "created_at": 1, "metadata.send_at": 1}
    cursor = database["communication_logs"].find(query, fields).sort("_id", 1).batch_size(5_000)
    current, result_id = Timeline(), b""
    async for document in cursor:
        if document["_id"][:ID_BYTES] != result_id:
            if result_id:
                yield current
            current, result_id = Timeline(), document["_id"][:ID_BYTES]
        _note(current, document)
    if result_id:
        yield current


def _note(timeline: Timeline, document: Mapping[str, Any]) -> None:
    timeline.at.setdefault(document["event"], document["created_at"])
    send_at = document.get("metadata", {}).get("send_at")
    if send_at is not None:
        timeline.send_at = send_at
