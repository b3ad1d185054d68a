"""The books: what was accepted, and what became of it. Both sides are counted apart.

One side is what the results say was accepted, the other what the logs say has become of it. They
come from different collections, so that an item that is missing in one shows as a difference.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from cdp.domain.event import Status
from cdp.domain.ids import text_of


class Bucket(StrEnum):
    """Where an accepted communication stands in the books; it is in exactly one."""

    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SCHEDULED = "scheduled"
    WAITING = "waiting"
    IN_FLIGHT = "in_flight"
    RETRYING = "retrying"


_FINAL: Final[Mapping[Status, Bucket]] = {
    Status.DELIVERED: Bucket.DELIVERED,
    Status.UNDELIVERABLE: Bucket.UNDELIVERABLE,
    Status.SUPPRESSED: Bucket.SUPPRESSED,
    Status.CANCELLED: Bucket.CANCELLED,
    Status.EXPIRED: Bucket.EXPIRED,
}
PENDING: Final = frozenset(Bucket) - frozenset(_FINAL.values())


def bucket_of(status: Status, attempt: int) -> Bucket:
    """The bucket of a result with this status after so many attempts."""
    final = _FINAL.get(status)
    if final is not None:
        return final
    if status is Status.SENDING:
        return Bucket.IN_FLIGHT
    if attempt:
        return Bucket.RETRYING
    return Bucket.SCHEDULED if status is Status.SCHEDULED else Bucket.WAITING


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One client's or campaign's books."""

    accepted: int = 0
    delivered: int = 0
    undeliverable: int = 0
    suppressed: int = 0
    cancelled: int = 0
    expired: int = 0
    scheduled: int = 0
    waiting: int = 0
    in_flight: int = 0
    retrying: int = 0
    opened: int = 0
    """Results that were opened at least once: beside the sum, not in it."""
    clicked: int = 0

    @property
    def pending(self) -> int:
        """What has no final state yet."""
        return self.scheduled + self.waiting + self.in_flight + self.retrying

    @property
    def accounted(self) -> int:
        """What something has become of, or will."""
        closed = self.delivered + self.undeliverable + self.suppressed
        return closed + self.cancelled + self.expired + self.pending

    @property
    def is_even(self) -> bool:
        """Whether nothing was lost and nothing came from nowhere."""
        return self.accepted == self.accounted

    def __add__(self, other: "Balance") -> "Balance":
        """Both together."""
        names = [field.name for field in fields(self)]
        return Balance(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something that must never be, with the rule that says so."""

    rule: str
    result_id: str
    """As people see it; empty when it is about no single result."""
    client: str
    sentence: str


Account = tuple[bytes, str | None]
"""A client and a campaign: what the books are kept for."""


class Books:
    """Counts both sides. It grows with clients and campaigns, never with communications."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Account, str]] = Counter()

    def accept(self, account: Account) -> None:
        """A result exists."""
        self._counts[account, "accepted"] += 1

    def account(self, account: Account, bucket: Bucket) -> None:
        """A log says that this has become of a result."""
        self._counts[account, bucket.value] += 1

    def engage(self, account: Account, *, opened: bool, clicked: bool) -> None:
        """A result was looked at."""
        self._counts[account, "opened"] += opened
        self._counts[account, "clicked"] += clicked

    def by_campaign(self) -> dict[Account, Balance]:
        """The balance of every campaign; None stands for what belongs to no campaign."""
        sums: dict[Account, dict[str, int]] = {}
        for (account, name), count in self._counts.items():
            sums.setdefault(account, {})[name] = count
        return {account: Balance(**counts) for account, counts in sums.items()}

    def by_client(self) -> dict[bytes, Balance]:
        """The balance of every client."""
        balances: dict[bytes, Balance] = {}
        for (client_id, _), balance in self.by_campaign().items():
            balances[client_id] = balances.get(client_id, Balance()) + balance
        return balances

    def violations(self) -> list[Violation]:
        """Every client and campaign whose books do not balance (rule V5)."""
        uneven: list[Violation] = [
            _uneven(client_id, "the client", balance)
            for client_id, balance in self.by_client().items()
            if not balance.is_even
        ]
        uneven += [
            _uneven(client_id, f"campaign {campaign}", balance)
            for (client_id, campaign), balance in self.by_campaign().items()
            if campaign is not None and not balance.is_even
        ]
        return uneven


def _uneven(client_id: bytes, whose: str, balance: Balance) -> Violation:
    return Violation(
        rule="V5",
        result_id="",
        client=text_of(client_id),
        sentence=(
            f"The books of {whose} do not balance: "
            f"{balance.accepted} accepted, {balance.accounted} accounted for."
        ),
    )
