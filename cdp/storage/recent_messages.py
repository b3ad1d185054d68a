"""`delivery_results` recipient by recipient: what each got lately, and what is on its way."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cdp.domain.ids import ClientId, ResultId
from cdp.storage.database import Database, Document, repository

RECIPIENT_INDEX: Final = "recipient"
_FIELDS: Final = dict.fromkeys(
    ("recipient", "channel", "campaign", "status", "due_at", "delivered_at"), 1
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentMessage:
    """A message of a campaign that has reached its recipient, or may be about to."""

    result_id: ResultId
    recipient: str
    channel: str
    campaign: str
    delivered_at: datetime | None
    is_being_sent: bool


@repository
class RecentMessages:
    """Messages of one client's campaigns, by their recipients."""

    def __init__(self, database: Database) -> None:
        self._collection = database["delivery_results"]

    async def recipients(
        self, client_id: ClientId, result_ids: Sequence[ResultId]
    ) -> dict[ResultId, tuple[str, str]]:
        """The channel and the address of each result."""
        query = {"_id": {"$in": list(result_ids)}, "client_id": client_id}
        found = self._collection.find(query, {"recipient": 1, "channel": 1})
        return {d["_id"]: (d["channel"], d["recipient"]) async for d in found}

    async def to_recipients(
        self, client_id: ClientId, recipients: Sequence[str], *, since: datetime, now: datetime
    ) -> list[RecentMessage]:
        """What was delivered to them since then, is being sent, or is due now."""
        query: Document = {
            "client_id": client_id,
            "recipient": {"$in": list(recipients)},
            "campaign": {"$exists": True},
            "$or": [
                {"delivered_at": {"$gt": since}},
                {"due_at": {"$lte": now}},
                {"status": "sending"},
            ],
        }
        found = self._collection.find(query, _FIELDS, hint=RECIPIENT_INDEX)
        return [_message(document) async for document in found]


def _message(document: Document) -> RecentMessage:
    return RecentMessage(
        result_id=document["_id"],
        recipient=document["recipient"],
        channel=document["channel"],
        campaign=document["campaign"],
        delivered_at=document.get("delivered_at"),
        is_being_sent=document["status"] == "sending",
    )
