"""What the tests of HTTP providers share: messages, keys, tools."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from cdp.domain.ids import ResultId
from cdp.ports.clock import SystemClock
from cdp.ports.provider import ProviderTools

CLOCK = SystemClock()
NEAR = ProviderTools(clock=CLOCK, reach_private=True)
"""The stand-ins are on loopback."""
GUARDED = ProviderTools(clock=CLOCK)
DATE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def fields_of(address: str, **changes: Any) -> dict[str, Any]:
    """What every message has."""
    result_id = ResultId(hashlib.blake2b(address.encode(), digest_size=16).digest())
    return {"result_id": result_id, "attempt": 1, **changes}


def pem_of(key: Key) -> str:
    """A private key as an administrator pastes it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
