"""A database in memory that stands where MongoDB does, so that the real repositories run on it.

Unique ids decide, updates filter, leases go by the server's time. Every operation may be lost on
its way, done without an answer, done in part, or done long after it was given up. The driver's
errors are given by the caller, since only `cdp.storage` knows the driver.
"""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, Self

from cdp.testing.memory_query import Document, test_of, updated
from cdp.testing.simulated_world import Fate, Process, World

DUPLICATE_KEY: Final = 11_000
UNIQUE: Final[Mapping[str, tuple[str, ...]]] = {
    "communication_requests": ("client_id", "idempotency_key"),
}
"""Beside `_id`; only documents that have all of the fields stand in the index."""
SPARSE: Final[Mapping[str, str]] = {"delivery_results": "due_at"}
"""Collections with an index on what has this field."""
INDEX_ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    "work": ("partition", "client_id", "due_at", "_id"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverErrors:
    """What the driver raises: for a connection that was cut, and for a batch that went wrong."""

    cut: Callable[[str], Exception]
    bulk: Callable[[Document], Exception]


class Update(Protocol):
    """One entry of a bulk write."""

    _filter: Mapping[str, Any]
    _doc: Any
    _upsert: bool | None


class Table:
    """One collection, as the server has it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.documents: dict[Any, Document] = {}
        self._sorted: list[Any] = []
        self._unique: dict[tuple[Any, ...], Any] = {}
        self._sparse: dict[Any, None] = {}
        self.watch: Callable[[Document | None, Document], None] | None = None
        """Told of every change, before and after."""

    def insert(self, document: Document) -> Document | None:
        """Add a document; the key that was taken when it can't be added."""
        key = document["_id"]
        if key in self.documents:
            return {"_id": 1}
        fields = UNIQUE.get(self.name, ())
        if fields and all(name in document for name in fields):
            unique = tuple(document[name] for name in fields)
            if unique in self._unique:
                return dict.fromkeys(fields, 1)
            self._unique[unique] = key
        insort(self._sorted, key)
        self.put(dict(document))
        return None

    def put(self, document: Document) -> None:
        """Set a document as it is after a change."""
        before = self.documents.get(document["_id"])
        for name, value in document.items():
            if isinstance(value, datetime):
                assert value.microsecond % 1000 == 0, f"{name} would be cut to milliseconds"
        self.documents[document["_id"]] = document
        sparse = SPARSE.get(self.name)
        if sparse is not None:
            if sparse in document:
                self._sparse[document["_id"]] = None
            else:
                self._sparse.pop(document["_id"], None)
        if self.watch is not None:
            self.watch(before, document)

    def find(self, query: Mapping[str, Any], now: datetime) -> list[Document]:
        """What fits, in the order of ids."""
        fits, documents = test_of(query, now), self.documents
        return [d for key in self._keys(query) if fits(d := documents[key])]

    def _keys(self, query: Mapping[str, Any]) -> Sequence[Any]:
        """The ids that need to be looked at, by the same indexes that MongoDB has."""
        if "_id" in query:
            return self._of_ids(query["_id"])
        if "$or" in query and all("_id" in branch for branch in query["$or"]):
            found = {key for branch in query["$or"] for key in self._of_ids(branch["_id"])}
            return sorted(found)
        if SPARSE.get(self.name) in query:
            return sorted(self._sparse)
        return self._sorted

    def _of_ids(self, wanted: Any) -> Sequence[Any]:
        if not isinstance(wanted, dict):
            return [wanted] if wanted in self.documents else []
        if "$in" in wanted:
            return sorted(key for key in set(wanted["$in"]) if key in self.documents)
        if "$gte" in wanted and "$lte" in wanted:
            start = bisect_left(self._sorted, wanted["$gte"])
            return self._sorted[start : bisect_right(self._sorted, wanted["$lte"])]
        return self._sorted


class MemoryServer:
    """The server: what is in here outlives every process."""

    def __init__(self, world: World, errors: DriverErrors) -> None:
        self.world = world
        self.errors = errors
        self.tables: dict[str, Table] = {}

    def table(self, name: str) -> Table:
        """The collection of this name."""
        return self.tables.setdefault(name, Table(name))

    def documents(self, name: str) -> list[Document]:
        """All of a collection, in the order of ids: for those who check."""
        return self.table(name).find({}, self.world.clock.now())


class MemoryDatabase:
    """One process's connection to the server: stands where `Database` does."""

    def __init__(self, server: MemoryServer, process: Process) -> None:
        self.server = server
        self.process = process

    def __getitem__(self, name: str) -> "MemoryCollection":
        """The collection of this name."""
        return MemoryCollection(self, self.server.table(name))

    async def operate(self, pieces: Sequence[Callable[[], None]], *, writes: bool) -> Fate:
        """Do something on the server, piece by piece, as far as fate lets it."""
        process, world = self.process, self.server.world
        await process.lag()
        fate = world.fate(process, writes=writes)
        if fate is Fate.REFUSED:
            await self._cut()
        if fate is Fate.LATE:
            world.spawn(self._later(pieces))
            await self._cut()
        until = len(pieces) // 2 if fate is Fate.HALF_DONE else len(pieces)
        gap = until > 1 and world.chance(world.faults.half_rate)
        pause_at = world.random.randrange(until) if gap else -1
        for index in range(until):
            if index == pause_at:
                await asyncio.sleep(world.delay_s())
            pieces[index]()
        if fate in (Fate.UNANSWERED, Fate.HALF_DONE):
            await self._cut()
        if not world.faults.stopped and world.chance(0.05):
            await process.lag()
        await process.gate()
        return fate

    async def _later(self, pieces: Sequence[Callable[[], None]]) -> None:
        await asyncio.sleep(self.server.world.late_s())
        for piece in pieces:
            piece()

    async def _cut(self) -> None:
        await self.process.lag()
        raise self.server.errors.cut("the connection was cut")


class MemoryCollection:
    """One collection, as one process sees it: stands where the driver's does."""

    def __init__(self, database: MemoryDatabase, table: Table) -> None:
        self._database = database
        self._table = table

    @property
    def _now(self) -> datetime:
        return self._database.server.world.clock.now()

    def with_options(self, **_options: Any) -> Self:
        """There is one server, so that every read is a majority's."""
        return self

    async def insert_many(self, documents: Sequence[Document], *, ordered: bool) -> None:
        """Insert all that can be; the error names the others."""
        assert not ordered
        refused: dict[int, Document] = {}

        def piece(index: int) -> Callable[[], None]:
            def insert() -> None:
                taken = self._table.insert(documents[index])
                if taken is not None:
                    refused[index] = taken

            return insert

        pieces = [piece(index) for index in range(len(documents))]
        fate = await self._database.operate(pieces, writes=True)
        if fate is Fate.REPEATED:
            fate = await self._database.operate(pieces, writes=True)
        details: Document = {
            "writeErrors": [
                {"index": index, "code": DUPLICATE_KEY, "keyPattern": taken}
                for index, taken in sorted(refused.items())
            ],
            "writeConcernErrors": [{"code": 64}] if fate is Fate.UNCONFIRMED else [],
        }
        if refused or fate is Fate.UNCONFIRMED:
            raise self._database.server.errors.bulk(details)

    async def bulk_write(self, updates: Sequence[Update], *, ordered: bool) -> None:
        """Several updates in one call."""
        assert not ordered
        pieces = [
            piece
            for update in updates
            for piece in self._updates(update._filter, update._doc, upsert=bool(update._upsert))
        ]
        await self._write(pieces)

    async def update_many(self, query: Mapping[str, Any], update: Any) -> None:
        """Change all that fits; each document by itself, as it is at that moment."""
        await self._write(self._updates(query, update))

    def _updates(
        self, query: Mapping[str, Any], update: Any, *, upsert: bool = False
    ) -> list[Callable[[], None]]:
        def piece() -> None:
            found = self._table.find(query, self._now)
            for document in found:
                self._table.put(updated(document, update, self._now))
            if upsert and not found:
                self._table.insert(updated(dict(query), update, self._now))

        return [piece]

    async def _write(self, pieces: list[Callable[[], None]]) -> None:
        fate = await self._database.operate(pieces, writes=True)
        if fate is Fate.REPEATED:
            fate = await self._database.operate(pieces, writes=True)
        if fate is Fate.UNCONFIRMED:
            details = {"writeErrors": [], "writeConcernErrors": [{"code": 64}]}
            raise self._database.server.errors.bulk(details)

    def find(
        self,
        query: Mapping[str, Any] | None = None,
        projection: Any = None,
        *,
        hint: str | None = None,
    ) -> "MemoryCursor":
        """What fits; read when it is iterated over."""
        return MemoryCursor(self._database, self._table, query or {}, hint)

    async def find_one(self, query: Mapping[str, Any], _projection: Any = None) -> Document | None:
        """The first that fits."""
        found = [document async for document in self.find(query).limit(1)]
        return found[0] if found else None

    async def distinct(
        self, name: str, query: Mapping[str, Any], *, hint: str | None = None
    ) -> list[Any]:
        """The values of a field, in order."""
        found = [document[name] async for document in self.find(query, hint=hint)]
        return sorted(set(found))


class MemoryCursor:
    """A query on its way."""

    def __init__(
        self, database: MemoryDatabase, table: Table, query: Mapping[str, Any], hint: str | None
    ) -> None:
        self._database = database
        self._table = table
        self._query = query
        self._order: Iterable[str] = INDEX_ORDER.get(hint or "", ())
        self._limit: int | None = None

    def sort(self, name: str, direction: int) -> Self:
        """Ascending only."""
        assert direction == 1
        self._order = (name, "_id")
        return self

    def limit(self, limit: int) -> Self:
        """At most so many."""
        self._limit = limit
        return self

    async def __aiter__(self) -> AsyncIterator[Document]:
        found: list[Document] = []

        def read() -> None:
            found[:] = self._table.find(self._query, self._database.server.world.clock.now())

        await self._database.operate([read], writes=False)
        order = tuple(self._order)
        if order:
            found.sort(key=lambda document: tuple(document[name] for name in order))
        for document in found[: self._limit]:
            yield dict(document)
