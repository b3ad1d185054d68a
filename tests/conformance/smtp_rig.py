"""What the tests of `SmtpProvider` share: the rig of the common suite and short forms."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from cdp.ports.provider import (
    EmailMessage,
    FailureClass,
    Outcome,
    Provider,
)
from cdp.providers.email.smtp import SmtpAccount, SmtpProvider
from cdp.testing.provider_conformance import (
    outcomes_of,
)
from cdp.testing.smtp_server import DROP, HANG, Answer, Phase, SmtpServer, reply

REFUSALS = {
    FailureClass.TRANSIENT: "451 4.3.0 Later",
    FailureClass.THROTTLED: "450 4.7.28 Too fast",
    FailureClass.MAILBOX_FULL: "552 5.2.2 Mailbox full",
    FailureClass.ADDRESS: "550 5.1.1 No such user",
    FailureClass.CONTENT: "554 5.6.0 Malformed",
    FailureClass.POLICY: "550 5.7.1 Blocked",
    FailureClass.PERMANENT: "554 5.0.0 No",
}


def account(server: SmtpServer, **changes: Any) -> SmtpAccount:
    fields: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "security": "none",
        "connections_max": 4,
        "command_timeout_s": 0.3,
        "content_timeout_s": 0.3,
        "final_dot_timeout_s": 0.3,
        "growth_pause_s": 0.0,
    }
    return SmtpAccount(**(fields | changes))


class SmtpRig:
    connections_max = 4

    def __init__(self, server: SmtpServer) -> None:
        self.server = server
        self._account = account(server, username="shop", password="secret")
        self.provider: Provider[EmailMessage] = SmtpProvider(self._account)

    def taken(self):
        return [recipient for message in self.server.messages for recipient in message.recipients]

    def connections_peak(self):
        return self.server.connections_peak

    def connections(self):
        return self.server.connections_count

    def refuse(self, email, failure):
        self.server.on(Phase.RCPT, reply(REFUSALS[failure]), recipient=email)

    def cut_before_taking(self, email):
        self.server.on(Phase.RCPT, DROP, recipient=email)

    def cut_after_taking(self, email):
        self.server.on(Phase.DOT, DROP, recipient=email)

    def cut_in_answer(self, email):
        self.server.on(Phase.DOT, Answer(reply="250 2.0", is_cut=True), recipient=email)

    def be_silent_after_taking(self, email):
        self.server.on(Phase.DOT, HANG, recipient=email)

    def be_silent_before_taking(self, email):
        self.server.on(Phase.DATA, HANG, recipient=email)

    def throttle(self, times):
        self.server.on(Phase.MAIL, reply("421 4.7.0 Slow down", closes=True), times=times)

    def refuse_connections(self):
        self.server.refuse_connections()

    async def accept_connections(self):
        await self.server.listen()

    def cut_connections(self):
        self.server.cut_connections()

    def with_wrong_credentials(self):
        return SmtpProvider(account(self.server, username="shop", password="wrong"))


@asynccontextmanager
async def provider_for(server: SmtpServer, **changes: Any) -> AsyncIterator[SmtpProvider]:
    provider = SmtpProvider(account(server, **changes))
    yield provider
    await provider.close()


async def outcome_of(provider: Provider[EmailMessage], message: EmailMessage) -> Outcome:
    return (await outcomes_of(provider, [message]))[message.to.email]


ADA = "ada@example.org"
BIG = "a line of a long letter\n" * 500_000
