"""Whoever takes in a file may die at any step, or be late: it is taken in once, and whole (F3)."""

import asyncio
import os
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest

from cdp.domain.client import Client
from cdp.domain.file_arrival import ARRIVALS
from cdp.domain.ids import EPOCH
from cdp.domain.request_file import FileState
from cdp.ports.object_store import ObjectStore
from cdp.services.file_arrivals_service import MISSED_AFTER
from cdp.services.file_receiving_service import FileReceivingService
from tests.integration.rules.arrivals_rig import (
    PEOPLE,
    Place,
    bucket,
    drop_key,
    folder,
    keys_of,
    noted,
    only_file_of,
    received,
    require_taken_in,
    shop,
)
from tests.waiting import eventually


class Died(BaseException):
    """The process ends here."""


class DyingStore:
    """Object storage whose asker dies at one call, before or after it is done."""

    def __init__(self, store: ObjectStore, *, dies_at: int, done: bool) -> None:
        self._store, self._dies_at, self._done, self.calls = store, dies_at, done, 0

    def read(self, key: str) -> AsyncGenerator[bytes, None]:
        if self._is_last():
            raise Died
        return self._store.read(key)

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **named: Any) -> Any:
            last = self._is_last()
            if last and not self._done:
                raise Died
            answer = await getattr(self._store, name)(*args, **named)
            if last:
                raise Died
            return answer

        return call

    def _is_last(self) -> bool:
        self.calls += 1
        return self.calls == self._dies_at


class HeldStore:
    """Object storage whose answer to a put is held up until it may go on."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.reached, self.may_go_on = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def put(self, key: str, chunks: Any, *, size_max: int) -> Any:
        stored = await self._store.put(key, chunks, size_max=size_max)
        self.reached.set()
        await self.may_go_on.wait()
        return stored


class UnreadStore:
    """Object storage of which nothing is to be read."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        assert name != "read"
        return getattr(self._store, name)


def receiving(wiring, store: Any, worker: str) -> FileReceivingService:
    return FileReceivingService(
        files=wiring.request_files(), turns=wiring.file_turns(),
        store=store, clock=wiring.clock, random_bytes=os.urandom,
        worker=worker,
    )  # fmt: skip


async def lapse(place: Place, client: Client) -> None:
    """Let the time of the lease on this client's file be over."""
    lapsed = {"$set": {"lease_until": EPOCH}}
    await place.rig.admin["files"].update_one({"client_id": client.id}, lapsed)


@pytest.fixture(params=["folder", "bucket"])
async def place(request, rig, tmp_path, moto_url):
    where = (
        folder(rig, tmp_path)
        if request.param == "folder"
        else bucket(rig, moto_url, is_notified=False)
    )
    async with where as place:
        yield place


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("dies_at", range(1, 8))
async def test_whoever_goes_on_after_a_death_has_one_file_and_no_rest(place, dies_at, done):
    wiring = place.process()
    client = await shop(place, wiring)
    place.drop(drop_key(client), PEOPLE)
    arrivals = wiring.file_arrivals_service()
    await noted(arrivals)
    store = DyingStore(wiring.object_store, dies_at=dies_at, done=done)
    with pytest.raises(Died):
        await receiving(wiring, store, "dead").step()
    assert store.calls == dies_at

    await received(receiving(place.process(), wiring.object_store, "next"))
    place.clock.move(MISSED_AFTER)
    await arrivals.sweep()

    await require_taken_in(wiring, client, PEOPLE)
    assert await keys_of(wiring.object_store, ARRIVALS) == []


@pytest.mark.parametrize("done", range(1, 4))
async def test_whoever_loses_mongodb_in_the_middle_goes_on_later(place, done):
    wiring = place.process("receiver")
    client = await shop(place, wiring)
    place.drop(drop_key(client), PEOPLE)
    arrivals, service = wiring.file_arrivals_service(), wiring.file_receiving_service()
    await noted(arrivals)
    cut = {"mode": {"skip": done}, "closeConnection": True}
    async with place.rig.failing(["update"], app="receiver", **cut):
        await service.step()

    # Nor could it be given back.
    await lapse(place, client)
    await received(service)
    place.clock.move(MISSED_AFTER)
    await arrivals.sweep()

    await require_taken_in(wiring, client, PEOPLE)
    assert await keys_of(wiring.object_store, ARRIVALS) == []


async def test_what_could_not_be_noted_is_told_of_again(place):
    wiring = place.process("noter")
    client = await shop(place, wiring)
    place.drop(drop_key(client), PEOPLE)
    arrivals = wiring.file_arrivals_service()
    async with place.rig.failing(["insert"], app="noter", closeConnection=True):
        await noted(arrivals)
    assert await wiring.file_service().page(client.id, state=None, before=None, limit=9) == []

    place.clock.move(timedelta(minutes=1))
    await noted(arrivals)

    await received(wiring.file_receiving_service())
    await require_taken_in(wiring, client, PEOPLE)


async def test_one_that_is_late_writes_over_nothing_and_leaves_nothing(place):
    wiring = place.process()
    client = await shop(place, wiring)
    place.drop(drop_key(client), PEOPLE)
    await noted(wiring.file_arrivals_service())
    held = HeldStore(wiring.object_store)
    late = asyncio.create_task(receiving(wiring, held, "late").step())
    await held.reached.wait()
    await lapse(place, client)
    await received(receiving(place.process(), wiring.object_store, "next"))
    file = await require_taken_in(wiring, client, PEOPLE)

    held.may_go_on.set()
    assert await late

    assert await require_taken_in(wiring, client, PEOPLE) == file


async def test_one_that_is_late_does_not_win_with_a_copy_that_the_next_has_cleared_away(place):
    wiring = place.process()
    client = await shop(place, wiring)
    place.drop(drop_key(client), PEOPLE)
    await noted(wiring.file_arrivals_service())
    stores = [HeldStore(wiring.object_store) for _ in range(2)]
    working = []
    for name, held in zip(("late", "next"), stores, strict=True):
        await lapse(place, client)
        working.append(asyncio.create_task(receiving(wiring, held, name).step()))
        await held.reached.wait()

    for task, held in zip(working, stores, strict=True):
        held.may_go_on.set()
        assert await task

    await require_taken_in(wiring, client, PEOPLE)


async def test_what_is_too_large_is_not_even_read(place):
    wiring = place.process()
    client = await shop(place, wiring)
    place.drop(drop_key(client), PEOPLE)
    await noted(wiring.file_arrivals_service())
    store: Any = UnreadStore(wiring.object_store)
    service = FileReceivingService(
        files=wiring.request_files(), turns=wiring.file_turns(),
        store=store, clock=wiring.clock, random_bytes=os.urandom,
        worker="small", bytes_max=len(PEOPLE) - 1,
    )  # fmt: skip

    await received(service)

    file = await only_file_of(wiring, client)
    assert (file.state, file.reason) == (FileState.FAILED, "too_large")


async def test_one_whose_file_is_cancelled_meanwhile_lets_the_same_bytes_come_again(place):
    wiring = place.process()
    client = await shop(place, wiring)
    place.drop(drop_key(client), PEOPLE)
    await noted(wiring.file_arrivals_service())
    held = HeldStore(wiring.object_store)
    late = asyncio.create_task(receiving(wiring, held, "late").step())
    await held.reached.wait()
    file = await only_file_of(wiring, client)
    await wiring.file_service().cancel(client.id, file.id)
    held.may_go_on.set()
    assert await late
    assert (await only_file_of(wiring, client)).state is FileState.CANCELLED
    assert await keys_of(wiring.object_store, "") == []

    place.drop(drop_key(client, "again.csv"), PEOPLE)
    await noted(wiring.file_arrivals_service())
    await received(wiring.file_receiving_service())

    states = [f.state for f in await wiring.file_service().page(
        client.id, state=None, before=None, limit=9)]  # fmt: skip
    assert states == [FileState.WAITING, FileState.CANCELLED]


async def test_a_lease_is_renewed_while_a_file_is_taken_in(place):
    wiring = place.process()
    client = await shop(place, wiring)
    place.drop(drop_key(client), PEOPLE)
    await noted(wiring.file_arrivals_service())
    held = HeldStore(wiring.object_store)
    service = FileReceivingService(
        files=wiring.request_files(), turns=wiring.file_turns(),
        store=held, clock=wiring.clock, random_bytes=os.urandom,
        worker="slow", lease_s=0.3,
    )  # fmt: skip
    working = asyncio.create_task(service.step())
    await held.reached.wait()
    files = place.rig.admin["files"]
    first = await files.find_one({"client_id": client.id})

    async def is_renewed():
        now = await files.find_one({"client_id": client.id})
        return now["lease_until"] > first["lease_until"]

    assert await eventually(is_renewed, within_s=10)
    assert service.is_busy
    held.may_go_on.set()
    assert await working
    await require_taken_in(wiring, client, PEOPLE)
