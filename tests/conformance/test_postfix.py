"""`SmtpProvider` and a real Postfix, and what it passes on, which dkimpy verifies.

Skipped where there is no Postfix or no root: its master starts as nobody else.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage as ParsedEmail
from email.policy import default
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from cdp.ports.provider import Accepted, EmailAddress, FailureClass, Rejected
from cdp.providers.email.dkim import Signer
from cdp.providers.email.mime import build
from cdp.providers.email.smtp import SmtpAccount, SmtpProvider, SmtpSettings
from cdp.testing.provider_conformance import email_to, emails, outcomes_of
from cdp.testing.smtp_server import ReceivedMessage
from tests.conformance.http_rigs import NEAR, pem_of
from tests.conformance.postfix_rig import BUSY, MESSAGE_BYTES_MAX, Postfix, running_postfix
from tests.conformance.smtp_rig import ADA, outcome_of

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED = ed25519.Ed25519PrivateKey.generate()
KEYS = {
    "rsa._domainkey.shop.example": SecretStr(pem_of(RSA)),
    "ed._domainkey.shop.example": SecretStr(pem_of(ED)),
}
CONNECTIONS = 4


@pytest.fixture(scope="module")
async def postfix():
    async with running_postfix() as postfix:
        yield postfix


@asynccontextmanager
async def provider_for(port: int, **settings: Any) -> AsyncIterator[SmtpProvider]:
    """As an account opens it."""
    fit = SmtpSettings(
        host="127.0.0.1", port=port, security="none", connections_max=CONNECTIONS, **settings
    )
    provider = SmtpProvider.open(fit, NEAR)
    yield provider
    await provider.close()


@pytest.fixture
async def provider(postfix):
    async with provider_for(postfix.port, dkim_keys=KEYS) as provider:
        yield provider


def dns(name: bytes, **_: Any) -> bytes:
    if name.startswith(b"rsa."):
        der = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)
    raw = ED.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw)


def verified(content: bytes) -> list[bool]:
    """Of each signature whether it holds."""
    checked = dkim.DKIM(content)
    count = content.partition(b"\r\n\r\n")[0].count(b"DKIM-Signature:")
    return [checked.verify(idx=index, dnsfunc=dns) for index in range(count)]


async def sent(postfix: Postfix, provider: SmtpProvider, message: Any) -> ReceivedMessage:
    """Send it, and what Postfix has passed on under the id of the outcome."""
    outcome = await outcome_of(provider, message)
    assert isinstance(outcome, Accepted), outcome
    queue_id = outcome.provider_message_id
    assert queue_id is not None
    assert outcome.answer == f"250 2.0.0 Ok: queued as {queue_id}"
    return await postfix.passed_on(queue_id)


def parsed(passed: ReceivedMessage) -> ParsedEmail:
    message = message_from_bytes(passed.content, policy=default)
    assert isinstance(message, ParsedEmail)
    return message


LONG = "<p>" + "A line that is longer than any in SMTP may be. " * 100 + "</p>"
DOTS = ".\n..\n.hidden\n\n.\n\nThe end\n."
MESSAGES = {
    "plain": email_to(ADA),
    "UTF-8": email_to(
        ADA,
        subject="Größere Bestellung № 4711, поздравляем, 注文ありがとうございます " * 3,
        sender=EmailAddress(email="news@shop.example", name="Der Lädchen, “Köln”"),
        to=EmailAddress(email=ADA, name="Ada Løvelace"),
        reply_to=EmailAddress(email="help@shop.example", name="Hilfe für alle"),
    ),
    "long lines": email_to(ADA, html=LONG, text="x" * 5_000),
    "dots": email_to(ADA, text=DOTS, html=None),
    "a long header": email_to(
        ADA,
        headers=(
            ("List-Unsubscribe", f"<https://shop.example/t/u/{'x' * 700}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ),
    ),
    "a local part of UTF-8": email_to("jörg@example.org"),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
async def test_e6_both_signatures_hold_behind_postfix(postfix, provider, message):
    passed = await sent(postfix, provider, message)

    assert verified(passed.content) == [True, True]
    assert (passed.sender, passed.recipients) == (message.return_path, (message.to.email,))
    read = parsed(passed)
    assert read["Subject"] == message.subject
    assert read["From"].addresses[0].display_name == message.sender.name
    for kind, body in (("plain", message.text), ("html", message.html)):
        part = read.get_body((kind,))
        assert (part and part.get_content().replace("\r\n", "\n").rstrip("\n")) == body


async def test_e6_the_check_itself_sees_a_changed_byte(postfix, provider):
    passed = await sent(postfix, provider, email_to(ADA))

    assert verified(passed.content.replace(b"Subject: Your", b"Subject: Our")) == [False, False]


async def test_lines_that_begin_with_dots_or_are_as_long_as_smtp_allows_arrive_as_they_are(postfix):
    lines = [b".", b"..", b".hidden", b"." + b"x" * 997, b"y" * 998, b"", b"."]
    head, _, _ = build(email_to(ADA)).partition(b"MIME-Version")
    raw = head + b"\r\n" + b"\r\n".join(lines) + b"\r\n"
    signer = Signer(domain="shop.example", selector="rsa", key=RSA)
    account = SmtpAccount(host="127.0.0.1", port=postfix.port, security="none")
    provider = SmtpProvider(account, compose=lambda _: signer.sign(raw))

    passed = await sent(postfix, provider, email_to(ADA))
    await provider.close()

    assert passed.content.partition(b"\r\n\r\n")[2] == raw.partition(b"\r\n\r\n")[2]
    assert verified(passed.content) == [True]


async def test_many_messages_share_few_connections(postfix, provider):
    before = postfix.connections()

    outcomes = await outcomes_of(provider, emails(60))
    ids = [getattr(outcome, "provider_message_id", None) for outcome in outcomes.values()]
    assert all(ids), outcomes
    passed = [await postfix.passed_on(queue_id) for queue_id in ids]

    assert [m.recipients for m in passed] == [(email,) for email in outcomes]
    assert 1 <= postfix.connections() - before <= CONNECTIONS


async def test_e5_an_unknown_recipient_is_the_address_and_nobody_elses_matter(postfix, provider):
    outcomes = await outcomes_of(provider, [email_to("gone@example.org"), *emails(3)])

    refused = outcomes.pop("gone@example.org")
    assert isinstance(refused, Rejected)
    assert (refused.failure, refused.code) == (FailureClass.ADDRESS, "550 5.1.1")
    assert "User unknown" in refused.answer
    assert all(isinstance(outcome, Accepted) for outcome in outcomes.values())


async def test_e5_a_temporary_refusal_is_transient(provider):
    refused = await outcome_of(provider, email_to(BUSY))

    assert isinstance(refused, Rejected)
    assert (refused.failure, refused.code) == (FailureClass.TRANSIENT, "450 4.2.1")
    assert "The mailbox is busy" in refused.answer


async def test_e5_a_domain_that_it_does_not_relay_for_is_our_configuration(provider):
    refused = await outcome_of(provider, email_to("ada@example.net"))

    assert isinstance(refused, Rejected)
    assert (refused.failure, refused.code) == (FailureClass.CONFIG, "454 4.7.1")


async def test_e5_too_many_in_a_minute_asks_for_a_slower_pace(postfix):
    async with provider_for(postfix.slow_port) as provider:
        outcomes = await outcomes_of(provider, emails(3))

    kinds = sorted(type(outcome).__name__ for outcome in outcomes.values())
    assert kinds == ["Accepted", "Accepted", "Rejected"]
    [refused] = [outcome for outcome in outcomes.values() if isinstance(outcome, Rejected)]
    assert refused.failure == FailureClass.THROTTLED, refused


async def test_what_is_larger_than_it_takes_is_never_begun(provider):
    refused = await outcome_of(provider, email_to(ADA, text="x" * MESSAGE_BYTES_MAX))

    assert isinstance(refused, Rejected)
    assert (refused.failure, refused.code) == (FailureClass.CONTENT, "message_too_big")
