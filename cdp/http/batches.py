"""`/communications/batch` and `/batches`: many requests in one call, each with its own answer.

Items are parsed, checked and stored in chunks while the body is still coming; with an idempotency
key the body is read first, since the key stands for exactly that body.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.ids import BatchId, text_of
from cdp.errors import CdpError, Invalid, OutcomeUnknown, PayloadTooLarge, PlatformFull
from cdp.http.answer import Answer, json_answer
from cdp.http.body import BATCH_BYTES_MAX, Body, media_type
from cdp.http.call import Call
from cdp.http.chunk_intake import CHUNK, take_chunk
from cdp.http.idempotency import REPLAYED, body_hash, key_of
from cdp.http.items import (
    ITEMS_MAX,
    Item,
    array_items,
    cut_array,
    line_items,
    too_many,
)
from cdp.http.json_body import JSON
from cdp.http.parameters import id_in_path, known_parameters
from cdp.http.problems import BodyTooSlow, Malformed, document_of
from cdp.http.views import batch_view
from cdp.services.batch_intake import OpenBatch

PATH: Final = "/communications/batch"
NDJSON: Final = "application/x-ndjson"
CHUNKS_IN_FLIGHT: Final = 3
BUFFERED_BYTES_MAX: Final = 256 * 1024 * 1024
BUFFER_RETRY_S: Final = 2


@dataclass(slots=True, kw_only=True)
class _Tally:
    """What became of the items so far, by index."""

    items: dict[int, dict[str, Any]] = field(default_factory=dict)
    accepted: int = 0
    results: int = 0
    unsure: bool = False

    def knows(self, index: int) -> bool:
        return index in self.items

    def accept(self, index: int, request: CommunicationRequest) -> None:
        self.accepted += 1
        self.results += len(request.recipients)
        self.items[index] = {"index": index, "status": 202, "id": text_of(request.id)}

    def refuse(self, index: int, error: CdpError) -> None:
        self.unsure = self.unsure or isinstance(error, OutcomeUnknown)
        problem = document_of(error)
        self.items[index] = {"index": index, "status": problem["status"], "problem": problem}


class _Buffered:
    """Bytes of batch bodies that this process holds at once, in a bound."""

    def __init__(self) -> None:
        self.held = 0

    def take(self, size: int) -> None:
        if self.held + size > BUFFERED_BYTES_MAX:
            raise PlatformFull(
                "Too many batches are being read at once.", retry_after_s=BUFFER_RETRY_S
            )
        self.held += size

    def give_back(self, size: int) -> None:
        self.held -= size


_BUFFERED: Final = _Buffered()


async def post_batch(call: Call) -> Answer:
    """Accept many requests; each gets its own status. What is said to be 202 is durable."""
    kind = media_type(call.headers, JSON, NDJSON)
    key = key_of(call.headers)
    body = Body(call.headers, call.receive, limit=BATCH_BYTES_MAX)
    if kind == NDJSON and key is None:
        return await _take_in(call, line_items(body.pieces()), key=None, digest=None)
    held = body.announced or BATCH_BYTES_MAX
    _BUFFERED.take(held)
    try:
        raw = await body.read()
        if not raw.strip():
            raise _empty()
        items = await _items(kind, raw)
        digest = None if key is None else body_hash(PATH, raw)
        return await _take_in(call, items, key=key, digest=digest)
    finally:
        _BUFFERED.give_back(held)


def _empty() -> Invalid:
    return Invalid.at("", "empty", "The batch has no items.")


async def _items(kind: str, raw: bytes) -> AsyncIterator[Item]:
    """What the body holds; an array that is broken or too long is refused as a whole."""
    if kind == NDJSON:
        return line_items(_whole(raw))
    return array_items(raw, await cut_array(raw))


async def _whole(raw: bytes) -> AsyncIterator[bytes]:
    yield raw


async def _take_in(
    call: Call, items: AsyncIterator[Item], *, key: str | None, digest: bytes | None
) -> Answer:
    batch = await call.services.batches.begin(call.caller.client.id, key=key, body_hash=digest)
    tally = _Tally()
    await _accept_all(call, batch, items, tally)
    if not tally.items:
        raise _empty()
    rejected = len(tally.items) - tally.accepted
    if not tally.unsure:
        await call.services.batches.finish(
            batch, accepted=tally.accepted, rejected=rejected, results=tally.results
        )
    return json_answer(
        {
            "batch_id": text_of(batch.id),
            "accepted": tally.accepted,
            "rejected": rejected,
            "items": [tally.items[index] for index in sorted(tally.items)],
        },
        status=207,
        headers=(REPLAYED,) if batch.repeated else (),
    )


async def _accept_all(
    call: Call, batch: OpenBatch, items: AsyncIterator[Item], tally: _Tally
) -> None:
    """Take the items in, a few chunks at a time."""
    chunk: list[tuple[int, Item]] = []
    under_way: set[asyncio.Task[None]] = set()
    index = -1
    try:
        async for item in items:
            index += 1
            if index == ITEMS_MAX:
                tally.refuse(index, too_many())
                break
            chunk.append((index, item))
            if len(chunk) == CHUNK:
                under_way.add(asyncio.create_task(take_chunk(call, batch, chunk, tally)))
                chunk = []
                under_way = await _some_done(under_way)
    except (PayloadTooLarge, BodyTooSlow, Malformed) as error:
        if index < 0:
            raise
        # The stream breaks off: what came before is taken in, and this entry says where it ended.
        tally.refuse(index + 1, error)
    finally:
        if chunk:
            under_way.add(asyncio.create_task(take_chunk(call, batch, chunk, tally)))
        await asyncio.gather(*under_way)


async def _some_done(under_way: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Wait until another chunk may begin; those that are still under way."""
    if len(under_way) < CHUNKS_IN_FLIGHT:
        return under_way
    done, rest = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    return rest


async def get_batch(call: Call) -> Answer:
    """A batch with its books."""
    known_parameters(call, frozenset())
    view = await call.services.reading.batch(call.caller.client.id, BatchId(id_in_path(call)))
    return json_answer(batch_view(view))
