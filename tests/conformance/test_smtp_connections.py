"""How `SmtpProvider` shares, keeps, renews and gives back its connections."""

import asyncio
import threading
from collections import Counter

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from cdp.ports.provider import (
    Accepted,
    EmailAddress,
    EmailMessage,
    FailureClass,
    Outcome,
    Rejected,
    Unknown,
)
from cdp.providers.email.dkim import Signer, signing
from cdp.providers.email.mime import build
from cdp.providers.email.smtp import ACCEPTED_BEFORE_GROWTH, SmtpProvider, SmtpSettings
from cdp.testing.provider_conformance import (
    Reports,
    email_to,
    emails,
    outcomes_of,
)
from cdp.testing.smtp_server import HANG, Phase, SmtpServer, reply
from tests.conformance.http_rigs import NEAR, pem_of
from tests.conformance.smtp_rig import ADA, account, outcome_of, provider_for
from tests.waiting import eventually


@pytest.fixture
async def server():
    async with SmtpServer() as server:
        yield server


@pytest.fixture
async def provider(server):
    async with provider_for(server) as provider:
        yield provider


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


async def test_what_is_signed_ahead_of_its_turn_is_the_same_bytes_and_no_thread_stays(server):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    sign = signing([Signer(domain="shop.example", selector="s1", key=key)])
    messages = emails(40)
    expected = {sign(message) for message in messages}
    assert all(b"DKIM-Signature" in content for content in expected)

    settings = SmtpSettings(
        host=server.host,
        port=server.port,
        security="none",
        dkim_keys={"s1._domainkey.shop.example": SecretStr(pem_of(key))},
    )
    provider = SmtpProvider.open(settings, NEAR)
    outcomes = await outcomes_of(provider, messages)
    await provider.close()

    assert all(isinstance(outcome, Accepted) for outcome in outcomes.values())
    assert {message.content for message in server.messages} == expected
    await eventually(
        lambda: not [t for t in threading.enumerate() if t.name.startswith("compose")], within_s=5
    )


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
