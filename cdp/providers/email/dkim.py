"""Signs emails by DKIM, relaxed in header and body.

The signature has no time in it and the algorithms are deterministic, so a message that is sent
again is the same bytes again (rule D7). Each signed header is named once more than it is there,
so that nobody adds a second one.

Source: RFC 6376; RFC 8463 for Ed25519; RFC 8301 for the sizes of keys.
"""

import base64
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from cdp.ports.provider import EmailMessage
from cdp.providers.email.mime import build
from cdp.providers.private_keys import has_fit_size, private_key_in

SIGNED: Final = (
    b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to", b"mime-version",
    b"content-type", b"list-unsubscribe", b"list-unsubscribe-post",
)  # fmt: skip
UNDER: Final = "._domainkey."
BEGINNINGS_KEPT: Final = 256

_SPACES: Final = re.compile(rb"[ \t]+")

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def private_key(pem: str) -> PrivateKey:
    """The key that a PEM holds.

    Raises:
        ValueError: it holds none that DKIM knows.
    """
    key = private_key_in(pem)
    if isinstance(key, rsa.RSAPrivateKey) and has_fit_size(key):
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise ValueError("DKIM takes a key of RSA with 2048 to 4096 bits, or of Ed25519")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Signs with one key."""

    domain: str
    selector: str
    key: PrivateKey = field(repr=False)

    @classmethod
    def at(cls, record: str, pem: str) -> "Signer":
        """Whose public key stands in the DNS under this name, `SELECTOR._domainkey.DOMAIN`.

        Raises:
            ValueError: the private key is none.
        """
        selector, _, domain = record.partition(UNDER)
        return cls(domain=domain, selector=selector, key=private_key(pem))

    @property
    def is_rsa(self) -> bool:
        """Whether its key is of RSA, and not of Ed25519."""
        return isinstance(self.key, rsa.RSAPrivateKey)

    def sign(self, content: bytes) -> bytes:
        """The message with its signature before it."""
        head, _, body = content.partition(b"\r\n\r\n")
        fields = _fields(head)
        there = [fields.get(name, ()) for name in SIGNED]
        algorithm = "rsa" if self.is_rsa else "ed25519"
        counts = tuple(map(len, there))
        standing, hashed = _before_digest(algorithm, self.domain, self.selector, counts)
        digest = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest())
        # Of several fields of one name the last comes first (RFC 6376, section 5.4.2).
        covered = [relaxed for values in there for relaxed in reversed(values)]
        signed = b"".join((*covered, hashed, digest, b"; b="))
        signature = base64.b64encode(self._signature(signed))
        lines = [signature[at : at + 72] for at in range(0, len(signature), 72)]
        end = b"\r\n ".join(lines)
        return b"".join((standing, digest, b";\r\n b=", end, b"\r\n", content))

    def _signature(self, signed: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(signed, padding.PKCS1v15(), SHA256())
        # RFC 8463, section 3: what Ed25519 signs is the hash.
        return self.key.sign(hashlib.sha256(signed).digest())


class Signers:
    """The signers of several domains."""

    def __init__(self, signers: Iterable[Signer]) -> None:
        self._by_domain: dict[str, list[Signer]] = defaultdict(list)
        for signer in sorted(signers, key=lambda each: (each.domain, each.selector)):
            self._by_domain[signer.domain].append(signer)

    def signers_for(self, message: EmailMessage) -> Sequence[Signer]:
        """All of one domain: that which the message names, else the nearest to its sender's.

        It is the sender's domain or one above it: any other would not be aligned (rule E6).
        """
        own = message.sender.email.rpartition("@")[2].lower()
        named = message.dkim_domain
        if named in self._by_domain and (own == named or own.endswith(f".{named}")):
            return self._by_domain[named]
        while own:
            if own in self._by_domain:
                return self._by_domain[own]
            own = own.partition(".")[2]
        return ()


def signing(signers: Iterable[Signer]) -> Callable[[EmailMessage], bytes]:
    """Composes messages and signs each with every key of its domain.

    Two keys are for the time in which one takes over from the other, or for receivers that know
    only RSA (RFC 8463, section 4). Neither signs the other's signature.
    """
    known = Signers(signers)

    def compose(message: EmailMessage) -> bytes:
        content = build(message)
        for signer in known.signers_for(message):
            content = signer.sign(content)
        return content

    return compose


def relaxed_body(body: bytes) -> bytes:
    """The body as it is hashed (RFC 6376, section 3.4.4)."""
    # No regular expression: over a body they cost more than the signature.
    body = body.replace(b"\t", b" ")
    while b"  " in body:
        body = body.replace(b"  ", b" ")
    body = body.replace(b" \r\n", b"\r\n").removesuffix(b" ")
    end = len(body)
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    return body[:end] + b"\r\n" if end else b""


def _fields(head: bytes) -> dict[bytes, list[bytes]]:
    """The header fields by name, each in its relaxed form, in the order in which they stand."""
    fields: dict[bytes, list[bytes]] = {}
    for line in _unfolded(head).split(b"\r\n"):
        name, relaxed = _relaxed(line)
        fields.setdefault(name, []).append(relaxed)
    return fields


def _unfolded(head: bytes) -> bytes:
    return head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t")


def _relaxed(line: bytes) -> tuple[bytes, bytes]:
    """An unfolded header field's name, and the field as it is hashed (RFC 6376, section 3.4.2)."""
    name, _, value = line.partition(b":")
    name = name.strip().lower()
    if b"  " in value or b"\t" in value:
        value = _SPACES.sub(b" ", value)
    return name, b"%b:%b\r\n" % (name, value.strip())


@lru_cache(maxsize=BEGINNINGS_KEPT)
def _before_digest(
    algorithm: str, domain: str, selector: str, counts: Sequence[int]
) -> tuple[bytes, bytes]:
    """Our field up to the body's hash, as it stands and as it is hashed.

    Kept: what a worker signs has few keys and few sets of fields.

    Args:
        algorithm: without its hash.
        domain: of the signer.
        selector: of the key.
        counts: of the fields of each name in `SIGNED`.
    """
    names = [name.decode() for name, n in zip(SIGNED, counts, strict=True) for _ in range(n + 1)]
    standing = (
        f"DKIM-Signature: v=1; a={algorithm}-sha256; c=relaxed/relaxed;\r\n"
        f" d={domain}; s={selector};\r\n h={_folded(':'.join(names), ':')};\r\n bh="
    ).encode()
    _, relaxed = _relaxed(_unfolded(standing))
    return standing, relaxed.removesuffix(b"\r\n")


def _folded(text: str, at: str) -> str:
    """Text broken into lines behind this character."""
    lines = [""]
    for part in re.split(f"(?<={at})", text):
        if len(lines[-1]) + len(part) > 70:
            lines.append("")
        lines[-1] += part
    return "\r\n ".join(lines)
