"""Private keys that callers paste in: what a PEM holds, or that it holds none.

A key is looked into on the loop that serves everybody, when an account is saved and when it is
opened, so what could keep that busy is refused unread.
"""

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

PEM_CHARS_MAX: Final = 4_000
"""A key of `RSA_BITS_MAX` has some 3,300; what is longer is not even looked into."""
RSA_BITS_MIN: Final = 2_048
RSA_BITS_MAX: Final = 4_096
"""To check one of 8,192 bits takes seconds, and a signature by it some tenths of one."""


def private_key_in(pem: str) -> PrivateKeyTypes:
    """The key that a PEM holds.

    Raises:
        ValueError: it holds none that we know, or one that is too long.
    """
    if len(pem) > PEM_CHARS_MAX:
        raise ValueError(f"a private key in PEM has at most {PEM_CHARS_MAX} characters")
    try:
        return load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("this is not a private key in PEM") from None


def has_fit_size(key: rsa.RSAPrivateKey) -> bool:
    """Whether a key of RSA is long enough to be trusted, and short enough to be used."""
    return RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX
