"""How a batch becomes durable: many requests under one id, from which all their ids follow.

The id of item number n is derived from the batch's id and n, so a batch that comes again with its
idempotency key completes what is missing and doubles nothing, whatever died in between.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.ids import BatchId, ClientId, RequestId, derived_id, fresh_id
from cdp.errors import CdpError, IdempotencyKeyInUse, IdempotencyKeyReused, OutcomeUnknown
from cdp.ports.clock import Clock
from cdp.services.communication_intake import AcceptOutcome, CommunicationIntake
from cdp.storage.batches import Batch, Batches

log = logging.getLogger(__name__)

IN_PROGRESS: Final = timedelta(seconds=60)
"""How long the first sender of a batch is given before a repeat takes over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBatch:
    """A batch that is being taken in."""

    id: BatchId
    client_id: ClientId
    created_at: datetime
    """Of the first time; all that is judged by the clock is judged by this."""
    repeated: bool

    def request_id(self, index: int, *, key: bytes) -> RequestId:
        """The id of item number `index`."""
        return RequestId(derived_id(self.id, index, key=key))


class BatchIntake:
    """Begins a batch, makes its requests durable, and closes it with its counts."""

    def __init__(
        self,
        *,
        batches: Batches,
        intake: CommunicationIntake,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._batches = batches
        self._intake = intake
        self._clock = clock
        self._random_bytes = random_bytes
        self._writing: set[asyncio.Task[list[AcceptOutcome]]] = set()

    async def begin(
        self, client_id: ClientId, *, key: str | None, body_hash: bytes | None
    ) -> OpenBatch:
        """Open a batch, or the one that came before with this idempotency key.

        Raises:
            IdempotencyKeyReused: that one had another body.
            IdempotencyKeyInUse: that one is still being taken in.
            OutcomeUnknown: MongoDB could not be asked.
        """
        now = self._clock.now()
        raw_id = fresh_id(now, self._random_bytes)
        mine = Batch(
            id=BatchId(raw_id),
            client_id=client_id,
            idempotency_key=key,
            body_hash=body_hash,
            created_at=now,
        )
        stored = await self._batches.begin(mine)
        if stored.id != mine.id:
            if stored.body_hash != body_hash:
                raise IdempotencyKeyReused
            if stored.accepted is None and now - stored.created_at < IN_PROGRESS:
                raise IdempotencyKeyInUse
        return OpenBatch(
            id=stored.id,
            client_id=client_id,
            created_at=stored.created_at,
            repeated=stored.id != mine.id,
        )

    async def accept(self, requests: Sequence[CommunicationRequest]) -> list[AcceptOutcome]:
        """Make some of the batch's requests durable; for each what came of it.

        A caller that is cancelled does not cut the write in the middle.
        """
        task = asyncio.create_task(self._accept(requests))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return await asyncio.shield(task)

    async def _accept(self, requests: Sequence[CommunicationRequest]) -> list[AcceptOutcome]:
        try:
            return await self._intake.accept(requests)
        except OutcomeUnknown as error:
            return [error] * len(requests)
        except Exception as error:
            # One that cannot be stored must not fail its neighbours, whose turn comes alone. The
            # message of the error may hold what was sent, so it is left out.
            log.error(
                "a chunk could not be stored",
                extra={
                    "requests": len(requests),
                    "error": type(error).__name__,
                    "trace": traceback.format_tb(error.__traceback__),
                },
            )
            if len(requests) == 1:
                return [CdpError("This request could not be stored.")]
            return [(await self._accept([request]))[0] for request in requests]

    async def finish(self, batch: OpenBatch, *, accepted: int, rejected: int, results: int) -> None:
        """Close the batch with its counts: requests taken in and refused, and all results."""
        await self._batches.finish(batch.id, accepted=accepted, rejected=rejected, results=results)
