"""`communications`: the finished content of each result. Insert-only; the first one stays."""

from collections.abc import Sequence

from cdp.domain.communication import Communication
from cdp.domain.ids import ClientId, ResultId
from cdp.storage.codec import communication_document, communication_of
from cdp.storage.database import Database, insert_new, repository


@repository
class Communications:
    """Content, stored before CONTENT_RESOLVED says that it is there."""

    def __init__(self, database: Database) -> None:
        self._collection = database["communications"]

    async def insert(self, communications: Sequence[Communication], *, writer: str) -> list[bool]:
        """Store contents; for each whether it is ours.

        Where one is already stored, it stays and is the one that is sent.
        """
        documents = [communication_document(c) | {"writer": writer} for c in communications]
        return await insert_new(self._collection, documents, mark="writer")

    async def of_client(self, client_id: ClientId, result_id: ResultId) -> Communication | None:
        """One content for the API."""
        query = {"_id": result_id, "client_id": client_id}
        document = await self._collection.find_one(query)
        return None if document is None else communication_of(document)

    async def across_clients(self, result_ids: Sequence[ResultId]) -> dict[ResultId, Communication]:
        """Contents for delivery."""
        cursor = self._collection.find({"_id": {"$in": list(result_ids)}})
        found = [communication_of(document) async for document in cursor]
        return {communication.result_id: communication for communication in found}
