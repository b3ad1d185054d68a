"""Secrets at rest: sealed by AES-256-GCM, bound to what they are for (rule A10).

A sealed secret that is moved to another client or provider can't be opened there. Each names the
key that sealed it, so that a new key takes over while old secrets stay readable.
"""

import os
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_OCTETS: Final = 12
KEY_OCTETS: Final = 32


class Unopenable(Exception):
    """The key is not there, or the secret was changed or moved."""


class SecretBox:
    """Seals with the first of its keys, and opens with any."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """`keys` by their names, the current one first; a name has 1 to 255 characters."""
        assert keys
        assert all(len(key) == KEY_OCTETS for key in keys.values())
        assert all(0 < len(name.encode()) < 256 for name in keys)
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self._current = next(iter(keys))

    def is_current(self, sealed: bytes) -> bool:
        """Whether the current key has sealed this."""
        return _key_name(sealed) == self._current

    def seal(self, secret: str, *, bound_to: bytes) -> bytes:
        """The secret, readable only with the key and for what it is bound to."""
        name, nonce = self._current.encode(), os.urandom(NONCE_OCTETS)
        sealed = self._ciphers[self._current].encrypt(nonce, secret.encode(), bound_to)
        return bytes((len(name),)) + name + nonce + sealed

    def open(self, sealed: bytes, *, bound_to: bytes) -> str:
        """The secret again.

        Raises:
            Unopenable: it can't be.
        """
        cipher = self._ciphers.get(_key_name(sealed))
        if cipher is None:
            raise Unopenable
        end = 1 + sealed[0]
        nonce, rest = sealed[end : end + NONCE_OCTETS], sealed[end + NONCE_OCTETS :]
        try:
            return cipher.decrypt(nonce, rest, bound_to).decode()
        except (InvalidTag, ValueError):
            raise Unopenable from None


def _key_name(sealed: bytes) -> str:
    end = 1 + sealed[0] if sealed else 0
    return sealed[1:end].decode("utf-8", "replace")
