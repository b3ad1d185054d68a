"""The Delivery Tracking Service: turns signed links and pixels into OPENED and CLICKED.

A visitor's answer never waits for MongoDB but for a click's target. What was seen is recorded in
batches; a repeat within the same message is the same event and is stored once.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import Event, EventName
from cdp.domain.ids import ClientId, ResultId, text_of, unnumbered_event_id
from cdp.domain.suppression import Suppression, SuppressionReason
from cdp.domain.tracking_token import LinkReference, read_link, read_pixel, read_unsubscribe
from cdp.errors import NotFound, OutcomeUnknown
from cdp.ports.clock import Clock
from cdp.services.client_config_service import ReadThrough
from cdp.services.suppression_service import SuppressionService
from cdp.storage.communication_logs import CommunicationLogs
from cdp.storage.delivery_results import DeliveryResults
from cdp.storage.links import LinkList, Links

log = logging.getLogger(__name__)

WAITING_MAX: Final = 20_000
GROUP_MAX: Final = 1_000
USER_AGENT_CHARS_MAX: Final = 200
FIELD_OF: Final = {
    EventName.OPENED: "opened_at",
    EventName.READ: "read_at",
    EventName.CLICKED: "clicked_at",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Engagement:
    """Something a recipient did, as it waits to be recorded."""

    result_id: ResultId
    name: EventName
    at: datetime
    url: str = ""
    user_agent: str = ""


class DeliveryTrackingService:
    """Answers tokens and records engagement."""

    def __init__(
        self,
        *,
        logs: CommunicationLogs,
        results: DeliveryResults,
        links: Links,
        key: bytes,
        clock: Clock,
        writer: str,
        suppressions: SuppressionService,
    ) -> None:
        """`writer` is this process's incarnation."""
        self._suppressions = suppressions
        self._logs = logs
        self._results = results
        self._key = key
        self._clock = clock
        self._writer = writer
        self._lists: ReadThrough[bytes, LinkList] = ReadThrough(links.across_clients, clock=clock)
        self._waiting: list[Engagement] = []
        self._news = asyncio.Event()
        self.dropped = 0
        """Engagements that found no room while MongoDB was away."""

    def opened(self, token: str, *, user_agent: str = "") -> None:
        """A pixel was fetched.

        Raises:
            NotFound: the token is not one of ours; nothing was recorded.
        """
        result_id = read_pixel(token, key=self._key)
        if result_id is None:
            raise NotFound
        self._keep(
            Engagement(
                result_id=result_id,
                name=EventName.OPENED,
                at=self._clock.now(),
                user_agent=user_agent[:USER_AGENT_CHARS_MAX],
            )
        )

    async def clicked(self, token: str, *, user_agent: str = "") -> str:
        """A link was followed: where it leads.

        Raises:
            NotFound: the token is not one of ours; nothing was recorded.
        """
        link, url = await self._find(token)
        self._keep(
            Engagement(
                result_id=link.result_id,
                name=EventName.CLICKED,
                at=self._clock.now(),
                url=url,
                user_agent=user_agent[:USER_AGENT_CHARS_MAX],
            )
        )
        return url

    async def target(self, token: str) -> str:
        """Where a link leads, without recording anything.

        Raises:
            NotFound: the token is not one of ours.
        """
        return (await self._find(token))[1]

    async def _find(self, token: str) -> tuple[LinkReference, str]:
        link = read_link(token, key=self._key)
        if link is None:
            raise NotFound
        links = (await self._lists.get_many([link.links_id])).get(link.links_id)
        if links is None or link.index >= len(links.urls):
            raise NotFound
        return link, links.urls[link.index]

    def opt_out_of(self, token: str) -> ResultId:
        """The message by which somebody wants to opt out.

        Raises:
            NotFound: the token is not one of ours.
        """
        result_id = read_unsubscribe(token, key=self._key)
        if result_id is None:
            raise NotFound
        return result_id

    async def unsubscribed(self, token: str, *, user_agent: str = "") -> None:
        """Somebody has opted out; when this returns, that holds.

        Raises:
            NotFound: the token is not one of ours, or its message is gone.
            OutcomeUnknown: MongoDB could not be asked.
        """
        result_id = self.opt_out_of(token)
        known = await self._results.suppressible(result_id)
        if known is None:
            raise NotFound
        client_id, channel, recipient, topic = known
        now = self._clock.now()
        entry = Suppression(
            client_id=client_id,
            channel=channel,
            recipient=recipient,
            topic=topic,
            reason=SuppressionReason.UNSUBSCRIBE,
            source=text_of(result_id),
            created_at=now,
        )
        # The entry first: what counts is that nothing more is sent.
        await self._suppressions.suppress([entry])
        opted_out = Engagement(
            result_id=result_id,
            name=EventName.UNSUBSCRIBED,
            at=now,
            user_agent=user_agent[:USER_AGENT_CHARS_MAX],
        )
        await self.record([opted_out])

    def _keep(self, engagement: Engagement) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self.dropped += 1
            return
        self._waiting.append(engagement)
        self._news.set()

    async def record_forever(self) -> None:
        """Record what waits, in groups, until cancelled; then what is left."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                await self._record_waiting()
        finally:
            await self._record_waiting()

    async def _record_waiting(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:GROUP_MAX], self._waiting[GROUP_MAX:]
            try:
                await self.record(group)
            except OutcomeUnknown:
                log.warning("engagement waits for MongoDB", extra={"events": len(group)})
                self._waiting = (group + self._waiting)[:WAITING_MAX]
                self._news.set()
                await asyncio.sleep(1.0)
                return

    async def record_of_client(
        self, client_id: ClientId, group: Sequence[Engagement]
    ) -> set[ResultId]:
        """Record what a client reports of its own communications; of which it was recorded."""
        items = await self._results.items_across_clients({e.result_id for e in group})
        own = {r: item for r, item in items.items() if item.client_id == client_id}
        return await self._record([e for e in group if e.result_id in own], own)

    async def record(self, group: Sequence[Engagement]) -> None:
        """Insert the events of what was attempted at all, then mark the results."""
        items = await self._results.items_across_clients({e.result_id for e in group})
        await self._record(group, items)

    async def _record(
        self, group: Sequence[Engagement], items: Mapping[ResultId, WorkItem]
    ) -> set[ResultId]:
        attempted = await self._attempted(items)
        known = [e for e in group if e.result_id in attempted]
        unique = {(e.result_id, e.name, e.url): e for e in reversed(known)}
        events = [self._event(e, items[e.result_id].client_id) for e in unique.values()]
        await self._logs.append(events)
        for name, field in FIELD_OF.items():
            ids = {e.result_id for e in unique.values() if e.name is name}
            if ids:
                await self._results.mark_engaged(field, self._clock.now(), list(ids))
        return attempted

    async def _attempted(self, items: Mapping[ResultId, WorkItem]) -> set[ResultId]:
        """Content can be looked at before it is sent; nobody has opened that message yet.

        A result shows its attempt a moment later than it is made, and a reader may be quicker: then
        the log is asked.
        """
        shown = {result_id for result_id, item in items.items() if item.attempt > 0}
        logs = await self._logs.numbered_across_clients([r for r in items if r not in shown])
        return shown | {
            result_id
            for result_id, events in logs.items()
            if any(event.name is EventName.DELIVERY_ATTEMPTED for event in events)
        }

    def _event(self, engagement: Engagement, client_id: ClientId) -> Event:
        metadata = {"user_agent": engagement.user_agent} if engagement.user_agent else {}
        if engagement.url:
            metadata["url"] = engagement.url
        return Event(
            id=unnumbered_event_id(engagement.result_id, engagement.name, engagement.url),
            name=engagement.name,
            at=engagement.at,
            client_id=client_id,
            writer=self._writer,
            metadata=metadata,
        )
