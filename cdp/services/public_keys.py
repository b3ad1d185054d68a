"""Public keys of SSH as people paste them: read, judged, and freed of their comments.

`cryptography` reads them, so that no process but the gateway has to load a server for SSH.
"""

import base64
import binascii
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from cdp.domain.sftp_account import PublicKey

RSA_BITS_MIN: Final = 3_072
RSA_BITS_MAX: Final = 16_384
LINE_CHARS_MAX: Final = 5_000
ALGORITHMS: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)


class UnfitKey(ValueError):
    """This can't open an account; the message is a sentence that says why."""


def read_public_key(line: str) -> PublicKey:
    """The key in one line as of a `.pub` file.

    Raises:
        UnfitKey: it is none, or too weak, or a private one.
    """
    words = line.split()
    if "PRIVATE" in line:
        raise UnfitKey("This is a private key: keep it, and give the line of its .pub file.")
    if len(line) > LINE_CHARS_MAX or len(words) < 2 or words[0] not in ALGORITHMS:
        raise UnfitKey(f"A key is a line that begins with one of {', '.join(ALGORITHMS)}.")
    algorithm, text = words[:2]
    try:
        blob = base64.b64decode(text, validate=True)
        key = load_ssh_public_key(f"{algorithm} {text}".encode())
    except (ValueError, UnsupportedAlgorithm, binascii.Error):
        raise UnfitKey("The key is damaged.") from None
    if isinstance(key, RSAPublicKey) and not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
        raise UnfitKey(f"An RSA key has {RSA_BITS_MIN} bits at least; better is ed25519.")
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey):
        raise UnfitKey("The key is of no kind that is known here.")
    return PublicKey(algorithm=algorithm, blob=blob)
