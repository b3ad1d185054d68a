"""A file's turn: for how long it is worked on while others wait."""

from cdp.domain.file_turn import turn_s
from cdp.domain.ids import ClientId
from cdp.ports.clock import Clock
from cdp.storage.file_turns import FileTurns


class TurnOver(Exception):
    """Another file waits; this one goes on later, after a rest."""

    def __init__(self, rest_s: float) -> None:
        super().__init__()
        self.rest_s = rest_s


class Turn:
    """The turn of a file of this client, which begins now."""

    def __init__(self, client_id: ClientId, *, turns: FileTurns, clock: Clock) -> None:
        self._client_id = client_id
        self._turns = turns
        self._clock = clock
        self._began = clock.monotonic()
        self._length_s = turn_s(going_back_s=0.0)
        self._is_there = False

    def arrived(self) -> None:
        """The first rows are here: what it took to get to them says how long it should be."""
        if not self._is_there:
            self._is_there = True
            now = self._clock.monotonic()
            self._length_s = turn_s(going_back_s=now - self._began)
            self._began = now

    @property
    def is_over(self) -> bool:
        """Whether it was long enough: never before there was a stretch."""
        return self._is_there and self._clock.monotonic() - self._began >= self._length_s

    async def give_way(self, *, rest_s: float = 0.0) -> None:
        """End it, if it was long enough and another file waits: first other clients'.

        Raises:
            TurnOver: it has ended, and the file rests for so many seconds.
        """
        if not self.is_over:
            return
        if await self._turns.next_across_clients(after=self._client_id) is not None:
            raise TurnOver(rest_s)
        self._began = self._clock.monotonic()
