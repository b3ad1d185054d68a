"""How the mailbox answers addresses that ask for trouble, by the tag behind a plus sign.

Pure but for the counters. `ada+bounce@example.org` never exists, `ada+soft2@example.org` is
refused twice and then taken. Tests and demonstrations send to such addresses.
"""

import re
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Final

SLOW_S: Final = 3.0
"""Longer than what never shows as being sent: these can be watched."""
ATTEMPTS_REMEMBERED_MAX: Final = 10_000

REFUSALS: Final = {
    "bounce": "550 5.1.1 There is no such mailbox",
    "full": "552 5.2.2 The mailbox is full",
    "policy": "550 5.7.1 Refused by policy",
}
"""By tag, the answer to RCPT, always."""
LATER: Final = "451 4.3.0 Not now, try again later"
"""Trouble of this one mailbox: it does not ask to send less, as 4.7.1 would."""
NOT_YET: Final = "451 4.7.1 Not now, try again later"

EXPLANATIONS: Final = (
    ("+bounce", "550 5.1.1: there is no such mailbox"),
    ("+full", "552 5.2.2: the mailbox is full"),
    ("+policy", "550 5.7.1: refused by policy"),
    ("+greylist", "451 4.7.1 at the first attempt, then taken"),
    ("+soft2", "451 4.3.0 at the first 2 attempts (1 to 9), then taken"),
    ("+slow", f"taken, answered after {SLOW_S:g} s"),
    ("+drop", "the first time, not kept and the connection cut after the final dot"),
    ("+dropkept", "the first time, kept and the connection cut before the answer"),
)
"""For people: tag and what it does."""

_SOFT: Final = re.compile(r"soft([1-9])")


def tags_of(address: str) -> frozenset[str]:
    """The tags behind the plus signs of an address's local part, in lower case."""
    local, _, _ = address.rpartition("@")
    return frozenset(local.lower().split("+")[1:])


def tags_of_all(addresses: Iterable[str]) -> frozenset[str]:
    """The tags of all recipients of a message."""
    return frozenset().union(*map(tags_of, addresses))


def soft_refusals(tags: frozenset[str]) -> int:
    """How many attempts are refused for now, before one is taken."""
    if "greylist" in tags:
        return 1
    return max((int(match[1]) for match in map(_SOFT.fullmatch, tags) if match), default=0)


class Attempts:
    """Counts how often something was tried; of many things it forgets the one longest unseen."""

    def __init__(self, remembered_max: int = ATTEMPTS_REMEMBERED_MAX) -> None:
        self._remembered_max = remembered_max
        self._counts: OrderedDict[Hashable, int] = OrderedDict()

    def count(self, key: Hashable) -> int:
        """Note one more attempt.

        Returns:
            Its number, from 1.
        """
        number = self._counts.pop(key, 0) + 1
        self._counts[key] = number
        if len(self._counts) > self._remembered_max:
            self._counts.popitem(last=False)
        return number


def answer_to_recipient(address: str, mail_from: str, attempts: Attempts) -> str | None:
    """What RCPT is answered with for this address; None: it is taken.

    At RCPT the message is not known yet: an attempt is known by sender and recipient, and our
    senders differ with each message (the return path names it).
    """
    tags = tags_of(address)
    for tag, answer in REFUSALS.items():
        if tag in tags:
            return answer
    refusals = soft_refusals(tags)
    if refusals and attempts.count((mail_from, address)) <= refusals:
        return NOT_YET if "greylist" in tags else LATER
    return None
