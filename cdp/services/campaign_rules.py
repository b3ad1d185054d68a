"""What campaigns say when the Queueing Service decides: held, spread, cancelled, too often.

A frequency cap counts what the recipient got in its window from any campaign of the client on the
channel, and what is due to them now and was accepted earlier. So it comes out the same whoever of
several shards decides first, and needs no counter of its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from cdp.domain.campaign import (
    CANCELLED,
    HELD,
    OVER_CAP,
    SPREAD,
    Campaign,
    CampaignRoster,
    FrequencyCap,
    Standing,
    held_until,
)
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName, Status
from cdp.domain.ids import ClientId, ResultId
from cdp.services.communication_service import Move
from cdp.storage.recent_messages import RecentMessage, RecentMessages

E = EventName
Capped = tuple[WorkItem, FrequencyCap]


class CampaignRules:
    """The next event of an item, where its campaign decides on it."""

    def __init__(self, *, roster: CampaignRoster, recent: RecentMessages) -> None:
        self._roster = roster
        self._recent = recent

    def cancelled(self, item: WorkItem) -> Move | None:
        """The end of an item whose campaign is cancelled."""
        if self._roster.standing(item) is not Standing.CANCELLED:
            return None
        return Move(item=item, name=E.CANCELLED, metadata={"reason": CANCELLED})

    def held(self, item: WorkItem) -> Move | None:
        """The waiting of an item whose campaign has not begun or is paused."""
        if self._roster.standing(item) is not Standing.HELD:
            return None
        metadata = {"reason": HELD, "due_at": held_until(item)}
        return Move(item=item, name=E.SCHEDULED, metadata=metadata)

    def spread(self, item: WorkItem, now: datetime) -> Move | None:
        """The waiting of an item that has a later place in its campaign's window."""
        slot = self._roster.slot(item, now)
        if slot is None:
            return None
        return Move(item=item, name=E.SCHEDULED, metadata={"reason": SPREAD, "due_at": slot})

    def note_held(self, items: Iterable[WorkItem]) -> None:
        """These are held now; see `CampaignRoster.note_held`."""
        self._roster.note_held(item for item in items if item.reason == HELD)

    async def too_often(self, items: Sequence[WorkItem], now: datetime) -> list[Move]:
        """The end of those whose recipients have got as much as their campaigns allow."""
        by_client: dict[ClientId, list[Capped]] = defaultdict(list)
        for item in items:
            cap = self._cap(item)
            if cap is not None:
                by_client[item.client_id].append((item, cap))
        moves: list[Move] = []
        for client_id, capped in by_client.items():
            moves += await self._over(client_id, capped, now)
        return moves

    def _cap(self, item: WorkItem) -> FrequencyCap | None:
        # What was handed off or tried has passed here before.
        if item.attempt or item.status is Status.QUEUED:
            return None
        campaign = self._roster.of(item)
        return None if campaign is None else campaign.settings.frequency_cap

    async def _over(
        self, client_id: ClientId, capped: Sequence[Capped], now: datetime
    ) -> list[Move]:
        addresses = await self._recent.recipients(client_id, [i.result_id for i, _ in capped])
        longest_s = max(cap.window_s for _, cap in capped)
        recent = await self._recent.to_recipients(
            client_id,
            sorted({recipient for _, recipient in addresses.values()}),
            since=now - timedelta(seconds=longest_s),
            now=now,
        )
        by_address: dict[tuple[str, str], list[RecentMessage]] = defaultdict(list)
        for message in recent:
            if not self._is_held(client_id, message):
                by_address[message.channel, message.recipient].append(message)
        return [
            Move(item=item, name=E.SUPPRESSED, metadata={"reason": OVER_CAP})
            for item, cap in capped
            if (address := addresses.get(item.result_id)) is not None
            and _ahead(item.result_id, by_address[address], cap, now) >= cap.messages
        ]

    def _is_held(self, client_id: ClientId, message: RecentMessage) -> bool:
        campaign: Campaign | None = self._roster.named((client_id, message.campaign))
        is_open = message.delivered_at is None and not message.is_being_sent
        return is_open and campaign is not None and campaign.standing is not Standing.GO


def _ahead(
    result_id: ResultId, messages: Iterable[RecentMessage], cap: FrequencyCap, now: datetime
) -> int:
    """How many messages the recipient gets, or got in the window, before this one."""
    since = now - timedelta(seconds=cap.window_s)
    return sum(
        (message.delivered_at > since)
        if message.delivered_at is not None
        else message.is_being_sent or message.result_id < result_id
        for message in messages
        if message.result_id != result_id
    )
