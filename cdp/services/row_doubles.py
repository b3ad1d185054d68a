"""Rows that are in a file twice, by the reference that their sender gives them.

A reference is a sender's own id of a communication, so the same one for the same recipient on the
same channel is a row that was copied. Which row has it is kept until the file is long over: whoever
goes on with the file decides as the one before did (rule F4).
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.request_file import RequestFile
from cdp.ports.clock import Clock
from cdp.storage.row_references import RowReference, RowReferences

DIGEST_BYTES: Final = 16


class RowDoubles:
    """Finds them."""

    def __init__(self, references: RowReferences, *, clock: Clock) -> None:
        self._references = references
        self._clock = clock

    async def of(
        self, file: RequestFile, requests: Mapping[int, CommunicationRequest]
    ) -> Mapping[int, int]:
        """The rows that are doubles, each with the row that was there before.

        Args:
            file: whose rows they are.
            requests: what the rows ask for, by their numbers.

        Raises:
            OutcomeUnknown: it could not be found out.
        """
        wanted = [
            RowReference(file.id + _digest(request, request.reference), row)
            for row, request in requests.items()
            if request.reference is not None
        ]
        if not wanted:
            return {}
        rows = await self._references.take(file.client_id, wanted, at=self._clock.now())
        return {
            each.row: first for each, first in zip(wanted, rows, strict=True) if first != each.row
        }


def _digest(request: CommunicationRequest, reference: str) -> bytes:
    [recipient] = request.recipients
    parts = (request.channel, recipient.identifier, reference)
    # No part holds a NUL, so no two triples give the same bytes.
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=DIGEST_BYTES).digest()
