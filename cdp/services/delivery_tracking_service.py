"""The Delivery Tracking Service: turns signed links and pixels into OPENED and CLICKED.

A visitor's answer never waits for MongoDB but for a click's target. What was seen is recorded in
batches; a repeat within the same message is the same event and is stored once. What a machine did
is an event of its own beside what a person did, so neither hides the other (rule E10).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from cdp.domain.event import Event, EventName
from cdp.domain.ids import ClientId, ResultId, text_of, unnumbered_event_id
from cdp.domain.suppression import Suppression, SuppressionReason
from cdp.domain.tracking_token import read_link, read_pixel, read_unsubscribe
from cdp.domain.visit import (
    BURST_S,
    ClickBursts,
    MachineSign,
    Visit,
    machine_signs,
    relay_of,
)
from cdp.errors import NotFound
from cdp.ports.clock import Clock
from cdp.services.client_config_service import ReadThrough
from cdp.services.engagement_queue import Engagement, EngagementQueue
from cdp.services.suppression_service import SuppressionService
from cdp.storage.communication_logs import CommunicationLogs
from cdp.storage.delivery_results import DeliveryResults, Sent
from cdp.storage.links import LinkList, Links

FIELD_OF: Final[Mapping[tuple[EventName, bool], str]] = {
    (EventName.OPENED, False): "opened_at",
    (EventName.READ, False): "read_at",
    (EventName.CLICKED, False): "clicked_at",
    (EventName.OPENED, True): "machine_opened_at",
    (EventName.CLICKED, True): "machine_clicked_at",
}
"""Where a result shows the first of an event, by a person or by a machine."""
_BY_MACHINE: Final = "\0machine"
"""Makes a machine's event another than a person's."""


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
        self._bursts = ClickBursts()
        self._queue = EngagementQueue(self.record, clock=clock)

    def opened(self, token: str, visit: Visit) -> None:
        """A pixel was fetched.

        Raises:
            NotFound: the token is not one of ours; nothing was recorded.
        """
        result_id = read_pixel(token, key=self._key)
        if result_id is None:
            raise NotFound
        self._queue.keep(
            Engagement(
                result_id=result_id, name=EventName.OPENED, at=self._clock.now(), visit=visit
            )
        )

    async def clicked(self, token: str, visit: Visit) -> str:
        """A link was followed: where it leads.

        Raises:
            NotFound: the token is not one of ours; nothing was recorded.
        """
        link = read_link(token, key=self._key)
        if link is None:
            raise NotFound
        links = (await self._lists.get_many([link.links_id])).get(link.links_id)
        if links is None or link.index >= len(links.urls):
            raise NotFound
        url, seen_s = links.urls[link.index], self._clock.monotonic()
        self._bursts.note(link.result_id, link.index, of=len(links.urls), at_s=seen_s)
        clicked = Engagement(
            result_id=link.result_id,
            name=EventName.CLICKED,
            at=self._clock.now(),
            url=url,
            visit=visit,
            seen_s=seen_s,
        )
        self._queue.keep(clicked, hold_s=BURST_S)
        return url

    def opt_out_of(self, token: str) -> ResultId:
        """The message by which somebody wants to opt out.

        Raises:
            NotFound: the token is not one of ours.
        """
        result_id = read_unsubscribe(token, key=self._key)
        if result_id is None:
            raise NotFound
        return result_id

    async def unsubscribed(self, token: str, visit: Visit) -> None:
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
            visit=visit,
        )
        await self.record([opted_out])

    async def record_forever(self) -> None:
        """Record what waits, in groups, until cancelled; then what is left."""
        await self._queue.run()

    async def record_of_client(
        self, client_id: ClientId, group: Sequence[Engagement]
    ) -> set[ResultId]:
        """Record what a client reports of its own communications; of which it was recorded."""
        sent = await self._results.sent_across_clients({e.result_id for e in group})
        own = {r: each for r, each in sent.items() if each.client_id == client_id}
        return await self._record([e for e in group if e.result_id in own], own)

    async def record(self, group: Sequence[Engagement]) -> None:
        """Insert the events of what was attempted at all, then mark the results."""
        sent = await self._results.sent_across_clients({e.result_id for e in group})
        await self._record(group, sent)

    async def _record(
        self, group: Sequence[Engagement], sent: Mapping[ResultId, Sent]
    ) -> set[ResultId]:
        handed_over = await self._handed_over(sent)
        judged = [
            (engagement, self._signs(engagement, handed_over[engagement.result_id]))
            for engagement in group
            if engagement.result_id in handed_over
        ]
        made = [self._event(e, signs, sent[e.result_id].client_id) for e, signs in judged]
        # Of the same event in one group the first counts.
        await self._logs.append(list({event.id: event for event in reversed(made)}.values()))
        marks = [
            (field, engagement.at, engagement.result_id)
            for engagement, signs in judged
            if (field := FIELD_OF.get((engagement.name, bool(signs)))) is not None
        ]
        await self._results.mark_engaged(marks)
        return set(handed_over)

    async def _handed_over(self, sent: Mapping[ResultId, Sent]) -> dict[ResultId, datetime]:
        """When each was delivered, or its last attempt began; without those never attempted.

        Content can be looked at before it is sent: nobody has opened that message yet. A result
        shows its attempt a moment later than it is made, and a reader may be quicker: then the log
        is asked.
        """
        known = {r: at for r, each in sent.items() if (at := each.delivered_at) is not None}
        logs = await self._logs.numbered_across_clients([r for r in sent if r not in known])
        begun = {
            result_id: [event.at for event in events if event.name in _HANDING_OVER]
            for result_id, events in logs.items()
        }
        return known | {result_id: times[-1] for result_id, times in begun.items() if times}

    def _signs(self, engagement: Engagement, handed_over_at: datetime) -> Sequence[MachineSign]:
        """What speaks for a machine. A client's app, and who opts out by a form, are none."""
        visit = engagement.visit
        if visit is None or engagement.name not in _BY_ANYBODY:
            return ()
        is_burst = engagement.name is EventName.CLICKED and self._bursts.is_burst(
            engagement.result_id, at_s=engagement.seen_s
        )
        return machine_signs(
            engagement.name,
            replace(visit, is_burst=is_burst),
            at=engagement.at,
            handed_over_at=handed_over_at,
        )

    def _event(
        self, engagement: Engagement, signs: Sequence[MachineSign], client_id: ClientId
    ) -> Event:
        metadata: dict[str, Any] = {"url": engagement.url} if engagement.url else {}
        if engagement.visit is not None:
            metadata |= facts_of(engagement.visit)
            if engagement.name in _BY_ANYBODY:
                metadata["is_machine"] = bool(signs)
                if signs:
                    metadata["signs"] = [sign.value for sign in signs]
        reference = engagement.url + (_BY_MACHINE if signs else "")
        return Event(
            id=unnumbered_event_id(engagement.result_id, engagement.name, reference),
            name=engagement.name,
            at=engagement.at,
            client_id=client_id,
            writer=self._writer,
            metadata=metadata,
        )


def facts_of(visit: Visit) -> dict[str, str]:
    """What is kept of a visitor: what it said of itself, and nothing of where it came from."""
    facts = {
        "method": "" if visit.method == "GET" else visit.method,
        "user_agent": visit.user_agent,
        "purpose": visit.purpose,
        "relay": relay_of(visit.user_agent) or "",
    }
    return {name: fact for name, fact in facts.items() if fact}


_BY_ANYBODY: Final = frozenset({EventName.OPENED, EventName.CLICKED})
"""What a public URL alone makes happen."""
_HANDING_OVER: Final = frozenset({EventName.DELIVERY_ATTEMPTED, EventName.DELIVERY_SUCCEEDED})
