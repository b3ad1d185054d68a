"""What an SMTP reply means: one table, read from top to bottom.

The class of the reply decides and the enhanced status code (RFC 3463) refines it; an enhanced
code of another class than its reply is ignored, as such servers contradict themselves.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from cdp.ports.provider import ANSWER_CHARS_MAX, FailureClass, Rejected

GREYLISTED_RETRY_AFTER_S: Final = 300.0
"""The shorter end of what greylisting servers ask for, 5 to 15 minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One complete reply of an SMTP server."""

    code: int
    lines: tuple[str, ...]
    """The text of each line, without code and line end."""

    @property
    def is_positive(self) -> bool:
        """Whether the server did what the command asked."""
        return 200 <= self.code < 300

    @property
    def enhanced(self) -> str:
        """The enhanced status code, such as `5.1.1`, or nothing."""
        match = _ENHANCED.match(self.lines[0])
        return match[1] if match and match[1][0] == str(self.code)[0] else ""

    @property
    def text(self) -> str:
        """What the server said, in one line; it may hold an address, so never log it."""
        return f"{self.code} {' '.join(self.lines)}"[:ANSWER_CHARS_MAX]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Replies of one meaning, known by either code. The first row that matches counts."""

    failure: FailureClass
    codes: frozenset[int] = frozenset()
    enhanced: frozenset[str] = frozenset()
    """Enhanced codes; a trailing `x` stands for any detail."""


TABLE: Final = (
    Row(failure=FailureClass.THROTTLED, enhanced=frozenset({"4.7.x"})),
    Row(failure=FailureClass.TRANSIENT, codes=frozenset(range(400, 500))),
    Row(
        failure=FailureClass.CONFIG,
        codes=frozenset({530, 535}),
        enhanced=frozenset({"5.7.8"}),
    ),
    Row(
        failure=FailureClass.ADDRESS,
        enhanced=frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"}),
    ),
    Row(
        failure=FailureClass.CONTENT,
        enhanced=frozenset({"5.2.3", "5.3.4", "5.6.x"}),
    ),
    Row(
        failure=FailureClass.POLICY,
        enhanced=frozenset(
            {"5.7.1", "5.7.25", "5.7.26", "5.7.27", "5.7.28", "5.7.29", "5.7.515"},
        ),
    ),
    # Behind all enhanced codes: 552 alone means a full mailbox, `552 5.3.4` a message too big.
    Row(
        failure=FailureClass.MAILBOX_FULL,
        codes=frozenset({552}),
        enhanced=frozenset({"5.2.2", "5.3.1"}),
    ),
    # 500 to 504 are our bug rather than the recipient's trouble; the code tells them apart.
    Row(failure=FailureClass.PERMANENT, codes=frozenset(range(500, 600))),
)

_ENHANCED: Final = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?!\S)")
_GREYLISTED: Final = re.compile(r"gr[ae]y-?list", re.IGNORECASE)
_NO_RELAY: Final = re.compile(r"relay access denied", re.IGNORECASE)


def classify(code: int, enhanced: str = "") -> FailureClass:
    """The class of a reply that refuses: 4xx or 5xx."""
    assert 400 <= code < 600
    any_detail = f"{enhanced.rpartition('.')[0]}.x"
    for row in TABLE:
        if code in row.codes or enhanced in row.enhanced or any_detail in row.enhanced:
            return row.failure
    raise AssertionError("the rows of the table take every code")


def rejected(reply: Reply) -> Rejected:
    """The outcome of a message that this reply refused."""
    enhanced = reply.enhanced
    failure = classify(reply.code, enhanced)
    retry_after_s = None
    if reply.code < 500 and _GREYLISTED.search(reply.text):
        # Greylisting answers 4.7.1 too, yet a slower pace would not help.
        failure = FailureClass.TRANSIENT
        retry_after_s = GREYLISTED_RETRY_AFTER_S
    elif reply.code < 500 and _NO_RELAY.search(reply.text):
        # Postfix's 454 4.7.1, as it comes: it does not know us, and a slower pace would not help.
        failure = FailureClass.CONFIG
    code = f"{reply.code} {enhanced}" if enhanced else str(reply.code)
    return Rejected(failure=failure, code=code, answer=reply.text, retry_after_s=retry_after_s)


def asks_for_slower_pace(refusal: Rejected) -> bool:
    """Whether the host wants fewer connections: 421 or 4.7.x, but not an idle connection's end."""
    if refusal.retry_after_s is not None or refusal.failure is FailureClass.CONFIG:
        return False
    code, _, enhanced = refusal.code.partition(" ")
    return (code == "421" and enhanced != "4.4.2") or enhanced.startswith("4.7.")


def of_sender(refusal: Rejected) -> Rejected:
    """The same where the recipient had not been named yet: it is not its address that is wrong."""
    if refusal.failure is not FailureClass.ADDRESS:
        return refusal
    return replace(refusal, failure=FailureClass.POLICY)
