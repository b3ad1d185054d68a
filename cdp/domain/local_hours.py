"""Hours of the day, on days of the week, by the clock of where a recipient is.

Written as `mon-fri 09:00-20:00`; the days may be left out, and `21:00-08:00` passes midnight: its
day is the one on which it begins.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TEXT_MAX: Final = 60
PATTERN: Final = r"^([a-z,-]{3,40} )?\d\d:\d\d-\d\d:\d\d$"
"""What it looks like; `LocalHours.read` says whether it is."""
LOOKS_MAX: Final = 50
"""So often a moment is moved on before it is taken that there is none."""

_FORM: Final = re.compile(r"(?:([a-z,-]{3,40}) )?(\d\d):(\d\d)-(\d\d):(\d\d)")
_DAY: Final = timedelta(days=1)
_MIDNIGHT: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class LocalHours:
    """A span of hours that comes on some days of the week."""

    days: frozenset[int]
    """From 0 for Monday to 6, each the day on which the span begins."""
    start: int
    """Minutes since midnight, and so is the end; one that is not later is of the next day."""
    end: int

    @classmethod
    @lru_cache(maxsize=1_000)
    def read(cls, text: str) -> "LocalHours":
        """From its text.

        Raises:
            ValueError: it is none; the text says why.
        """
        form = _FORM.fullmatch(text)
        if form is None:
            raise ValueError("Write it as 09:00-20:00 or mon-fri 09:00-20:00.")
        start, end = (int(form[i]) * 60 + int(form[i + 1]) for i in (2, 4))
        if start >= _MIDNIGHT or end > _MIDNIGHT or int(form[3]) > 59 or int(form[5]) > 59:
            raise ValueError("Hours go from 00:00 to 24:00.")
        if start == end:
            raise ValueError("It must not end when it begins.")
        return cls(days=_days(form[1]), start=start, end=end)

    def ends_after(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """When the hours end in which the moment is; None when it is in none."""
        for begins, ends in self._spans(moment, zone):
            if begins <= moment < ends:
                return ends
        return None

    def begins_after(self, moment: datetime, zone: tzinfo) -> datetime:
        """When the next hours begin."""
        return min(begins for begins, _ in self._spans(moment, zone) if begins > moment)

    def _spans(self, moment: datetime, zone: tzinfo) -> Iterator[tuple[datetime, datetime]]:
        """The spans of the week around it, in UTC."""
        today = moment.astimezone(zone).date()
        for offset in range(-1, 9):
            day = today + offset * _DAY
            if day.weekday() in self.days:
                last = day if self.end > self.start else day + _DAY
                yield _moment(day, self.start, zone), _moment(last, self.end, zone)


def _moment(day: date, minutes: int, zone: tzinfo) -> datetime:
    """The time of day there, in UTC.

    Of one that comes twice it is the first; one that the clock leaps over is as late as if it did
    not (RFC 5545, section 3.3.5).
    """
    days, minutes = divmod(minutes, _MIDNIGHT)
    local = datetime.combine(day + days * _DAY, time(minutes // 60, minutes % 60), tzinfo=zone)
    return local.astimezone(UTC)


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"Days are {', '.join(DAYS)}, such as mon-fri or sat,sun.")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days |= {(begin + n) % 7 for n in range((end - begin) % 7 + 1)}
    return frozenset(days)


@lru_cache(maxsize=1_000)
def zone_of(name: str) -> tzinfo:
    """A time zone of the IANA database.

    Raises:
        ValueError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A name with a path in it is a ValueError, and a folder an OSError.
        raise ValueError(f"There is no time zone {name}.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendHours:
    """When somebody may be written to."""

    window: LocalHours | None = None
    """Only within these hours."""
    quiet: LocalHours | None = None
    """Not within these."""

    @classmethod
    def read(cls, window: str | None, quiet: str | None) -> "SendHours":
        """From their texts.

        Raises:
            ValueError: one is none; the text says why.
        """
        return cls(
            window=None if window is None else LocalHours.read(window),
            quiet=None if quiet is None else LocalHours.read(quiet),
        )

    def opens(self, moment: datetime, zone: tzinfo) -> tuple[str, datetime] | None:
        """Why one must wait, and until when; None when one need not.

        Raises:
            ValueError: there is no moment at which one may.
        """
        reason, at = "", moment
        for _ in range(LOOKS_MAX):
            if self.window is not None and self.window.ends_after(at, zone) is None:
                reason, at = reason or "send_window", self.window.begins_after(at, zone)
            elif self.quiet is not None and (ends := self.quiet.ends_after(at, zone)) is not None:
                reason, at = reason or "quiet_hours", ends
            else:
                return (reason, at) if reason else None
        raise ValueError("The quiet hours leave nothing of the send window.")
