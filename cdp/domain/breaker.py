"""A circuit breaker: when a provider is in trouble, most messages wait instead of trying it.

Closed it lets everything through. After a row of troubles it opens and lets nothing through for
a while; then one small probe decides. Without it, an outage of a minute would spend every
waiting message's attempts (rule D11).
"""

from dataclasses import dataclass
from typing import Final

PROBE: Final = 1
"""Messages that a probe may risk."""


@dataclass(slots=True, kw_only=True)
class Breaker:
    """The state of one provider, as one worker sees it. Times are monotonic seconds."""

    threshold: int = 5
    """Troubles in a row that open it."""
    open_s: float = 2.0
    open_max_s: float = 30.0
    _in_a_row: int = 0
    _opened: int = 0
    _closed_until: float | None = None
    _probing_since: float | None = None

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        if self._closed_until is None:
            return "closed"
        return "open" if self._probing_since is None else "half-open"

    def allows(self, wanted: int, *, now: float) -> int:
        """How many of `wanted` messages may be tried now."""
        if self._closed_until is None:
            return wanted
        if now < self._closed_until:
            return 0
        if self._probing_since is not None and now - self._probing_since < self.open_max_s:
            return 0
        self._probing_since = now
        return min(wanted, PROBE)

    def note(self, trouble: bool, *, now: float) -> None:
        """Take in what became of one message."""
        if not trouble:
            self._in_a_row = self._opened = 0
            self._closed_until = self._probing_since = None
            return
        self._in_a_row += 1
        if self._probing_since is not None or self._in_a_row == self.threshold:
            self._probing_since = None
            wait_s = min(self.open_s * 2.0 ** min(self._opened, 10), self.open_max_s)
            self._closed_until = now + wait_s
            self._opened += 1
