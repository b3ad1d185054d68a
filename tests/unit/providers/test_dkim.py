"""E6: what is signed is verified by dkimpy, and what was changed afterwards is not."""

import base64
import re
from dataclasses import replace
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.ids import ResultId
from cdp.ports.provider import EmailAddress, EmailMessage
from cdp.providers.email.dkim import Signer, private_key, relaxed_body, signing
from tests.conformance.http_rigs import DATE, pem_of

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED = ed25519.Ed25519PrivateKey.generate()
SIGNERS = {
    "rsa": Signer(domain="shop.example", selector="s1", key=RSA),
    "ed25519": Signer(domain="shop.example", selector="s2", key=ED),
}
MESSAGE = EmailMessage(
    result_id=ResultId(bytes(16)),
    attempt=1,
    sender=EmailAddress(email="news@shop.example", name="The Shop"),
    to=EmailAddress(email="ada@example.org", name="Ada Lovelace"),
    subject="Your order, größer",
    html="<p>It is on its way.</p>\n",
    text="It is on its way.\n",
    date=DATE,
    message_id="1@shop.example",
    return_path="bounces@shop.example",
    headers=(("List-Unsubscribe", "<https://shop.example/t/u/" + "x" * 200 + ">"),),
)


def dns(name: bytes, **_: Any) -> bytes:
    if name.startswith(b"s1."):
        der = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)
    raw = ED.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw)


def is_verified(content: bytes) -> bool:
    return bool(dkim.verify(content, dnsfunc=dns))


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
def test_e6_dkimpy_verifies_what_we_sign(signer):
    assert is_verified(signing([signer])(MESSAGE))


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
def test_d7_a_repeat_is_the_same_bytes(signer):
    assert signing([signer])(MESSAGE) == signing([signer])(replace(MESSAGE, attempt=2))
    assert b" t=" not in signing([signer])(MESSAGE).partition(b"\r\nFrom:")[0]


@pytest.mark.parametrize(
    ("find", "put"),
    [
        (b"Subject: ", b"Subject: x"),
        (b"\r\nFrom: ", b"\r\nFrom: Evil <evil@example.com>\r\nFrom: "),
        (b"\r\nTo: ", b"\r\nTo: victim@example.com\r\nTo: "),
        (b"\r\nFrom: ", b"\r\nReply-To: evil@example.com\r\nFrom: "),
        (b"\r\nFrom: ", b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFrom: "),
        (b"xxxxxxxx", b"xxxxxxxy"),
    ],
)
def test_e6_what_was_changed_or_added_is_not_verified(find, put):
    signed = signing([SIGNERS["rsa"]])(MESSAGE)
    assert signed.count(find) >= 1

    assert not is_verified(signed.replace(find, put, 1))


def test_e6_a_changed_body_is_not_verified():
    head, _, body = signing([SIGNERS["rsa"]])(MESSAGE).partition(b"\r\n\r\n")
    at = re.search(rb"\r\n\r\n([A-Za-z0-9+/]{8})", body)
    assert at is not None
    changed = body.replace(at[1], at[1].swapcase(), 1)

    assert is_verified(head + b"\r\n\r\n" + body)
    assert not is_verified(head + b"\r\n\r\n" + changed)


def test_e6_only_what_is_from_the_domain_is_signed():
    compose = signing([SIGNERS["rsa"]])

    def is_signed(address):
        message = replace(MESSAGE, sender=EmailAddress(email=address))
        return compose(message).startswith(b"DKIM-Signature:")

    assert [is_signed(f"x@{d}") for d in ("shop.example", "mail.Shop.example")] == [True, True]
    assert [is_signed(f"x@{d}") for d in ("evilshop.example", "example")] == [False, False]


def signed_by(message: EmailMessage, *records: str) -> list[str]:
    signers = [replace(SIGNERS["ed25519"], domain=d, selector=s) for s, d in map(split, records)]
    found = re.findall(rb"d=([^;]+); s=([^;]+);", signing(signers)(message))
    return [f"{selector.decode()}/{domain.decode()}" for domain, selector in found]


def split(record: str) -> list[str]:
    return record.split("/")


@pytest.mark.parametrize(
    ("address", "named", "domain"),
    [
        ("a@shop.example", None, "shop.example"),
        ("a@eu.mail.shop.example", None, "mail.shop.example"),
        ("a@eu.mail.shop.example", "shop.example", "shop.example"),
        ("a@shop.example", "mail.shop.example", "shop.example"),
        ("a@shop.example", "other.example", "shop.example"),
        ("a@shop.example", "example", "shop.example"),
        ("a@elsewhere.example", "shop.example", None),
        ("a@example", None, None),
    ],
)
def test_e6_each_domain_has_its_keys_and_the_signature_aligns(address, named, domain):
    message = replace(MESSAGE, sender=EmailAddress(email=address), dkim_domain=named)

    signed = signed_by(message, "s/shop.example", "s/mail.shop.example", "s/other.example")

    assert signed == ([] if domain is None else [f"s/{domain}"])


def test_both_keys_of_a_domain_sign_and_each_signature_is_verified():
    signed = signing([SIGNERS["ed25519"], SIGNERS["rsa"]])(MESSAGE)

    assert signed == signing([SIGNERS["rsa"], SIGNERS["ed25519"]])(MESSAGE)
    assert re.findall(rb"a=([a-z0-9-]+);", signed) == [b"ed25519-sha256", b"rsa-sha256"]
    for index in range(2):
        assert dkim.DKIM(signed).verify(idx=index, dnsfunc=dns)


def test_a_signer_is_made_of_its_records_name_and_its_key():
    made = Signer.at("s1._domainkey.shop.example", pem_of(RSA))

    assert made.sign(b"From: a@shop.example\r\n\r\n") == SIGNERS["rsa"].sign(
        b"From: a@shop.example\r\n\r\n"
    )
    assert "PRIVATE" not in repr(made)


# Without what the message's own checks refuse before anything is signed.
shown = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=80
)


@given(
    subject=shown,
    name=shown,
    html=st.none() | st.text(st.characters(codec="utf-8"), max_size=200),
    text=st.text(st.characters(codec="utf-8"), max_size=200),
    url=st.text(st.sampled_from("abc/?=&%-"), max_size=900),
    kind=st.sampled_from(["rsa", "ed25519"]),
)
def test_e6_whatever_the_message_dkimpy_verifies_it(subject, name, html, text, url, kind):
    message = replace(
        MESSAGE,
        sender=EmailAddress(email="news@shop.example", name=name),
        subject=subject,
        html=html,
        text=text,
        headers=(("List-Unsubscribe", f"<https://shop.example/{url}>"), ("X-Note", subject)),
    )

    signed = signing([SIGNERS[kind]])(message)

    assert is_verified(signed)
    # E3: no server sees a second message in it.
    assert signed.count(b"\n") == signed.count(b"\r") == signed.count(b"\r\n")


words = st.text(st.sampled_from("ab \t"), max_size=8)


@given(
    lines=st.lists(words, max_size=6),
    subject=st.text(st.sampled_from("ab \té"), min_size=1, max_size=40),
    kind=st.sampled_from(["rsa", "ed25519"]),
)
def test_e6_whatever_the_spaces_and_ends_of_lines_dkimpy_agrees(lines, subject, kind):
    body = "\r\n".join([*lines, ""]).encode()
    content = f"From: a@shop.example\r\nSubject:{subject}\r\n X\r\nX-Y:  z \r\n\r\n".encode() + body

    assert is_verified(SIGNERS[kind].sign(content))


@given(st.lists(words, max_size=8), st.integers(0, 3))
def test_the_relaxed_body_is_dkimpys(lines, ends):
    body = "\r\n".join([*lines, ""]).encode() + b"\r\n" * ends

    assert relaxed_body(body) == Relaxed.canonicalize_body(body)


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "no key",
        pem_of(ec.generate_private_key(ec.SECP256R1())),
        pem_of(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
        pem_of(RSA) + " " * 4_000,
    ],
)
def test_a_key_that_dkim_does_not_know_is_refused(pem):
    with pytest.raises(ValueError, match="key"):
        private_key(pem)
