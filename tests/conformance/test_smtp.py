"""`SmtpProvider` against a real server on loopback: the common suite, then what only SMTP has."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cdp.ports.provider import (
    Accepted,
    EmailAddress,
    EmailMessage,
    FailureClass,
    Outcome,
    Provider,
    Rejected,
    Unknown,
)
from cdp.providers.email.mime import build
from cdp.providers.email.smtp import ACCEPTED_BEFORE_GROWTH, SmtpAccount, SmtpProvider
from cdp.testing.provider_conformance import (
    EmailProviderConformance,
    Reports,
    email_to,
    emails,
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
        self.provider: Provider = SmtpProvider(self._account)

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


class TestSmtpProvider(EmailProviderConformance):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[SmtpRig]:
        async with SmtpServer(credentials={"shop": "secret"}) as server:
            rig = SmtpRig(server)
            yield rig
            await rig.provider.close()


class TestSmtpProviderWithoutPipelining(EmailProviderConformance):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[SmtpRig]:
        async with SmtpServer(credentials={"shop": "secret"}) as server:
            server.extensions.remove("PIPELINING")
            server.mechanisms = "LOGIN"
            rig = SmtpRig(server)
            yield rig
            await rig.provider.close()


@asynccontextmanager
async def provider_for(server: SmtpServer, **changes: Any) -> AsyncIterator[SmtpProvider]:
    provider = SmtpProvider(account(server, **changes))
    yield provider
    await provider.close()


@pytest.fixture
async def server():
    async with SmtpServer() as server:
        yield server


@pytest.fixture
async def provider(server):
    async with provider_for(server) as provider:
        yield provider


async def outcome_of(provider: Provider, message: EmailMessage) -> Outcome:
    return (await outcomes_of(provider, [message]))[message.to.email]


ADA = "ada@example.org"
BIG = "a line of a long letter\n" * 500_000


# What the server answers, and where (E5, D7)


@pytest.mark.parametrize(
    ("phase", "answer", "failure", "code"),
    [
        (Phase.MAIL, "421 4.3.0 Closing", FailureClass.TRANSIENT, "421 4.3.0"),
        (Phase.MAIL, "452 4.3.1 No space", FailureClass.TRANSIENT, "452 4.3.1"),
        (Phase.MAIL, "550 5.7.1 Not from you", FailureClass.POLICY, "550 5.7.1"),
        (Phase.MAIL, "530 5.7.0 Authenticate", FailureClass.CONFIG, "530 5.7.0"),
        (Phase.RCPT, "450 4.2.0 Busy", FailureClass.TRANSIENT, "450 4.2.0"),
        (Phase.RCPT, "450 Busy", FailureClass.TRANSIENT, "450"),
        (Phase.RCPT, "450 4.7.28 Rate", FailureClass.THROTTLED, "450 4.7.28"),
        (Phase.RCPT, "550 5.1.1 Unknown", FailureClass.ADDRESS, "550 5.1.1"),
        (Phase.RCPT, "552 Full", FailureClass.MAILBOX_FULL, "552"),
        (Phase.DATA, "451 4.3.2 Not now", FailureClass.TRANSIENT, "451 4.3.2"),
        (Phase.DATA, "503 5.5.1 Sequence", FailureClass.PERMANENT, "503 5.5.1"),
        (Phase.DOT, "451 4.3.0 Later", FailureClass.TRANSIENT, "451 4.3.0"),
        (Phase.DOT, "421 4.3.0 Closing", FailureClass.TRANSIENT, "421 4.3.0"),
        (Phase.DOT, "554 5.6.0 Content", FailureClass.CONTENT, "554 5.6.0"),
        (Phase.DOT, "550 5.7.26 Unsigned", FailureClass.POLICY, "550 5.7.26"),
        (Phase.DOT, "550-5.2.2 Over\r\n550 5.2.2 quota", FailureClass.MAILBOX_FULL, "550 5.2.2"),
    ],
)
@pytest.mark.parametrize("pipelining", [True, False])
async def test_e5_a_refusal_is_classified_in_every_phase(
    server, provider, phase, answer, failure, code, pipelining
):
    if not pipelining:
        server.extensions.remove("PIPELINING")
    server.on(phase, reply(answer), times=1)

    refused = await outcome_of(provider, email_to(ADA))
    after = await outcome_of(provider, email_to(ADA))

    assert isinstance(refused, Rejected)
    assert (refused.failure, refused.code) == (failure, code)
    assert isinstance(after, Accepted)
    assert len(server.messages) == 1


@pytest.mark.parametrize("answer", [DROP, HANG, Answer(reply="25", is_cut=True)])
@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA])
@pytest.mark.parametrize("pipelining", [True, False])
async def test_d7_lost_before_the_final_dot_is_certainly_not_delivered(
    server, provider, phase, answer, pipelining
):
    if not pipelining:
        server.extensions.remove("PIPELINING")
    server.on(phase, answer)

    outcome = await outcome_of(provider, email_to(ADA))

    assert isinstance(outcome, Rejected)
    assert outcome.failure == FailureClass.TRANSIENT
    assert outcome.code in {"connection_lost", "timeout"}
    assert server.messages == []


@pytest.mark.parametrize("answer", [DROP, HANG])
async def test_d7_lost_amid_a_long_content_is_certainly_not_delivered(server, provider, answer):
    server.on(Phase.CONTENT, answer)

    outcome = await outcome_of(provider, email_to(ADA, text=BIG))

    assert isinstance(outcome, Rejected)
    assert outcome.failure == FailureClass.TRANSIENT


async def test_d7_a_reply_amid_a_long_content_is_the_outcome(server, provider):
    server.on(Phase.CONTENT, reply("552 5.3.4 Too big"))

    outcome = await outcome_of(provider, email_to(ADA, text=BIG))

    assert isinstance(outcome, Rejected)
    assert (outcome.failure, outcome.code) == (FailureClass.CONTENT, "552 5.3.4")


@pytest.mark.parametrize(
    "answer",
    [DROP, HANG, Answer(reply="250 2.0.0 O", is_cut=True), reply("nonsense"), reply("354 More")],
)
async def test_d7_anything_but_an_answer_after_the_final_dot_is_unknown(server, provider, answer):
    server.on(Phase.DOT, answer)

    outcome = await outcome_of(provider, email_to(ADA))

    assert isinstance(outcome, Unknown)


async def test_d7_a_long_message_taken_and_dropped_before_250_is_unknown(server, provider):
    server.on(Phase.DOT, DROP)

    outcome = await outcome_of(provider, email_to(ADA, text=BIG))

    assert isinstance(outcome, Unknown)
    assert len(server.messages) == 1


async def test_d7_a_repeat_carries_the_same_bytes_and_message_id(server, provider):
    server.on(Phase.DOT, DROP, times=1)

    first = await outcome_of(provider, email_to(ADA))
    second = await outcome_of(provider, email_to(ADA, attempt=2))

    assert (type(first), type(second)) == (Unknown, Accepted)
    assert server.messages[0].content == server.messages[1].content
    assert b"\r\nMessage-ID: <" in server.messages[0].content


async def test_an_accepted_message_carries_the_servers_queue_id(server, provider):
    outcome = await outcome_of(provider, email_to(ADA))

    assert outcome == Accepted(
        provider_message_id="Q00000001", answer="250 2.0.0 Ok: queued as Q00000001"
    )
    [message] = server.messages
    assert (message.sender, message.recipients) == ("bounces@shop.example", (ADA,))


# How the pace follows the host (E5)


async def test_e5_a_complaint_halves_the_connections_and_good_messages_give_them_back(server):
    async with provider_for(server, connections_max=8) as provider:
        server.on(Phase.MAIL, reply("421 4.7.0 Too many", closes=True), times=1)
        await outcomes_of(provider, emails(1))
        server.on(Phase.DOT, reply("250 2.0.0 Ok", delay_s=0.02))

        server.connections_peak = 0
        await outcomes_of(provider, emails(12))
        halved = server.connections_peak
        server.forget_rules()
        await outcomes_of(provider, emails(ACCEPTED_BEFORE_GROWTH * 5))
        server.on(Phase.DOT, reply("250 2.0.0 Ok", delay_s=0.02))
        server.connections_peak = 0
        await outcomes_of(provider, emails(40))

        assert halved == 4
        assert server.connections_peak == 8


async def test_e5_one_complaint_over_all_connections_halves_once(server):
    async with provider_for(server, connections_max=8) as provider:
        server.on(Phase.DOT, reply("450 4.7.28 Rate", delay_s=0.05), times=8)
        await outcomes_of(provider, emails(8))
        server.on(Phase.DOT, reply("250 2.0.0 Ok", delay_s=0.02))

        await server.until(lambda: len(server.sessions) <= 4)
        server.connections_peak = 0
        await outcomes_of(provider, emails(16))

        assert len(server.sessions) == 4


async def test_e5_a_host_that_takes_fewer_connections_gets_all_messages_over_those(server):
    server.on(Phase.CONNECT, reply("421 4.7.0 Too many connections", closes=True))
    server.on(Phase.CONNECT, reply("220 Welcome"), times=2)
    server.on(Phase.DOT, reply("250 2.0.0 Ok", delay_s=0.01))
    async with provider_for(server, connections_max=8) as provider:
        outcomes = await outcomes_of(provider, emails(30))

    assert all(isinstance(outcome, Accepted) for outcome in outcomes.values())
    assert len(server.messages) == 30


async def test_e5_greylisting_waits_and_does_not_slow_the_others(server, provider):
    server.on(Phase.RCPT, reply("450 4.7.1 Greylisted, try later"), recipient=ADA)

    outcome = await outcome_of(provider, email_to(ADA))

    assert isinstance(outcome, Rejected)
    assert outcome.failure == FailureClass.TRANSIENT
    assert outcome.retry_after_s is not None
    assert 300 <= outcome.retry_after_s <= 900


async def test_e5_a_host_that_refuses_at_the_greeting_refuses_all_and_is_not_besieged(server):
    server.on(Phase.CONNECT, reply("554 5.7.1 Go away", closes=True))
    async with provider_for(server) as provider:
        outcomes = await outcomes_of(provider, emails(500))

    assert {getattr(outcome, "failure", None) for outcome in outcomes.values()} == {
        FailureClass.CONFIG
    }
    assert server.connections_count <= 8


# Fairness and deadlines


async def test_an_urgent_message_does_not_wait_behind_a_bulk_delivery(server):
    async with provider_for(server, connections_max=2) as provider:
        server.on(Phase.DOT, reply("250 2.0.0 Ok", delay_s=0.002))
        bulk_reports = Reports()
        bulk = emails(300, prefix="bulk")
        task = asyncio.create_task(provider.deliver(bulk, bulk_reports))
        await server.received(20)

        await outcome_of(provider, email_to("urgent@example.org"))

        assert len(bulk_reports.order) < 60
        await task
        bulk_reports.assert_once_each(bulk)


async def test_what_waits_past_its_deadline_is_reported_though_all_connections_hang(server):
    async with provider_for(server, connections_max=1, final_dot_timeout_s=2.0) as provider:
        server.on(Phase.DOT, HANG, recipient="slow@example.org")
        hanging = asyncio.create_task(outcome_of(provider, email_to("slow@example.org")))
        await server.received(1)

        outcome = await outcome_of(provider, email_to(ADA, deadline_s=0.05))

        assert not hanging.done()
        assert outcome == Rejected(failure=FailureClass.TRANSIENT, code="not_started")
        assert isinstance(await hanging, Unknown)


async def test_a_content_is_not_begun_after_the_deadline(server, provider):
    server.on(Phase.DATA, reply("354 Go", delay_s=0.2))

    outcome = await outcome_of(provider, email_to(ADA, deadline_s=0.05))

    assert outcome == Rejected(failure=FailureClass.TRANSIENT, code="not_started")
    assert server.messages == []


async def test_an_error_of_the_reporter_reaches_the_caller_and_no_other_delivery(server, provider):
    def fail(message: EmailMessage, outcome: Outcome) -> None:
        raise RuntimeError("no such column")

    with pytest.raises(RuntimeError, match="no such column"):
        await provider.deliver(emails(10), fail)

    assert len(server.messages) == 10
    assert isinstance(await outcome_of(provider, email_to(ADA)), Accepted)


async def test_a_bug_in_one_message_is_reported_as_unknown_and_the_others_go_on(server):
    def compose(message: EmailMessage) -> bytes:
        if message.to.email == ADA:
            raise TypeError
        return build(message)

    provider = SmtpProvider(account(server), compose=compose)
    outcomes = await outcomes_of(provider, [*emails(5), email_to(ADA)])
    await provider.close()

    assert outcomes[ADA] == Unknown(code="internal")
    assert len(server.messages) == 5


async def test_a_cancelled_delivery_begins_no_further_message(server):
    async with provider_for(server, connections_max=1) as provider:
        server.on(Phase.DOT, reply("250 2.0.0 Ok", delay_s=0.05))
        reports = Reports()
        task = asyncio.create_task(provider.deliver(emails(50), reports))
        await server.received(1)
        task.cancel()
        await asyncio.wait([task])

        assert isinstance(await outcome_of(provider, email_to(ADA)), Accepted)
        assert len(server.messages) <= 3


# Connections


async def test_connections_are_kept_and_then_closed_when_idle(server):
    async with provider_for(server, idle_s=0.1) as provider:
        await outcomes_of(provider, emails(1))
        await outcomes_of(provider, emails(1))
        assert server.connections_count == 1

        await server.until(lambda: not server.sessions)

        assert server.commands[-1] == "QUIT"
        assert isinstance(await outcome_of(provider, email_to(ADA)), Accepted)


async def test_a_connection_is_renewed_after_its_share_of_messages(server):
    async with provider_for(server, connections_max=1, messages_per_connection_max=10) as provider:
        await outcomes_of(provider, emails(25))

    assert Counter(message.connection for message in server.messages) == {1: 10, 2: 10, 3: 5}


async def test_an_idle_timeout_of_the_server_costs_no_message_and_no_pace(server):
    async with provider_for(server, connections_max=1) as provider:
        await outcomes_of(provider, emails(1))
        server.on(Phase.MAIL, reply("421 4.4.2 Idle too long", closes=True), times=1)

        assert isinstance(await outcome_of(provider, email_to(ADA)), Accepted)
        assert server.connections_count == 2


async def test_copies_are_in_the_envelope_and_a_refused_copy_does_not_stop_the_message(
    server, provider
):
    server.on(Phase.RCPT, reply("550 5.1.1 No"), recipient="copy2@example.org")
    message = email_to(
        ADA,
        cc=(EmailAddress(email="copy1@example.org"), EmailAddress(email="copy2@example.org")),
        bcc=(EmailAddress(email="hidden@example.org"),),
    )

    outcome = await outcome_of(provider, message)

    assert isinstance(outcome, Accepted)
    [received] = server.messages
    assert received.recipients == (ADA, "copy1@example.org", "hidden@example.org")
    assert b"hidden" not in received.content
    assert outcome.answer.startswith("1 copies refused")


async def test_a_refused_recipient_stops_its_copies_too(server, provider):
    server.on(Phase.RCPT, reply("550 5.1.1 No"), recipient=ADA)
    message = email_to(ADA, bcc=(EmailAddress(email="hidden@example.org"),))

    outcome = await outcome_of(provider, message)
    after = await outcome_of(provider, email_to("bob@example.org"))

    assert isinstance(outcome, Rejected)
    assert isinstance(after, Accepted)
    assert [received.recipients for received in server.messages] == [("bob@example.org",)]


async def test_a_server_that_offers_data_to_nobody_gets_an_empty_message_for_nobody(server):
    # RFC 2920: some servers answer DATA with 354 although the recipient was refused.
    async with provider_for(server, connections_max=1) as provider:
        server.on(Phase.RCPT, reply("550 5.1.1 No"), recipient=ADA)
        server.accepts_data_for_nobody = True

        outcome = await outcome_of(provider, email_to(ADA))
        after = await outcome_of(provider, email_to("bob@example.org"))

        assert isinstance(outcome, Rejected)
        assert outcome.failure == FailureClass.ADDRESS
        assert isinstance(after, Accepted)
        assert server.connections_count == 1


# What the server can


async def test_e4_a_non_ascii_local_part_asks_for_smtputf8(server, provider):
    outcome = await outcome_of(provider, email_to("jürgen@example.org"))

    assert isinstance(outcome, Accepted)
    assert server.messages[0].recipients == ("jürgen@example.org",)
    assert server.messages[0].parameters == "SMTPUTF8"


async def test_e4_without_smtputf8_such_an_address_fails_for_good(server, provider):
    server.extensions.remove("SMTPUTF8")

    outcomes = await outcomes_of(provider, [email_to("jürgen@example.org"), email_to(ADA)])

    assert outcomes["jürgen@example.org"] == Rejected(
        failure=FailureClass.PERMANENT, code="smtputf8_unsupported"
    )
    assert isinstance(outcomes[ADA], Accepted)


async def test_a_message_above_the_servers_size_is_not_begun(server, provider):
    server.extensions = ["PIPELINING", "SIZE 1000"]

    outcome = await outcome_of(provider, email_to(ADA, text="x" * 2_000))

    assert outcome == Rejected(failure=FailureClass.CONTENT, code="message_too_big")
    assert "MAIL" not in server.commands


@pytest.mark.parametrize("evil", ["a@x.org>\r\nRCPT TO:<b@x.org", "a b@x.org", "a@x.org>"])
async def test_e1_an_address_cannot_hold_a_second_command(server, provider, evil):
    outcomes = await outcomes_of(provider, [email_to(evil)])

    assert getattr(outcomes[evil], "failure", None) == FailureClass.CONTENT
    assert server.messages == []


async def test_e3_dots_are_stuffed_and_one_message_stays_one(server):
    content = b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\nMAIL FROM:<x@y.org>\r\n.\r\nend"
    provider = SmtpProvider(account(server), compose=lambda message: content)

    await outcomes_of(provider, emails(2))
    await provider.close()

    assert [message.content for message in server.messages] == [content + b"\r\n"] * 2


@pytest.mark.parametrize("inside", [b"\n.\n", b"\r.\r", b"\r\n.\n", b"\n.\r\n", b"\r.\r\n"])
async def test_e3_the_server_ends_the_content_only_at_crlf_dot_crlf(server, inside):
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(
        b"EHLO x\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nDATA\r\n"
        b"one" + inside + b"MAIL FROM:<c@x.org>\r\n.\r\nQUIT\r\n"
    )
    await reader.read()
    writer.close()
    await writer.wait_closed()

    [message] = server.messages
    assert message.content.endswith(b"MAIL FROM:<c@x.org>\r\n")


@pytest.mark.parametrize("inside", [b"\n.\n", b"\r.\r", b"\n"])
async def test_e3_content_with_bare_line_ends_is_not_sent(server, inside):
    provider = SmtpProvider(account(server), compose=lambda message: b"a: b\r\n\r\nx" + inside)

    outcomes = await outcomes_of(provider, emails(1))
    await provider.close()

    assert {getattr(outcome, "failure", None) for outcome in outcomes.values()} == {
        FailureClass.CONTENT
    }
    assert server.messages == []


# TLS and accounts


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for `localhost` that only its own file vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder: Path = tmp_path_factory.mktemp("tls")
    (folder / "certificate.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder


@pytest.fixture
def server_tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")
    return context


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_e5_messages_go_over_verified_tls_with_the_account(certificate, server_tls, security):
    async with (
        SmtpServer(
            tls=server_tls, is_tls_implicit=security == "tls", credentials={"shop": "secret"}
        ) as server,
        provider_for(
            server,
            host="localhost",
            security=security,
            tls_ca_file=str(certificate / "certificate.pem"),
            username="shop",
            password="secret",
            command_timeout_s=5.0,
            final_dot_timeout_s=5.0,
        ) as provider,
    ):
        server.on(Phase.DOT, DROP, recipient="reader3@example.org")
        outcomes = await outcomes_of(provider, [*emails(20), email_to(ADA, text=BIG)])

        unknown = [email for email, outcome in outcomes.items() if isinstance(outcome, Unknown)]
        assert unknown == ["reader3@example.org"]
        assert len(server.messages) == 21
        assert {(message.is_tls, message.user) for message in server.messages} == {(True, "shop")}


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_e5_an_unknown_certificate_is_our_configuration(
    certificate, server_tls, security, host
):
    trusted = str(certificate / "certificate.pem") if host == "127.0.0.1" else None
    async with (
        SmtpServer(tls=server_tls, is_tls_implicit=security == "tls") as server,
        provider_for(server, host=host, security=security, tls_ca_file=trusted) as provider,
    ):
        outcome = await outcome_of(provider, email_to(ADA))

        assert isinstance(outcome, Rejected)
        assert (outcome.failure, outcome.code) == (FailureClass.CONFIG, "tls_unverified")
        assert server.messages == []


async def test_e5_a_server_without_starttls_gets_nothing(server):
    async with provider_for(server, security="starttls") as provider:
        outcome = await outcome_of(provider, email_to(ADA))

    assert outcome == Rejected(failure=FailureClass.CONFIG, code="starttls_unsupported")
    assert "MAIL" not in server.commands


async def test_e5_clear_text_behind_the_starttls_reply_ends_the_connection(server_tls):
    async with (
        SmtpServer(tls=server_tls) as server,
        provider_for(server, security="starttls") as provider,
    ):
        server.on(Phase.STARTTLS, reply("220 Go\r\n250-AUTH LOGIN\r\n250 injected"))

        outcome = await outcome_of(provider, email_to(ADA))

    assert outcome == Rejected(failure=FailureClass.CONFIG, code="starttls_injected")


async def test_a_server_that_offers_no_authentication_is_our_configuration(server):
    async with provider_for(server, username="shop", password="secret") as provider:
        outcome = await outcome_of(provider, email_to(ADA))

    assert outcome == Rejected(failure=FailureClass.CONFIG, code="auth_unsupported")


async def test_a_reply_without_end_is_given_up(server, provider):
    server.on(Phase.MAIL, reply("250-" + "x" * 1_000_000))

    outcome = await outcome_of(provider, email_to(ADA))

    assert outcome == Rejected(failure=FailureClass.TRANSIENT, code="protocol_error")


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "mail.example.org", "security": "none", "username": "a", "password": "b"},
        {"host": "localhost", "username": "a"},
        {"host": "localhost", "connections_max": 0},
        {"host": "localhost", "helo_name": "x\r\nQUIT"},
        {"host": "a..b"},
    ],
)
def test_an_account_that_cannot_work_is_refused(changes):
    with pytest.raises(ValueError, match=r"SMTP|label"):
        SmtpAccount(**changes)


def test_an_account_shows_no_secret():
    assert "hunter2" not in repr(SmtpAccount(host="x.org", username="ada", password="hunter2"))
