"""A chunk of many requests, taken in together: checked, completed by configuration, stored.

For the items of a batch and the rows of a file alike: what comes of each is told to a tally.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import RequestId
from cdp.errors import CdpError
from cdp.http.admission import refusals, request_of
from cdp.http.body import SINGLE_BYTES_MAX
from cdp.http.communication_models import AnyIn, CommunicationIn
from cdp.http.intake_services import IntakeServices
from cdp.http.items import Item, Parsed, item_too_large
from cdp.http.json_input import parse, validate
from cdp.http.request_defaults import as_first_stored, with_defaults
from cdp.services.access_service import Caller
from cdp.services.batch_intake import OpenBatch

CHUNK: Final = 500
PAUSE_ITEMS: Final = 20
"""After so many checked items the event loop gets a turn: singles must not wait for a batch."""


class Tally(Protocol):
    """Hears what became of each item, by its index."""

    def knows(self, index: int) -> bool:
        """Whether it has heard of it."""

    def accept(self, index: int, request: CommunicationRequest) -> None:
        """It is durable; or would be, where it is only checked."""

    def refuse(self, index: int, error: CdpError) -> None:
        """It is not there, and why."""


class ChunkIntake(Protocol):
    """Who takes in, and for whom; a call of the API is one."""

    @property
    def services(self) -> IntakeServices:
        """What is asked."""

    @property
    def caller(self) -> Caller:
        """Whose requests they are."""


Numbered = Sequence[tuple[int, CommunicationRequest]]


class ChunkRules:
    """What holds of some requests beside what holds of all; here nothing."""

    async def fitted(
        self, requests: Sequence[CommunicationRequest]
    ) -> Sequence[CommunicationRequest]:
        """The requests as they are meant."""
        return requests

    async def doubles(self, requests: Numbered) -> Mapping[int, CdpError]:
        """Of those that may be taken in, those that must not be beside another, and why."""
        return {}


NO_RULES: Final = ChunkRules()


async def take_chunk(
    intake: ChunkIntake,
    batch: OpenBatch,
    chunk: Sequence[tuple[int, Item]],
    tally: Tally,
    *,
    rules: ChunkRules = NO_RULES,
) -> None:
    """Check a chunk and store what is right of it.

    One chunk of all batches is checked after the other: so the first is being stored while the
    next is checked. All at once, in turns, would all be ready at the same late time, and MongoDB
    idle until then and this process afterwards.
    """
    async with intake.services.batch_turn:
        checked = await _check(intake, batch, chunk, tally)
    if checked:
        await _store(intake, batch, checked, tally, rules)


async def check_chunk(
    intake: ChunkIntake,
    batch: OpenBatch,
    chunk: Sequence[tuple[int, Item]],
    tally: Tally,
    *,
    rules: ChunkRules = NO_RULES,
) -> None:
    """Say what would be accepted of a chunk, and what refused, and take nothing in."""
    async with intake.services.batch_turn:
        checked = await _check(intake, batch, chunk, tally)
    given = await with_defaults(intake.services, [request for _, request in checked])
    requests = await rules.fitted(given)
    told = await refusals(
        intake.services, intake.caller, requests, now=batch.created_at, takes_room=False
    )
    right = []
    for (index, _), request, refused in zip(checked, requests, told, strict=True):
        if refused is not None:
            tally.refuse(index, refused)
        else:
            right.append((index, request))
    twice = await rules.doubles(right)
    for index, request in right:
        if index in twice:
            tally.refuse(index, twice[index])
        else:
            tally.accept(index, request)


async def _check(
    intake: ChunkIntake, batch: OpenBatch, chunk: Sequence[tuple[int, Item]], tally: Tally
) -> list[tuple[int, CommunicationRequest]]:
    checked = []
    for number, (index, item) in enumerate(chunk, start=1):
        request = _checked(intake, batch, index, item, tally)
        if request is not None:
            checked.append((index, request))
        if number % PAUSE_ITEMS == 0:
            await asyncio.sleep(0)
    return checked


def _checked(
    intake: ChunkIntake, batch: OpenBatch, index: int, item: Item, tally: Tally
) -> CommunicationRequest | None:
    services = intake.services
    try:
        return request_of(
            _given(item),
            request_id=batch.request_id(index, key=services.id_key),
            client=intake.caller.client,
            id_key=services.id_key,
            at=batch.created_at,
            batch_id=batch.id,
        )
    except CdpError as error:
        tally.refuse(index, error)
        return None


def _given(item: Item) -> AnyIn:
    if isinstance(item, Parsed):
        return validate(CommunicationIn, item.value).root
    if len(item) > SINGLE_BYTES_MAX:
        raise item_too_large()
    return parse(CommunicationIn, item).root


async def _store(
    intake: ChunkIntake,
    batch: OpenBatch,
    chunk: Numbered,
    tally: Tally,
    rules: ChunkRules,
) -> None:
    """Take a chunk in, as far as it may be, and note what came of each item."""
    services, caller = intake.services, intake.caller
    try:
        chunk = await _with_defaults(intake, batch, chunk, rules)
        before = await _stored_before(intake, batch, [request for _, request in chunk])
        wanted = await _admitted(intake, batch, chunk, before, tally)
        wanted = _without(await rules.doubles(wanted), wanted, intake, tally)
        outcomes = await services.batches.accept([request for _, request in wanted])
    except CdpError as error:
        for index, _ in chunk:
            if not tally.knows(index):
                tally.refuse(index, error)
        return
    new: list[WorkItem] = []
    for (index, request), outcome in zip(wanted, outcomes, strict=True):
        if isinstance(outcome, CdpError):
            services.backlog.release(caller.client, len(request.recipients))
            tally.refuse(index, outcome)
            continue
        tally.accept(index, request)
        if request.id not in before:
            new.extend(outcome.items)
    if new:
        for channel, count in Counter(item.channel for item in new).items():
            services.metrics.count("cdp_accepted", count, channel=channel)
        services.hint(new)


def _without(
    twice: Mapping[int, CdpError], wanted: Numbered, intake: ChunkIntake, tally: Tally
) -> list[tuple[int, CommunicationRequest]]:
    """Those that are no doubles; room that was taken for the others is free again."""
    for index, request in wanted:
        if index in twice:
            intake.services.backlog.release(intake.caller.client, len(request.recipients))
            tally.refuse(index, twice[index])
    return [(index, request) for index, request in wanted if index not in twice]


async def _with_defaults(
    intake: ChunkIntake, batch: OpenBatch, chunk: Numbered, rules: ChunkRules
) -> list[tuple[int, CommunicationRequest]]:
    """Let campaigns and configurations say what is not said, but never a second time."""
    given = await with_defaults(intake.services, [request for _, request in chunk])
    requests = await rules.fitted(given)
    if batch.repeated:
        first = await intake.services.reading.stored(
            intake.caller.client.id, [request.id for request in requests]
        )
        requests = as_first_stored(requests, first)
    return [(index, request) for (index, _), request in zip(chunk, requests, strict=True)]


async def _admitted(
    intake: ChunkIntake,
    batch: OpenBatch,
    chunk: Numbered,
    before: set[RequestId],
    tally: Tally,
) -> list[tuple[int, CommunicationRequest]]:
    """Those that may be taken in now, and those that were before."""
    new = [request for _, request in chunk if request.id not in before]
    told = await refusals(intake.services, intake.caller, new, now=batch.created_at)
    refused = {request.id: error for request, error in zip(new, told, strict=True) if error}
    for index, request in chunk:
        if request.id in refused:
            tally.refuse(index, refused[request.id])
    return [(index, request) for index, request in chunk if request.id not in refused]


async def _stored_before(
    intake: ChunkIntake, batch: OpenBatch, requests: Sequence[CommunicationRequest]
) -> set[RequestId]:
    """Which of them an earlier try of the same batch has accepted already."""
    if not batch.repeated:
        return set()
    first_results = [request.recipients[0].result_id for request in requests]
    found = await intake.services.reading.existing(intake.caller.client.id, first_results)
    return set(found.values())
