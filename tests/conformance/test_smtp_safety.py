"""What `SmtpProvider` sends to whom: addresses, content, TLS and accounts."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cdp.ports.provider import (
    Accepted,
    FailureClass,
    Rejected,
    Unknown,
)
from cdp.providers.email.smtp import SmtpAccount, SmtpProvider
from cdp.testing.provider_conformance import (
    email_to,
    emails,
    outcomes_of,
)
from cdp.testing.smtp_server import DROP, Phase, SmtpServer, reply
from tests.conformance.smtp_rig import ADA, BIG, account, outcome_of, provider_for


@pytest.fixture
async def server():
    async with SmtpServer() as server:
        yield server


@pytest.fixture
async def provider(server):
    async with provider_for(server) as provider:
        yield provider


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
