"""The connection to MongoDB, and the two ways in which the platform writes.

Every write waits for a majority and its journal, five seconds at most (rule D1). A network
error leaves the outcome unknown; then the ids are read back from a majority, and whoever finds
its own writer's mark there knows that it won (rule D5).
"""

import asyncio
import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, ParamSpec, TypeVar

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    CursorNotFound,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)
from pymongo.monitoring import CommandListener
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from cdp.errors import OutcomeUnknown

Document = dict[str, Any]
Collection = AsyncCollection[Document]
Session = AsyncClientSession

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

DATABASE: Final = "cdp"
WTIMEOUT_MS: Final = 5_000
_AT_ONCE: Final = 50
DUPLICATE_KEY: Final = 11_000
PASSING: Final = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        43,  # CursorNotFound
        50,  # MaxTimeMSExpired
        64,  # WriteConcernFailed
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        100,  # UnsatisfiableWriteConcern
        134,  # ReadConcernMajorityNotAvailableYet
        189,  # PrimarySteppedDown
        202,  # NetworkInterfaceExceededTimeLimit
        237,  # CursorKilled
        239,  # SnapshotTooOld
        246,  # SnapshotUnavailable
        251,  # NoSuchTransaction
        262,  # ExceededTimeLimit
        9001,  # SocketException
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11602,  # InterruptedDueToReplStateChange
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
    }
)
"""The server's own words for what passes: a change of primary, a restart, a time limit."""

_CODEC: Final[CodecOptions[Document]] = CodecOptions(tz_aware=True)
_WRITE: Final = WriteConcern(w="majority", j=True, wtimeout=WTIMEOUT_MS)


class Database:
    """One process's connection. It belongs to the event loop that first uses it."""

    def __init__(
        self, uri: str, *, component: str, listeners: Sequence[CommandListener] = ()
    ) -> None:
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(
            uri,
            appname=f"cdp-{component}",
            # The driver notices a failed server at its next heartbeat; the usual ten seconds
            # would be the longest wait in every recovery.
            heartbeatFrequencyMS=500,
            serverSelectionTimeoutMS=10_000,
            event_listeners=list(listeners),
        )
        self._database: AsyncDatabase[Document] = self._client.get_database(
            DATABASE, codec_options=_CODEC, write_concern=_WRITE
        )

    def __getitem__(self, name: str) -> Collection:
        """The collection `name`, with the platform's write concern."""
        return self._database[name]

    @property
    def raw(self) -> AsyncDatabase[Document]:
        """The database itself, for migrations and administration."""
        return self._database

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Session]:
        """A session whose reads all see one moment, as a majority of the servers has it.

        A transaction keeps that moment for as long as it lasts. A snapshot session would only name
        it, and rely on a history that the embedded MongoDB has none of, and a busy one too little.
        """
        async with (
            self._client.start_session() as session,
            await session.start_transaction(read_concern=ReadConcern("snapshot")),
        ):
            yield session

    async def ping(self) -> None:
        """Ask the server for a sign of life.

        Raises:
            OutcomeUnknown: none came.
        """
        try:
            await self._client.admin.command("ping")
        except PyMongoError as error:
            raise OutcomeUnknown("MongoDB does not answer.") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def repository(cls: type[T]) -> type[T]:
    """Make a repository's methods raise the platform's errors instead of the driver's.

    Only lost connections are turned; any other error of the driver is our bug and stays itself.
    """
    for name, method in list(vars(cls).items()):
        if inspect.iscoroutinefunction(method):
            setattr(cls, name, _translated(method))
    return cls


def _translated(
    method: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(*args, **kwargs)
        except PyMongoError as error:
            if is_unsure(error):
                raise OutcomeUnknown from error
            raise

    return call


def is_unsure(error: PyMongoError) -> bool:
    """Whether what ended in `error` may have happened all the same, or would at a later try."""
    if isinstance(error, ConnectionFailure | WriteConcernError | CursorNotFound):
        return True
    if isinstance(error, BulkWriteError):
        return bool(error.details.get("writeConcernErrors"))
    if isinstance(error, OperationFailure):
        return error.code in PASSING or error.has_error_label("RetryableWriteError")
    return False


async def insert_new(
    collection: Collection,
    documents: Sequence[Document],
    *,
    mark: str | None = None,
    clustered: bool = False,
) -> list[bool]:
    """Insert all that are not there yet, and say which of them are ours.

    Args:
        collection: where to.
        documents: each with its `_id`.
        mark: the field that names the writer. With it, a document is ours when it was inserted
            by us, now or in an earlier try. Without it, being there is all that counts.
        clustered: whether the collection is clustered, where ids are read back one by one.

    Raises:
        OutcomeUnknown: it could not be found out.
    """
    if not documents:
        return []
    try:
        await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        return await _sort_out(collection, documents, error, mark, clustered)
    except PyMongoError as error:
        if not is_unsure(error):
            raise
        return await _read_back(collection, documents, mark, clustered)
    return [True] * len(documents)


async def _sort_out(
    collection: Collection,
    documents: Sequence[Document],
    error: BulkWriteError,
    mark: str | None,
    clustered: bool,
) -> list[bool]:
    refused = error.details.get("writeErrors", [])
    for entry in refused:
        if entry["code"] != DUPLICATE_KEY:
            raise error
        if "_id" not in entry.get("keyPattern", {"_id": 1}):
            raise error
    if is_unsure(error):
        return await _read_back(collection, documents, mark, clustered)
    won = [True] * len(documents)
    for entry in refused:
        won[entry["index"]] = mark is None
    if mark is not None and refused:
        # The driver repeats a batch by itself after a cut connection: a duplicate may be ours.
        await _claim_own(collection, documents, won, mark, clustered)
    return won


async def _claim_own(
    collection: Collection,
    documents: Sequence[Document],
    won: list[bool],
    mark: str,
    clustered: bool,
) -> None:
    lost = [index for index, ours in enumerate(won) if not ours]
    ids = [documents[index]["_id"] for index in lost]
    stored = await find_marks(collection, ids, mark, clustered=clustered)
    for index in lost:
        document = documents[index]
        won[index] = stored.get(document["_id"]) == document[mark]


async def _read_back(
    collection: Collection, documents: Sequence[Document], mark: str | None, clustered: bool
) -> list[bool]:
    field = mark or "_id"
    try:
        ids = [document["_id"] for document in documents]
        stored = dict(await find_marks(collection, ids, field, clustered=clustered))
        missing = [d for d in documents if d["_id"] not in stored]
        if missing:
            await collection.insert_many(missing, ordered=False)
            stored |= {d["_id"]: d[field] for d in missing}
    except PyMongoError as error:
        raise OutcomeUnknown from error
    return [stored.get(d["_id"]) == d[field] for d in documents]


async def find_marks(
    collection: Collection, ids: Sequence[bytes], field: str, *, clustered: bool
) -> Mapping[bytes, Any]:
    """One field of the documents with these ids, as a majority of the servers has them."""
    settled = collection.with_options(read_concern=ReadConcern("majority"))
    if not clustered:
        cursor = settled.find({"_id": {"$in": list(ids)}}, {field: 1})
        return {document["_id"]: document.get(field) async for document in cursor}
    # MongoDB 6 answers `$in` on a clustered `_id` by reading the whole collection.
    found: dict[bytes, Any] = {}
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        read = await asyncio.gather(*(settled.find_one({"_id": i}, {field: 1}) for i in some))
        found |= {document["_id"]: document.get(field) for document in read if document}
    return found
