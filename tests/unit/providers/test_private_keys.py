"""Keys that are none are refused, whatever they are, and none of them keeps the loop busy."""

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from pydantic import SecretStr, ValidationError

from cdp.providers.email.smtp import SmtpSettings
from cdp.providers.private_keys import private_key_in
from cdp.providers.push.apns import ApnsSettings
from cdp.providers.push.fcm import FcmSettings
from cdp.providers.push.web import WebPushSettings

P256 = ec.generate_private_key(ec.SECP256R1())
UNKNOWN_CURVE = """-----BEGIN EC PRIVATE KEY-----
MD4CAQEEDh+SkbIxr/Gl6nuOqk1PoAcGBSuBBAAGoSADHgAE2qxtBqjOUcxD/VMN
jfvXEIwuwRn9loHnrOeV2w==
-----END EC PRIVATE KEY-----
"""
"""secp112r1, which no library of today takes."""


def pem_of(key, encryption=None):
    return key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()
    ).decode()


NONE_OF_OURS = [
    "",
    "\0",
    UNKNOWN_CURVE,
    pem_of(ed448.Ed448PrivateKey.generate()),
    pem_of(x25519.X25519PrivateKey.generate()),
    pem_of(dsa.generate_private_key(1_024)),
    pem_of(ec.generate_private_key(ec.SECP384R1())),
    pem_of(rsa.generate_private_key(public_exponent=65_537, key_size=1_024)),
    pem_of(P256, BestAvailableEncryption(b"locked")),
    P256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    pem_of(P256) + " " * 4_000,
]


@pytest.mark.parametrize("pem", NONE_OF_OURS)
@pytest.mark.parametrize(
    "save",
    [
        lambda pem: FcmSettings(project_id="p", client_email="a@b.c", private_key=pem),
        lambda pem: ApnsSettings(team_id="T", key_id="K", topic="shop", private_key=pem),
        lambda pem: WebPushSettings(subject="mailto:a@b.c", vapid_private_key=pem),
        lambda pem: SmtpSettings(host="h", dkim_keys={"s._domainkey.shop.example": pem}),
    ],
    ids=["fcm", "apns", "web", "smtp"],
)
def test_what_is_no_fit_key_is_refused_and_not_repeated(save, pem):
    with pytest.raises(ValidationError) as refused:
        save(SecretStr(pem))

    assert all(line not in str(refused.value) for line in pem.splitlines()[1:-1] if line.strip())


def test_an_rsa_key_so_long_that_its_check_takes_seconds_is_not_looked_into():
    # Only its length is looked at: to make a real one would take as long.
    with pytest.raises(ValueError, match="at most 4000"):
        private_key_in("-----BEGIN PRIVATE KEY-----\n" + "MIIS" * 1_600)


def test_an_ed25519_key_is_one():
    assert isinstance(
        private_key_in(pem_of(ed25519.Ed25519PrivateKey.generate())), ed25519.Ed25519PrivateKey
    )
