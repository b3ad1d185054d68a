"""Who may use the platform: clients and their API keys (rule A1).

A key reads `cdp_live_<id>_<secret>_<checksum>`. The id finds it, the secret proves it, and the
checksum turns away what was mistyped or cut before anything is looked up. Only a keyed hash of
the secret is stored.
"""

import hmac
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cdp.domain.client import ApiKey, Client
from cdp.domain.ids import ClientId, fresh_id
from cdp.domain.sender import DEFAULT_NAME, Identity, Sender
from cdp.errors import Conflict, Invalid, NotFound, Unauthenticated
from cdp.ports.clock import Clock
from cdp.services.client_config_service import ReadThrough
from cdp.services.sender_service import SenderService
from cdp.storage.clients import ApiKeys, Clients

KEY_ID_BYTES: Final = 8
SECRET_BYTES: Final = 32
NAME_CHARS_MAX: Final = 100

_KEY: Final = re.compile(
    r"(?P<signed>cdp_(?P<kind>live|test)_(?P<id>[0-9a-f]{16})_(?P<secret>[0-9a-f]{64}))"
    r"_(?P<crc>[0-9a-f]{8})",
    re.ASCII,
)
_BEARER: Final = "Bearer "


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks."""

    client: Client
    key_id: str
    live: bool
    """False: what comes with this key may only reach the mailbox (rule A2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key at the one moment when its text is known."""

    key: ApiKey
    text: str


class AccessService:
    """Keeps clients and keys, and says whose a key is. A revoked key is dead within 2 s."""

    def __init__(
        self,
        *,
        clients: Clients,
        keys: ApiKeys,
        senders: SenderService,
        pepper: bytes,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._clients = clients
        self._keys = keys
        self._senders = senders
        self._pepper = pepper
        self._clock = clock
        self._random_bytes = random_bytes
        self._known_keys: ReadThrough[str, ApiKey] = ReadThrough(self._load_keys, clock=clock)
        self._known_clients: ReadThrough[ClientId, Client] = ReadThrough(
            clients.across_clients, clock=clock
        )

    async def create_client(self, name: str, *, backlog_max: int | None = None) -> Client:
        """Add a client.

        Raises:
            Invalid: the name is empty, too long or not printable.
            Conflict: there is a client with this name.
        """
        if not (1 <= len(name) <= NAME_CHARS_MAX and name.isprintable()):
            raise Invalid.at("/name", "name_invalid", "A name is 1 to 100 printable characters.")
        if await self._clients.named(name) is not None:
            raise Conflict(f"There is a client named {name} already.")
        now = self._clock.now()
        raw_id = fresh_id(now, self._random_bytes)
        client = Client(id=ClientId(raw_id), name=name, backlog_max=backlog_max, created_at=now)
        await self._clients.insert(client)
        return client

    async def clients(self) -> list[Client]:
        """Every client, by name."""
        return await self._clients.all()

    async def client_named(self, name: str) -> Client:
        """One client.

        Raises:
            NotFound: there is none of this name.
        """
        client = await self._clients.named(name)
        if client is None:
            raise NotFound(f"There is no client named {name}.")
        return client

    async def set_offers_unsubscribe(self, client_id: ClientId, offers: bool) -> None:
        """Say whether all emails of a client carry the way out by one click, within 2 s."""
        await self._clients.set_offers_unsubscribe(client_id, offers)

    async def set_sender(self, client_id: ClientId, *, email: str, name: str = "") -> Sender:
        """Say who a client's emails come from where nothing else is said.

        Raises:
            Invalid: the address or the name can't stand in a header.
        """
        identity = Identity(channel="email", address=email, display_name=name)
        sender, _ = await self._senders.put(client_id, DEFAULT_NAME, identity, is_default=True)
        return sender

    async def create_key(
        self,
        client_id: ClientId,
        *,
        name: str = "",
        live: bool = True,
        expires_at: datetime | None = None,
    ) -> NewKey:
        """Make a key. Its text is in the answer and nowhere else."""
        key_id = self._random_bytes(KEY_ID_BYTES).hex()
        secret = self._random_bytes(SECRET_BYTES).hex()
        key = ApiKey(
            key_id=key_id,
            client_id=client_id,
            secret_hash=self._hash(secret),
            name=name,
            live=live,
            expires_at=expires_at,
            created_at=self._clock.now(),
        )
        await self._keys.insert(key)
        signed = f"cdp_{_kind(key)}_{key_id}_{secret}"
        return NewKey(key=key, text=f"{signed}_{_checksum(signed)}")

    async def keys(self, client_id: ClientId) -> list[ApiKey]:
        """A client's keys, the oldest first."""
        return await self._keys.of_client(client_id)

    async def revoke_key(self, key_id: str) -> None:
        """Make a key worthless, in every process within 2 s.

        Raises:
            NotFound: there is no such key.
        """
        if not await self._keys.revoke(key_id, self._clock.now()):
            raise NotFound(f"There is no key {key_id}.")

    async def authenticate(self, authorization: str | None) -> Caller:
        """Whose key this is.

        Args:
            authorization: the value of the header, such as `Bearer cdp_live_…`.

        Raises:
            Unauthenticated: there is no valid key in it.
        """
        if authorization is None:
            raise Unauthenticated("Send an API key: Authorization: Bearer cdp_live_…")
        match = None
        if authorization[: len(_BEARER)].lower() == _BEARER.lower():
            match = _KEY.fullmatch(authorization[len(_BEARER) :].strip())
        if match is None or not hmac.compare_digest(_checksum(match["signed"]), match["crc"]):
            raise Unauthenticated("What was sent is not an API key, or not all of one.")
        key_id = match["id"]
        key = (await self._known_keys.get_many((key_id,))).get(key_id)
        # An unknown key costs the same hash as a known one.
        expected = b"" if key is None else key.secret_hash
        proved = hmac.compare_digest(self._hash(match["secret"]), expected)
        if key is None or not proved or _kind(key) != match["kind"]:
            raise Unauthenticated("There is no such API key.")
        self._require_in_force(key)
        client = (await self._known_clients.get_many((key.client_id,))).get(key.client_id)
        if client is None:
            raise Unauthenticated("There is no such API key.")
        return Caller(client=client, key_id=key_id, live=key.live)

    def _require_in_force(self, key: ApiKey) -> None:
        if key.revoked_at is not None:
            raise Unauthenticated("The API key was revoked.")
        if key.expires_at is not None and key.expires_at <= self._clock.now():
            raise Unauthenticated("The API key has expired.")

    def _hash(self, secret: str) -> bytes:
        return hmac.digest(self._pepper, secret.encode(), "sha256")

    async def _load_keys(self, key_ids: Sequence[str]) -> dict[str, ApiKey]:
        found = [await self._keys.find(key_id) for key_id in key_ids]
        return {key.key_id: key for key in found if key is not None}


def _kind(key: ApiKey) -> str:
    return "live" if key.live else "test"


def _checksum(signed: str) -> str:
    return f"{zlib.crc32(signed.encode()):08x}"
