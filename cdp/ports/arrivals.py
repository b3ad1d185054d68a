"""Being told of objects that others have put into a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An object that has come. It may be gone again when somebody looks."""

    key: str
    receipt: str
    """What `done` knows it by; of no meaning to others."""


class Arrivals(Protocol):
    """New objects whose keys begin in one way, each told at least once, in no order.

    One is told again if nobody has said `done` for a while, after a restart, and to others that ask
    too: whoever takes an arrival must bear to see it twice. Every method raises
    `cdp.ports.object_store.StoreUnavailable`; what it concerns is told again.
    """

    async def next(self, *, limit: int, wait_s: float) -> list[Arrival]:
        """No more than `limit` of them; waits so long, about, if there are none."""

    async def done(self, arrivals: Sequence[Arrival]) -> None:
        """Tell no more of these: what came of them is stored."""

    async def close(self) -> None:
        """Give up connections."""
