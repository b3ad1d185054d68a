"""`SmtpProvider` against a real server on loopback: the common suite, then every answer of SMTP."""

from collections.abc import AsyncIterator

import pytest

from cdp.ports.provider import (
    Accepted,
    FailureClass,
    Rejected,
    Unknown,
)
from cdp.testing.provider_conformance import (
    EmailProviderConformance,
    email_to,
)
from cdp.testing.smtp_server import DROP, HANG, Answer, Phase, SmtpServer, reply
from tests.conformance.smtp_rig import ADA, BIG, SmtpRig, outcome_of, provider_for


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


@pytest.fixture
async def server():
    async with SmtpServer() as server:
        yield server


@pytest.fixture
async def provider(server):
    async with provider_for(server) as provider:
        yield provider


@pytest.mark.parametrize(
    ("phase", "answer", "failure", "code"),
    [
        (Phase.MAIL, "421 4.3.0 Closing", FailureClass.TRANSIENT, "421 4.3.0"),
        (Phase.MAIL, "452 4.3.1 No space", FailureClass.TRANSIENT, "452 4.3.1"),
        (Phase.MAIL, "550 5.7.1 Not from you", FailureClass.POLICY, "550 5.7.1"),
        (Phase.MAIL, "550 5.1.2 Your domain is unknown", FailureClass.POLICY, "550 5.1.2"),
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
