"""Whether the demonstration's numbers add up: plan, API, the campaign's books, mailbox. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cdp.cli.demo_facts import Facts, SenderFacts

FINISHED: Final = "finished"
"""The state of a campaign that is closed, and of which nothing is unfinished."""

Count = int | str
Pair = Callable[[SenderFacts], tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must hold."""

    sentence: str
    wanted: Count
    found: Count

    @property
    def holds(self) -> bool:
        """Whether it does."""
        return self.wanted == self.found


def checks(facts: Facts) -> list[Check]:
    """What must hold between the plan, the API and the mailbox."""
    emails, webhooks = (facts.shop, facts.bank), (facts.webhooks,)
    return [
        _sum(facts.senders, "Accepted as planned", lambda s: (s.expected.accepted, s.accepted)),
        _sum(facts.senders, "Refused as planned", lambda s: (s.expected.rejected, s.rejected)),
        _sum(facts.senders, "Each 202 has its communication", lambda s: (s.accepted, s.listed)),
        _sum(facts.senders, "Nothing is pending", lambda s: (0, s.pending)),
        _sum(emails, "Emails delivered: all but bounced and cancelled", _delivered),
        _sum(emails, "Each of those is in the mailbox, and no other", _arrived),
        _sum(webhooks, "Webhooks delivered: all", _delivered),
        _sum(webhooks, "Each of those came to the shop, and no other", _arrived),
        *_of_campaign(facts),
        Check(
            sentence="Opened as often as read",
            wanted=facts.opened,
            found=sum(sender.opened for sender in facts.senders),
        ),
        Check(
            sentence="Clicked as often as followed",
            wanted=facts.clicked,
            found=sum(sender.clicked for sender in facts.senders),
        ),
        Check(sentence="Pixels and links without an answer", wanted=0, found=facts.follow_failed),
    ]


def _of_campaign(facts: Facts) -> list[Check]:
    """What the campaign says of itself."""
    counts = facts.campaign.counts
    accepted = sum(sender.accepted for sender in facts.of_campaign)
    delivered = sum(sender.states["delivered"] for sender in facts.of_campaign)
    return [
        Check(sentence="The campaign is", wanted=FINISHED, found=facts.campaign.state),
        Check(sentence="Accepted in its own books", wanted=accepted, found=counts["accepted"]),
        Check(sentence="Delivered in its own books", wanted=delivered, found=counts["delivered"]),
    ]


def _delivered(sender: SenderFacts) -> tuple[int, int]:
    return sender.expected.delivered, sender.states["delivered"]


def _arrived(sender: SenderFacts) -> tuple[int, int]:
    return sender.states["delivered"], sender.arrived + sender.strays


def _sum(senders: Sequence[SenderFacts], sentence: str, pair: Pair) -> Check:
    """What is wanted and found of all of them together."""
    pairs = [pair(sender) for sender in senders]
    return Check(
        sentence=sentence,
        wanted=sum(wanted for wanted, _ in pairs),
        found=sum(found for _, found in pairs),
    )
