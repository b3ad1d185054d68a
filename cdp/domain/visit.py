"""Whether it was a person who fetched a pixel or followed a link, or a machine (rule E10).

Pure: `DeliveryTrackingService` brings what it saw of a visit and what is known of its message.
Every sign that speaks for a machine is named, so that a verdict can be understood, and drawn anew
from the raw facts, which stay beside it in the log.

What is not asked is where a visit came from: the address ranges of data centres are thousands that
change every week, and people come from there too, by a VPN or their company's proxy.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cdp.domain.event import EventName

TOO_SOON: Final = timedelta(seconds=2)
"""Nobody reads a message within this time of its delivery."""
BURST_S: Final = 2.0
"""Nobody follows all links of a message, or `BURST_LINKS` of them, within this time."""
BURST_LINKS: Final = 3
FACT_CHARS_MAX: Final = 200
"""Of a header that is kept."""
MESSAGES_MAX: Final = 10_000
"""Whose clicks are remembered at once."""


class MachineSign(StrEnum):
    """What speaks for a machine."""

    HEAD = "head"
    """Only the answer's head was asked for."""
    PREFETCH = "prefetch"
    """A header says that it was fetched before anybody wanted it."""
    PRIVACY_PROXY = "privacy_proxy"
    """A mail program's proxy that fetches every image, read or not: Apple's, Gmail's prefetch."""
    PROGRAM = "program"
    """The user agent names a scanner, a preview, a crawler or a library."""
    NO_USER_AGENT = "no_user_agent"
    """A link was followed by what has no name; every browser has one."""
    TOO_SOON = "too_soon"
    """It came before anybody can have read the message."""
    ALL_LINKS = "all_links"
    """The links of the message were followed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What was seen of one look at a pixel or a link."""

    method: str = "GET"
    user_agent: str = ""
    purpose: str = ""
    """What the visitor says it is for, where it says so: `prefetch`."""
    is_burst: bool = False
    """Whether the links of the message were followed at once; see `ClickBursts`."""


_APPLE: Final = "Mozilla/5.0"
"""All that Apple's Mail Privacy Protection says of itself."""
_GMAIL_PREFETCH: Final = re.compile(r"Edge/12\.246 (?:Mozilla/5\.0|Gmail-content-sampling)$")
"""Gmail's fetch ahead of an opening. Its image proxy is another: that one fetches on opening."""
_PROGRAM: Final = re.compile(
    r"""
      (?<!cu)bot\b | crawl | spider | scanner | preview | headless | phantomjs
    | ^(?:curl|wget|java|ruby|php|perl|lua|go-http-client|apache-httpclient|axios|undici)\b
    | ^(?:node-fetch|got|postmanruntime|libwww|python)\b | \b(?:aiohttp|httpx|urllib|requests)/
    | barracuda | proofpoint | mimecast | messagelabs | symantec | fireeye | trellix | trendmicro
    | sophos | zscaler | fortinet | ironport | cloudmark | forcepoint | safelinks | urldefense
    | facebookexternalhit | ^whatsapp/ | embedly | mastodon
    """,
    re.IGNORECASE | re.VERBOSE,
)
_RELAYS: Final = (("GoogleImageProxy", "google"), ("YahooMailProxy", "yahoo"))


def relay_of(user_agent: str) -> str | None:
    """Whose proxy fetched an image for a person who opened the message, if one did.

    These fetch when somebody looks: what they hide is where and by what, not that it was opened.
    """
    return next((relay for mark, relay in _RELAYS if mark in user_agent), None)


def machine_signs(
    name: EventName, visit: Visit, *, at: datetime, handed_over_at: datetime | None
) -> Sequence[MachineSign]:
    """What speaks for a machine; nothing does where it was a person.

    Args:
        name: OPENED for a pixel, CLICKED for a link.
        visit: what was seen.
        at: when.
        handed_over_at: when the message had been delivered or, where that is not known yet, its
            attempt began. None where neither is known.
    """
    agent = visit.user_agent.strip()
    is_proxy = name is EventName.OPENED and (agent == _APPLE or _GMAIL_PREFETCH.search(agent))
    found = {
        MachineSign.HEAD: visit.method == "HEAD",
        MachineSign.PREFETCH: "prefetch" in visit.purpose.lower()
        or "preview" in visit.purpose.lower(),
        MachineSign.PRIVACY_PROXY: is_proxy,
        MachineSign.PROGRAM: _is_program(name, agent),
        MachineSign.NO_USER_AGENT: name is EventName.CLICKED and not agent,
        MachineSign.TOO_SOON: handed_over_at is not None and at - handed_over_at < TOO_SOON,
        MachineSign.ALL_LINKS: visit.is_burst,
    }
    return tuple(sign for sign, speaks in found.items() if speaks)


def _is_program(name: EventName, agent: str) -> bool:
    if name is EventName.CLICKED and (agent == _APPLE or _GMAIL_PREFETCH.search(agent)):
        # What only fetches images has no business with a link.
        return True
    return _PROGRAM.search(agent) is not None


@dataclass(slots=True)
class _Clicks:
    """Of one message: when each link was followed last, and the last moment of a burst."""

    last_s: dict[int, float] = field(default_factory=dict)
    burst_s: float = float("-inf")


class ClickBursts:
    """Which links of which messages were followed lately, in a bound."""

    def __init__(self, *, messages_max: int = MESSAGES_MAX) -> None:
        self._messages_max = messages_max
        self._clicks: dict[bytes, _Clicks] = {}

    def __len__(self) -> int:
        """Messages that are remembered."""
        return len(self._clicks)

    def note(self, message: bytes, link: int, *, of: int, at_s: float) -> None:
        """A link was followed.

        Args:
            message: whose link.
            link: its index.
            of: how many links the message has.
            at_s: when, by a clock that only goes forward.
        """
        if len(self._clicks) >= self._messages_max and message not in self._clicks:
            self._forget(before_s=at_s - 2 * BURST_S)
        clicks = self._clicks.setdefault(message, _Clicks())
        clicks.last_s[link] = at_s
        lately = sum(at_s - last_s <= BURST_S for last_s in clicks.last_s.values())
        if lately >= max(2, min(of, BURST_LINKS)):
            clicks.burst_s = at_s

    def is_burst(self, message: bytes, *, at_s: float) -> bool:
        """Whether a click at this time was one of many; asked `BURST_S` after it, it is sure."""
        clicks = self._clicks.get(message)
        return clicks is not None and abs(at_s - clicks.burst_s) <= BURST_S

    def _forget(self, *, before_s: float) -> None:
        kept = {m: c for m, c in self._clicks.items() if max(c.last_s.values()) > before_s}
        # More may be read at once than there is room for: then bursts are missed, not invented.
        self._clicks = kept if len(kept) < self._messages_max else {}
