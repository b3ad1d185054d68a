"""The suppression list: what is on it, and what that does to messages that are on their way.

An entry is stored first; then the recipient's open results get SUPPRESSED as their next event. A
message that is accepted, or comes back for a retry, meanwhile is looked up when a worker claims it,
which is after the result exists. So one of the two sees the other, whoever was first (rule D13).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """What of a message must not be sent."""

    by: Suppression | None = None
    """Why nothing of it may be; None where only copies may not."""
    copies: frozenset[str] = frozenset()
    """The copies that may not, as they stand in the request: `/cc/0`."""

    def left_out(self, content: Communication) -> frozenset[str]:
        """The addresses of those copies."""
        return frozenset(address for at, address in _addresses(content) if at in self.copies)


NOTHING_WITHHELD: Final = Withheld()


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
        by_recipient: dict[str, list[Suppression]] = defaultdict(list)
        for entry in group:
            by_recipient[entry.recipient].append(entry)
        stopped, after = 0, None
        for _ in range(ROUNDS_MAX):
            found = await self._results.open_to(
                client_id, channel, list(by_recipient), after=after, limit=OPEN_MAX
            )
            reasons = {
                result_id: metadata_of(entry)
                for result_id, recipient, topic in found
                for entry in by_recipient[recipient]
                if entry.topic in (None, topic)
            }
            if reasons:
                stopped += len(await self._communications.suppress(client_id, reasons))
            if len(found) < OPEN_MAX:
                break
            after = found[-1][0]
        return stopped

    async def of(self, contents: Iterable[Communication]) -> dict[ResultId, Withheld]:
        """What must not be sent of these, and why: one query for all of them.

        Those of which everything may be sent are left out.
        """
        wanted: dict[bytes, list[tuple[ResultId, str | None]]] = defaultdict(list)
        for content in contents:
            for at, address in _addresses(content):
                recipient = suppressed_as(content.channel, address)
                for entry_id in ids_that_count(
                    content.client_id, content.channel, recipient, content.topic
                ):
                    wanted[entry_id].append((content.result_id, at))
        found = await self._suppressions.across_clients(list(wanted)) if wanted else {}
        whole: dict[ResultId, Suppression] = {}
        copies: dict[ResultId, set[str]] = defaultdict(set)
        for entry_id, entry in found.items():
            for result_id, at in wanted[entry_id]:
                if at is None:
                    whole[result_id] = entry
                else:
                    copies[result_id].add(at)
        return {
            result_id: Withheld(by=whole.get(result_id), copies=frozenset(copies[result_id]))
            for result_id in {*whole, *copies}
        }

    async def note_bounces(self, contents: Sequence[Communication]) -> None:
        """Keep the addresses that do not exist."""
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

    async def find(self, client_id: ClientId, entry_id: bytes) -> Suppression:
        """One entry.

        Raises:
            NotFound: there is none.
        """
        entry = await self._suppressions.of_client(client_id, entry_id)
        if entry is None:
            raise NotFound
        return entry

    async def delete(self, client_id: ClientId, entry_id: bytes) -> None:
        """Take an entry away. What it has stopped stays stopped.

        Raises:
            NotFound: there is none.
        """
        if not await self._suppressions.delete(client_id, entry_id):
            raise NotFound


def _addresses(content: Communication) -> Iterator[tuple[str | None, str]]:
    """Everybody who gets a message: None for its recipient, its copies by where they stand."""
    yield None, content.to[0]
    for kind, pairs in (("cc", content.cc), ("bcc", content.bcc)):
        for index, (address, _) in enumerate(pairs):
            yield f"/{kind}/{index}", address


def metadata_of(entry: Suppression) -> dict[str, Any]:
    """What an event says of the entry that stopped its message."""
    said: dict[str, Any] = {"reason": entry.reason.value, "source": entry.source}
    if entry.topic is not None:
        said["topic"] = entry.topic
    return said
