"""The first steps of an empty MongoDB: replica set, first administrator, roles and users.

The keeper asks at each start; everything here may be repeated. The roles are the insert-only
promise: no user of the running platform may change or remove an event.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

DATABASE: Final = "cdp"

INSERT_ONLY: Final = (
    "communication_requests",
    "recipients",
    "communications",
    "communication_logs",
    "ledger",
    "audit_log",
)
CHANGEABLE: Final = (
    "clients",
    "api_keys",
    "templates",
    "template_versions",
    "segments",
    "segment_assignments",
    "campaigns",
    "delivery_configs",
    "senders",
    "providers",
    "sftp_accounts",
    "users",
    "suppressions",
    "webhooks",
    "files",
    "file_digests",
    "row_references",
    "batches",
    "partition_leases",
    "budgets",
    "inbox",
    "rollups",
    "mailbox",
)
ALL_COLLECTIONS: Final = ""
"""In a privilege's resource: every collection of the database."""

_CLIENT = AsyncMongoClient[dict[str, Any]]
_ALREADY_INITIALIZED: Final = 23
_UNAUTHORIZED: Final = 13
_NOT_YET_INITIALIZED: Final = 94
_AUTHENTICATION_FAILED: Final = 18
_LOADING_S_MAX: Final = 10.0
_POLL_S: Final = 0.02


class BootstrapError(Exception):
    """MongoDB refused a step of its set-up; the message is its answer."""


def _on(collection: str, *actions: str) -> dict[str, Any]:
    return {"resource": {"db": DATABASE, "collection": collection}, "actions": list(actions)}


def _platform() -> list[dict[str, Any]]:
    return [
        _on(ALL_COLLECTIONS, "listCollections", "listIndexes", "collStats", "dbStats"),
        *(_on(name, "find", "insert") for name in (*INSERT_ONLY, "links")),
        *(_on(name, "find", "insert", "update", "remove") for name in CHANGEABLE),
        _on("delivery_results", "find", "insert", "update"),
        _on("inbox", "changeStream"),
        _on("migrations", "find"),
    ]


ROLES: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "platform": _platform(),
    "tracking": [
        _on("communication_logs", "find", "insert"),
        _on("suppressions", "insert"),
        _on("links", "find"),
        _on("delivery_results", "find", "update"),
    ],
    "retention": [
        *(_on(name, "find", "remove") for name in (*INSERT_ONLY[:4], "delivery_results")),
        *(_on(name, "insert", "update") for name in ("ledger", "audit_log")),
    ],
    "migrate": [
        _on(
            ALL_COLLECTIONS,
            *("find", "insert", "update"),
            *("createCollection", "createIndex", "dropIndex", "collMod"),
            *("listIndexes", "listCollections", "collStats", "dbStats"),
        ),
        *(_on(name, "remove") for name in CHANGEABLE),
    ],
    "mailbox": [_on("mailbox", "find", "insert", "remove")],
}
"""What each user may do in the database; the role of user `x` is called `cdp_x`."""


@asynccontextmanager
async def _connected(uri: str, **options: Any) -> AsyncIterator[_CLIENT]:
    """A client for a few commands, straight to the one server."""
    client: _CLIENT = AsyncMongoClient(
        uri, directConnection=True, serverSelectionTimeoutMS=5_000, retryReads=True, **options
    )
    try:
        yield client
    except PyMongoError as error:
        raise BootstrapError(str(error)) from error
    finally:
        await client.close()


async def ping(uri: str) -> bool:
    """Whether the server answers and the URI's user is let in."""
    try:
        async with _connected(uri) as client:
            await client.admin.command("ping")
    except BootstrapError:
        return False
    return True


async def initiate_replica_set(port: int, *, name: str = "cdp") -> bool:
    """Make the server on this port of the loopback address a replica set of one.

    Uses the localhost exception, so it works before there is any user.

    Returns:
        False if the server has a configuration in which it may not find itself.
    """
    async with _connected(f"mongodb://127.0.0.1:{port}/") as client:
        config = {"_id": name, "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}]}
        hello = await client.admin.command("hello")
        if "setName" in hello:
            return True
        try:
            await client.admin.command("replSetInitiate", config)
        except OperationFailure as error:
            # With users there is no localhost exception, and there was a first time.
            if error.code in {_ALREADY_INITIALIZED, _UNAUTHORIZED}:
                return False
            raise
        return True


async def move_replica_set(admin_uri: str, port: int) -> bool:
    """Tell a replica set of one that its server now listens on another port.

    A server that does not find its own address in the configuration would never be primary.

    Returns:
        False if the configuration was right, only not loaded yet.
    """
    # Without the name of the set: a removed member does not tell it.
    bare = admin_uri.partition("?")[0]
    async with _connected(bare) as client:
        config = await _configuration(client)
        member = config["members"][0]
        if member["host"] == f"127.0.0.1:{port}":
            return False
        member["host"] = f"127.0.0.1:{port}"
        config["version"] += 1
        await client.admin.command("replSetReconfig", config, force=True)
        return True


async def _configuration(client: _CLIENT) -> dict[str, Any]:
    """The replica set's configuration, which a server that has just started still loads."""
    give_up_at = time.monotonic() + _LOADING_S_MAX
    while True:
        try:
            answer = await client.admin.command("replSetGetConfig")
        except OperationFailure as error:
            if error.code != _NOT_YET_INITIALIZED or time.monotonic() >= give_up_at:
                raise
            await asyncio.sleep(_POLL_S)
        else:
            configuration: dict[str, Any] = answer["config"]
            return configuration


async def wait_for_primary(uri: str, within_s: float) -> None:
    """Return when the server takes writes.

    Raises:
        TimeoutError: it does not within this time.
    """
    give_up_at = time.monotonic() + within_s
    async with _connected(uri) as client:
        while True:
            try:
                hello = await client.admin.command("hello")
            except AutoReconnect:
                hello = {}
            if hello.get("isWritablePrimary"):
                return
            if time.monotonic() >= give_up_at:
                raise TimeoutError(f"no primary within {within_s:g} s")
            await asyncio.sleep(_POLL_S)


async def create_admin(port: int, admin_uri: str, *, user: str, password: str) -> bool:
    """Create the first user, who may do everything, through the localhost exception.

    Returns:
        False if there is one that the URI's password opens.
    """
    if await _lets_in(admin_uri):
        return False
    async with _connected(f"mongodb://127.0.0.1:{port}/") as client:
        await client.admin.command("createUser", user, pwd=password, roles=["root"])
    return True


async def _lets_in(uri: str) -> bool:
    try:
        async with _connected(uri) as client:
            await client.admin.command("ping")
    except BootstrapError as error:
        cause = error.__cause__
        if isinstance(cause, OperationFailure) and cause.code == _AUTHENTICATION_FAILED:
            return False
        raise
    return True


async def create_users(admin_uri: str, passwords: Mapping[str, str]) -> None:
    """Create the roles and users, or bring those that exist up to what stands here.

    Args:
        admin_uri: of a user who may create users.
        passwords: by user; those without a role in `ROLES` are left out.
    """
    async with _connected(admin_uri) as client:
        database = client[DATABASE]
        roles = {role["role"] for role in (await database.command("rolesInfo", 1))["roles"]}
        users = {user["user"] for user in (await database.command("usersInfo", 1))["users"]}
        for user, privileges in ROLES.items():
            role = f"cdp_{user}"
            verb = "updateRole" if role in roles else "createRole"
            await database.command(verb, role, privileges=list(privileges), roles=[])
            if user in passwords:
                verb = "updateUser" if user in users else "createUser"
                await database.command(verb, user, pwd=passwords[user], roles=[role])
