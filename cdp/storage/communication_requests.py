"""`communication_requests` and `recipients`: what was asked for. Insert-only."""

from collections.abc import Sequence

from pymongo.errors import BulkWriteError

from cdp.domain.communication_request import CommunicationRequest, Recipient
from cdp.domain.ids import ClientId, RequestId, ResultId
from cdp.storage.codec import recipient_documents, recipient_of, request_document, request_of
from cdp.storage.database import DUPLICATE_KEY, Database, insert_new, repository


@repository
class CommunicationRequests:
    """Requests as they were accepted."""

    def __init__(self, database: Database) -> None:
        self._collection = database["communication_requests"]

    async def insert(self, requests: Sequence[CommunicationRequest]) -> None:
        """Store requests without an idempotency key; those that are there already stay."""
        await insert_new(self._collection, [request_document(r) for r in requests])

    async def insert_keyed(self, requests: Sequence[CommunicationRequest]) -> list[bool]:
        """Store requests that carry an idempotency key; whether each is the first with its key.

        The unique index on client and key decides.
        """
        documents = [request_document(request) for request in requests]
        first = [True] * len(documents)
        try:
            await self._collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if error.details.get("writeConcernErrors"):
                raise
            for entry in error.details["writeErrors"]:
                if entry["code"] != DUPLICATE_KEY:
                    raise
                first[entry["index"]] = False
        return first

    async def with_keys(
        self, client_id: ClientId, keys: Sequence[str]
    ) -> dict[str, CommunicationRequest]:
        """The stored requests with these idempotency keys, without their recipients."""
        query = {"client_id": client_id, "idempotency_key": {"$in": list(keys)}}
        found = [request_of(document) async for document in self._collection.find(query)]
        return {r.idempotency_key: r for r in found if r.idempotency_key is not None}

    async def of_client_with_counts(
        self, client_id: ClientId, request_ids: Sequence[RequestId]
    ) -> list[tuple[CommunicationRequest, int]]:
        """Requests for the API, each with how many recipients it has."""
        query = {"_id": {"$in": list(request_ids)}, "client_id": client_id}
        return [(request_of(d), d["recipients"]) async for d in self._collection.find(query)]

    async def across_clients(
        self, request_ids: Sequence[RequestId]
    ) -> dict[RequestId, CommunicationRequest]:
        """Requests for rendering, without their recipients."""
        cursor = self._collection.find({"_id": {"$in": list(request_ids)}})
        found = [request_of(document) async for document in cursor]
        return {request.id: request for request in found}


@repository
class Recipients:
    """Who is to get them."""

    def __init__(self, database: Database) -> None:
        self._collection = database["recipients"]

    async def insert(self, requests: Sequence[CommunicationRequest]) -> None:
        """Store the recipients of these requests; those that are there already stay."""
        documents = [document for r in requests for document in recipient_documents(r)]
        await insert_new(self._collection, documents)

    async def of_client(
        self, client_id: ClientId, result_ids: Sequence[ResultId]
    ) -> dict[ResultId, Recipient]:
        """Recipients for the API."""
        query = {"_id": {"$in": list(result_ids)}, "client_id": client_id}
        found = [recipient_of(document) async for document in self._collection.find(query)]
        return {recipient.result_id: recipient for recipient in found}

    async def across_clients(self, result_ids: Sequence[ResultId]) -> dict[ResultId, Recipient]:
        """Recipients for rendering."""
        cursor = self._collection.find({"_id": {"$in": list(result_ids)}})
        found = [recipient_of(document) async for document in cursor]
        return {recipient.result_id: recipient for recipient in found}
