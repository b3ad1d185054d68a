"""A provider that answers when a test tells it to."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from cdp.ports.provider import (
    Accepted,
    EmailMessage,
    FailureClass,
    Outcome,
    Rejected,
    Report,
    Unknown,
)

OUTCOMES: dict[str, tuple[bool, Outcome]] = {
    "accepted": (True, Accepted(answer="250")),
    "transient": (False, Rejected(failure=FailureClass.TRANSIENT, code="451")),
    "address": (False, Rejected(failure=FailureClass.ADDRESS, code="550")),
    "throttled": (False, Rejected(failure=FailureClass.THROTTLED, code="421", retry_after_s=90.0)),
    "taken-unknown": (True, Unknown(code="dropped")),
    "lost-unknown": (False, Unknown(code="dropped")),
}
"""Whether the provider took it, and what it says."""


class HoldingProvider:
    """A `Provider` that answers when it is told to; till then a message may or may not be there."""

    def __init__(self, ledger: list[dict[str, str]], begun: Counter[tuple[bytes, int]]) -> None:
        self.ledger = ledger
        self.begun = begun
        """How often each attempt was begun, by all workers together: once, or it was not won."""
        self.held: list[tuple[EmailMessage, Report[EmailMessage]]] = []
        self.answers_at_once = False

    async def deliver(self, messages: Sequence[EmailMessage], report: Report[EmailMessage]) -> None:
        """See `Provider.deliver`."""
        self.begun.update((message.result_id, message.attempt) for message in messages)
        if self.answers_at_once:
            for message in messages:
                self.take(message)
                report(message, Accepted())
            return
        answered = asyncio.get_running_loop().create_future()
        left = len(messages)

        def note(message: EmailMessage, outcome: Outcome) -> None:
            nonlocal left
            report(message, outcome)
            left -= 1
            if not left:
                answered.set_result(None)

        self.held += [(message, note) for message in messages]
        if messages:
            await answered

    def take(self, message: EmailMessage) -> None:
        """It reaches its recipient."""
        entry = {"message_id": f"<{message.message_id}>", "recipient": message.to.email}
        self.ledger.append(entry)

    def answer(self, kind: str) -> int:
        """Answer all that is held; how much that was."""
        is_taken, outcome = OUTCOMES[kind]
        held, self.held = self.held, []
        for message, report in held:
            if is_taken:
                self.take(message)
            report(message, outcome)
        return len(held)

    async def close(self) -> None:
        """See `Provider.close`."""
