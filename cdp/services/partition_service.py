"""Who owns which partition: the Supervisor assigns, a shard takes, renews and gives back.

The holder trusts its lease only for two thirds of its time, counted on its own monotonic clock
from before the renewal (rule D6); MongoDB's clock alone decides when another may take it.
"""

import contextlib
from collections.abc import Sequence
from typing import Final

from cdp.domain.ids import Partition
from cdp.domain.partition_plan import plan
from cdp.errors import OutcomeUnknown
from cdp.ports.clock import Clock
from cdp.storage.partition_leases import PartitionLeases

TRUSTED: Final = 2 / 3


class PartitionAssigner:
    """The Supervisor's side."""

    def __init__(self, *, leases: PartitionLeases, partitions: int) -> None:
        self._leases = leases
        self._partitions = partitions

    async def assign(self, shards: Sequence[str]) -> dict[str, list[Partition]]:
        """Spread all partitions over these shards; what is well where it is stays."""
        stored = await self._leases.all()
        if len(stored) < self._partitions:
            await self._leases.create(self._partitions)
            stored = await self._leases.all()
        wanted = plan(shards, {lease.partition: lease.assigned for lease in stored})
        owner = {p: shard for shard, owned in wanted.items() for p in owned}
        changed: dict[str, list[Partition]] = {}
        for lease in stored:
            if lease.assigned != owner[lease.partition]:
                changed.setdefault(owner[lease.partition], []).append(lease.partition)
        await self._leases.assign(changed)
        return wanted


class PartitionHolder:
    """A shard's side."""

    def __init__(
        self,
        *,
        leases: PartitionLeases,
        shard: str,
        incarnation: str,
        ttl_s: float,
        clock: Clock,
    ) -> None:
        self._leases = leases
        self._shard = shard
        self._incarnation = incarnation
        self._ttl_s = ttl_s
        self._clock = clock
        self._epochs: dict[Partition, int] = {}
        self._trusted_until = float("-inf")

    async def renew(self) -> dict[Partition, int]:
        """Renew and take, then give back what is another's now; the epoch of each that is held.

        Raises:
            OutcomeUnknown: MongoDB could not be asked; what is held lapses by itself.
        """
        before = self._clock.monotonic()
        held = await self._leases.take(self._shard, self._incarnation, ttl_s=self._ttl_s)
        self._epochs = {lease.partition: lease.epoch for lease in held}
        self._trusted_until = before + self._ttl_s * TRUSTED
        # Only now, and only what is not in the epochs: it may have another owner at once.
        await self._leases.give_back_all_but(self._incarnation, list(self._epochs))
        return self._epochs

    def epochs(self) -> dict[Partition, int]:
        """What may be acted on now: nothing once the last renewal is too old."""
        return self._epochs if self._clock.monotonic() < self._trusted_until else {}

    async def give_back(self) -> None:
        """Free everything, when the shard ends in peace."""
        self._epochs = {}
        await self._leases.give_back(self._incarnation)


class PartitionOwners:
    """What everybody else needs: which shard a partition is assigned to, at most 2 s old."""

    FRESH_S: Final = 2.0

    def __init__(self, *, leases: PartitionLeases, clock: Clock) -> None:
        self._leases = leases
        self._clock = clock
        self._owners: dict[Partition, str] = {}
        self._fresh_until = float("-inf")

    async def owners(self) -> dict[Partition, str]:
        """The shard of each partition that is assigned; the last known when MongoDB is away."""
        now = self._clock.monotonic()
        if now >= self._fresh_until:
            self._fresh_until = now + self.FRESH_S
            with contextlib.suppress(OutcomeUnknown):
                stored = await self._leases.all()
                self._owners = {s.partition: s.assigned for s in stored if s.assigned}
        return self._owners
