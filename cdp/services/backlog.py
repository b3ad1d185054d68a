"""Whether more may be accepted: for a client, for the platform, for the disk (rules O2 and D15)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cdp.domain.client import Client
from cdp.domain.ids import ClientId
from cdp.domain.lane import Priority
from cdp.errors import BacklogFull, PlatformFull
from cdp.ports.clock import Clock

HIGH_SHARE: Final = 1.1
"""Of the platform's limit up to which urgent messages are still taken."""
FREE_BYTES_MIN: Final = 2 * 1024**3
FREE_SHARE_MIN: Final = 0.1
CLIENT_RETRY_S: Final = 5
PLATFORM_RETRY_S: Final = 10
DISK_RETRY_S: Final = 60
DISK_FRESH_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpace:
    """What `statvfs` says of the volume that MongoDB writes to."""

    free_bytes: int
    total_bytes: int

    @property
    def is_low(self) -> bool:
        """Whether MongoDB may soon be unable to recover."""
        return self.free_bytes < max(FREE_BYTES_MIN, FREE_SHARE_MIN * self.total_bytes)


class Backlog:
    """The newest counts of unfinished results, and what this process has accepted since.

    Counts are told, never taken by counting documents, so the limits hold to within what all
    processes accept between two tellings.
    """

    def __init__(
        self,
        *,
        client_max: int,
        platform_max: int,
        free_disk: Callable[[], DiskSpace] | None,
        clock: Clock,
    ) -> None:
        """`free_disk` is None where MongoDB's volume is not this machine's."""
        self._client_max = client_max
        self._platform_max = platform_max
        self._free_disk = free_disk
        self._clock = clock
        self._total = 0
        self._by_client: Mapping[ClientId, int] = {}
        self._since_total = 0
        self._since_by_client: dict[ClientId, int] = {}
        self._disk_is_low = False
        self._disk_seen_at = float("-inf")

    def update(self, total: int, by_client: Mapping[ClientId, int]) -> None:
        """Take in newer counts; what was accepted before is in them."""
        self._total = total
        self._by_client = by_client
        self._since_total = 0
        self._since_by_client = {}

    def admit(self, client: Client, count: int, priority: Priority) -> None:
        """Let `count` more results in, and note them.

        Raises:
            BacklogFull: the client has reached its limit.
            PlatformFull: the platform has, or the disk is nearly full.
        """
        known, since = self._by_client, self._since_by_client
        of_client = known.get(client.id, 0) + since.get(client.id, 0)
        client_max = self._client_max if client.backlog_max is None else client.backlog_max
        if of_client + count > client_max:
            raise BacklogFull(
                f"At most {client_max} communications may be unfinished at once.",
                retry_after_s=CLIENT_RETRY_S,
            )
        share = HIGH_SHARE if priority is Priority.HIGH else 1.0
        if self._total + self._since_total + count > self._platform_max * share:
            raise PlatformFull(retry_after_s=PLATFORM_RETRY_S)
        self._require_disk()
        self._since_total += count
        since[client.id] = since.get(client.id, 0) + count

    def release(self, client: Client, count: int) -> None:
        """Take back what was let in and then not stored."""
        self._since_total = max(0, self._since_total - count)
        of_client = self._since_by_client.get(client.id, 0)
        self._since_by_client[client.id] = max(0, of_client - count)

    def _require_disk(self) -> None:
        if self._free_disk is None:
            return
        now = self._clock.monotonic()
        if now - self._disk_seen_at >= DISK_FRESH_S:
            self._disk_is_low = self._free_disk().is_low
            self._disk_seen_at = now
        if self._disk_is_low:
            raise PlatformFull(
                "The disk of the platform is nearly full.", retry_after_s=DISK_RETRY_S
            )
