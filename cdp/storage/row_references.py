"""`row_references`: which row of a file has a reference for a recipient. The first keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cdp.domain.ids import ClientId
from cdp.storage.database import Database, Document, insert_new, repository


@dataclass(frozen=True, slots=True)
class RowReference:
    """A row that would have one."""

    key: bytes
    """The file, and what a row must not share with another of it."""
    row: int


@repository
class RowReferences:
    """One document for each; they go by themselves, long after the file has ended."""

    def __init__(self, database: Database) -> None:
        self._collection = database["row_references"]

    async def take(
        self, client_id: ClientId, wanted: Sequence[RowReference], *, at: datetime
    ) -> list[int]:
        """For each the row that has it: that itself, unless another was there before.

        Raises:
            OutcomeUnknown: it could not be found out; asked again, the answers are the same.
        """
        documents: list[Document] = [
            {"_id": each.key, "client_id": client_id, "row": each.row, "at": at} for each in wanted
        ]
        ours = await insert_new(self._collection, documents, mark="row")
        others = [each.key for each, is_ours in zip(wanted, ours, strict=True) if not is_ours]
        has = {each.key: each.row for each, is_ours in zip(wanted, ours, strict=True) if is_ours}
        if others:
            query = {"_id": {"$in": others}, "client_id": client_id}
            async for document in self._collection.find(query, {"row": 1}):
                has[document["_id"]] = document["row"]
        return [has.get(each.key, each.row) for each in wanted]
