"""In-app messages, into the inbox that the platform keeps for each user of a client's app.

An entry is known by its result's id, so a message that is sent again is no second entry.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from cdp.domain.ids import ClientId
from cdp.ports.inbox import Inbox, InboxEntry, InboxUnavailable
from cdp.ports.provider import (
    Accepted,
    FailureClass,
    InAppMessage,
    Outcome,
    Provider,
    ProviderTools,
    Rejected,
    Report,
)
from cdp.providers.settings import ProviderSettings
from cdp.providers.turns import NOT_STARTED

BATCH_MAX: Final = 1_000


class InboxSettings(ProviderSettings):
    """There is nothing to set."""


class InboxProvider(Provider[InAppMessage]):
    """Puts messages into inboxes, a batch at a time."""

    Settings: ClassVar[type[ProviderSettings]] = InboxSettings

    def __init__(self, inbox: Inbox, tools: ProviderTools) -> None:
        self._inbox = inbox
        self._clock = tools.clock

    @classmethod
    def open(cls, settings: Any, tools: ProviderTools) -> "InboxProvider":
        """See `Adapter.open`."""
        assert tools.inbox is not None
        return cls(tools.inbox, tools)

    async def deliver(self, messages: Sequence[InAppMessage], report: Report[InAppMessage]) -> None:
        """Put all, and call `report` exactly once for each; see `Provider`."""
        begun = asyncio.get_running_loop().time()
        for start in range(0, len(messages), BATCH_MAX):
            batch = messages[start : start + BATCH_MAX]
            waited_s = asyncio.get_running_loop().time() - begun
            late = [message for message in batch if message.deadline_s <= waited_s]
            for message in late:
                report(message, NOT_STARTED)
            fit = [message for message in batch if message.deadline_s > waited_s]
            outcome = await self._put(fit)
            for message in fit:
                report(message, outcome)

    async def _put(self, messages: Sequence[InAppMessage]) -> Outcome:
        now = self._clock.now()
        entries = [
            InboxEntry(
                result_id=message.result_id,
                client_id=ClientId(message.client_id),
                user=message.user,
                title=message.title,
                body=message.body,
                action_url=message.action_url,
                action_label=message.action_label,
                data=message.data,
                created_at=now,
                expires_at=message.expires_at,
            )
            for message in messages
        ]
        try:
            await self._inbox.put(entries)
        except InboxUnavailable:
            # To put it once more is harmless, so it need not be called unknown.
            return Rejected(failure=FailureClass.TRANSIENT, code="inbox_unavailable")
        return Accepted(answer="in the inbox")

    async def close(self) -> None:
        """There is nothing to give up."""
