"""The suppression list: what is on it, and what that does to messages that are on their way.

An entry is stored first; then the recipient's open results get SUPPRESSED as their next event. A
message that is accepted, or comes back for a retry, meanwhile is looked up when a worker claims it,
which is after the result exists. So one of the two sees the other, whoever was first (rule D13).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cdp.channels.table import CHANNELS
from cdp.domain.communication import Communication
from cdp.domain.ids import ClientId, ResultId, text_of
from cdp.domain.suppression import Suppression, SuppressionReason, ids_that_count
from cdp.errors import NotFound
from cdp.ports.clock import Clock
from cdp.services.communication_service import CommunicationService
from cdp.storage.delivery_results import DeliveryResults
from cdp.storage.suppressions import Suppressions

OPEN_MAX: Final = 1_000
"""Open results of one recipient that are looked at at a time."""
ROUNDS_MAX: Final = 100


def suppressed_as(channel: str, identifier: str) -> str:
    """The form of an address under which it is suppressed on its channel."""
    return CHANNELS[channel].suppressed_as(identifier)


class SuppressionService:
    """One client's list at a time."""

    def __init__(
        self,
        *,
        suppressions: Suppressions,
        results: DeliveryResults,
        communications: CommunicationService,
        clock: Clock,
    ) -> None:
        self._suppressions = suppressions
        self._results = results
        self._communications = communications
        self._clock = clock

    async def suppress(self, entries: Sequence[Suppression]) -> int:
        """Keep these entries, and stop what is on its way to them.

        When it returns, nothing more is sent to them but what a worker had already.

        Returns:
            How many results were stopped.
        """
        await self._suppressions.insert(entries)
        stopped = 0
        by_channel: dict[tuple[ClientId, str], list[Suppression]] = defaultdict(list)
        for entry in entries:
            by_channel[entry.client_id, entry.channel].append(entry)
        for (client_id, channel), group in by_channel.items():
            stopped += await self._stop(client_id, channel, group)
        return stopped

    async def _stop(self, client_id: ClientId, channel: str, group: Sequence[Suppression]) -> int:
        stopped, after = 0, None
        for _ in range(ROUNDS_MAX):
            found = await self._results.open_to(
                client_id, channel, [entry.recipient for entry in group],
                after=after, limit=OPEN_MAX,
            )  # fmt: skip
            for entry in group:
                mine = [
                    result_id
                    for result_id, recipient, topic in found
                    if recipient == entry.recipient and entry.topic in (None, topic)
                ]
                if mine:
                    done = await self._communications.suppress(
                        client_id, mine, metadata=metadata_of(entry)
                    )
                    stopped += len(done)
            if len(found) < OPEN_MAX:
                break
            after = found[-1][0]
        return stopped

    async def of(self, contents: Iterable[Communication]) -> dict[ResultId, Suppression]:
        """Which of these must not be sent, and by what entry: one query for all of them."""
        wanted: dict[bytes, list[ResultId]] = defaultdict(list)
        for content in contents:
            recipient = suppressed_as(content.channel, content.to[0])
            for entry_id in ids_that_count(
                content.client_id, content.channel, recipient, content.topic
            ):
                wanted[entry_id].append(content.result_id)
        found = await self._suppressions.across_clients(list(wanted)) if wanted else {}
        return {
            result_id: entry for entry_id, entry in found.items() for result_id in wanted[entry_id]
        }

    async def note_bounces(self, contents: Sequence[Communication]) -> None:
        """Keep the addresses that do not exist. What is lost by a crash before this is kept when
        the next message to the same address bounces."""
        now = self._clock.now()
        await self._suppressions.insert(
            [
                Suppression(
                    client_id=content.client_id,
                    channel=content.channel,
                    recipient=suppressed_as(content.channel, content.to[0]),
                    reason=SuppressionReason.HARD_BOUNCE,
                    source=text_of(content.result_id),
                    created_at=now,
                )
                for content in contents
            ]
        )

    async def page(
        self,
        client_id: ClientId,
        *,
        named: Mapping[str, Any],
        after: bytes | None,
        limit: int,
    ) -> list[Suppression]:
        """Entries in a fixed order; only those that have these fields."""
        return await self._suppressions.page(client_id, named=dict(named), after=after, limit=limit)

    async def delete(self, client_id: ClientId, entry_id: bytes) -> None:
        """Take an entry away. What it has stopped stays stopped.

        Raises:
            NotFound: there is none.
        """
        if not await self._suppressions.delete(client_id, entry_id):
            raise NotFound


def metadata_of(entry: Suppression) -> dict[str, Any]:
    """What an event says of the entry that stopped its message."""
    said: dict[str, Any] = {"reason": entry.reason.value, "source": entry.source}
    if entry.topic is not None:
        said["topic"] = entry.topic
    return said
