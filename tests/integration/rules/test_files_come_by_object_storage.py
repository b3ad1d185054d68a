"""What others put into object storage becomes files, each object once, whatever dies (rule F3)."""

import asyncio
import os
from datetime import timedelta
from typing import Any

import pytest

from cdp.domain.file_arrival import ARRIVALS
from cdp.domain.ids import text_of
from cdp.domain.request_file import FileSource, FileState
from cdp.errors import BacklogFull, Conflict
from cdp.ports.object_store import ObjectStore, StoredObject
from cdp.services.file_receiving_service import FileReceivingService
from cdp.services.file_upload_service import AWAITED, FileUploadService
from tests.integration.rules.arrivals_rig import (
    PEOPLE,
    awaited,
    bucket,
    drop_key,
    files_of,
    folder,
    keys_of,
    noted,
    only_file_of,
    received,
    require_taken_in,
    shop,
)

S = FileState
A_DAY = timedelta(days=1)
LONG = timedelta(minutes=11)


@pytest.fixture(params=["folder", "bucket", "queue"])
async def place(request, rig, tmp_path, moto_url):
    where = (
        folder(rig, tmp_path)
        if request.param == "folder"
        else bucket(rig, moto_url, is_notified=request.param == "queue")
    )
    async with where as place:
        yield place


@pytest.fixture
async def signing(rig, moto_url):
    """A place whose store signs URLs; what is put to one is dropped under its key."""
    async with bucket(rig, moto_url, is_notified=True) as place:
        yield place


def outcomes(wiring) -> dict[str, int]:
    return {
        labels[0][1]: int(value)
        for name, labels, value in wiring.telemetry.snapshot()
        if name == "cdp_file_arrivals_total"
    }


async def test_a_dropped_file_becomes_its_clients_and_its_rows_are_accepted(place):
    wiring = place.process()
    client = await shop(place, wiring)
    place.drop(drop_key(client, "2026/people.csv"), PEOPLE)

    await noted(wiring.file_arrivals_service())
    assert (await only_file_of(wiring, client)).state is S.RECEIVING
    await received(wiring.file_receiving_service())

    file = await require_taken_in(wiring, client, PEOPLE)
    assert (file.source, file.name) == (FileSource.BUCKET, "people.csv")
    assert await keys_of(wiring.object_store, ARRIVALS) == []
    ingestion = wiring.file_ingestion_service(backlog=wiring.backlog(), hint=lambda _: None)
    assert await ingestion.step()
    done = await only_file_of(wiring, client)
    assert (done.state, done.checkpoint.counts.accepted) == (S.DONE, 1)


class MeetingStore:
    """Object storage that answers nobody who looks before all have asked."""

    def __init__(self, store: ObjectStore, meeting: asyncio.Barrier) -> None:
        self._store, self._meeting = store, meeting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def look(self, key: str) -> StoredObject | None:
        stored = await self._store.look(key)
        await self._meeting.wait()
        return stored


async def test_however_many_note_it_at_once_it_is_one_file(place):
    wirings = [place.process() for _ in range(3)]
    client = await shop(place, wirings[0])
    place.drop(drop_key(client), PEOPLE)
    place.clock.move(LONG)
    meeting = asyncio.Barrier(len(wirings))
    services = []
    for wiring in wirings:
        # The same process, but for when it is answered.
        vars(wiring)["object_store"] = MeetingStore(wiring.object_store, meeting)
        services.append(wiring.file_arrivals_service())

    await asyncio.gather(*(service.sweep() for service in services))

    assert (await only_file_of(wirings[0], client)).state is S.RECEIVING
    counted = [name for wiring in wirings for name in outcomes(wiring)]
    assert sorted(counted) == ["known", "known", "noted"]


async def test_however_often_it_is_told_of_it_is_one_file(place):
    wiring = place.process()
    client = await shop(place, wiring)
    place.drop(drop_key(client), PEOPLE)
    arrivals, others = wiring.file_arrivals_service(), place.process().file_arrivals_service()
    await noted(arrivals)
    place.clock.move(LONG)
    await others.sweep()
    await received(wiring.file_receiving_service())
    await others.sweep()

    await require_taken_in(wiring, client, PEOPLE)


async def test_what_replaces_a_file_that_was_taken_in_is_another(place):
    wiring = place.process()
    client = await shop(place, wiring)
    arrivals, receiving = wiring.file_arrivals_service(), wiring.file_receiving_service()
    for content in (PEOPLE, PEOPLE + b"bob@example.org,email,hello\r\n"):
        place.drop(drop_key(client), content)
        await noted(arrivals)
        await received(receiving)

    assert [file.state for file in await files_of(wiring, client)] == [S.WAITING, S.WAITING]
    assert await keys_of(wiring.object_store, ARRIVALS) == []


async def test_what_is_replaced_before_it_is_taken_in_has_failed_and_the_other_goes_on(place):
    wiring = place.process()
    client = await shop(place, wiring)
    arrivals = wiring.file_arrivals_service()
    place.drop(drop_key(client), b"half of it")
    await noted(arrivals)
    place.drop(drop_key(client), PEOPLE)
    await noted(arrivals)

    await received(wiring.file_receiving_service())

    first, second = await files_of(wiring, client)
    assert (first.state, first.reason, second.state) == (S.FAILED, "gone", S.WAITING)
    assert second.size == len(PEOPLE)


async def test_in_a_folder_a_file_counts_once_nobody_has_written_to_it_for_a_while(rig, tmp_path):
    async with folder(rig, tmp_path) as place:
        wiring = place.process()
        client = await shop(place, wiring)
        key = drop_key(client)
        place.drop(key, b"half of")
        [path] = tmp_path.rglob("people.csv")
        os.utime(path)
        arrivals = wiring.file_arrivals_service()
        await noted(arrivals)
        assert (await files_of(wiring, client), outcomes(wiring)) == ([], {"unsettled": 1})
        path.write_bytes(PEOPLE)
        await noted(arrivals)
        assert (await files_of(wiring, client), outcomes(wiring)) == ([], {"unsettled": 2})

        place.clock.move(timedelta(seconds=11))
        await noted(arrivals)

        await received(wiring.file_receiving_service())
        await require_taken_in(wiring, client, PEOPLE)


async def test_in_a_folder_a_file_from_the_future_is_taken_for_whole(rig, tmp_path):
    async with folder(rig, tmp_path) as place:
        wiring = place.process()
        client = await shop(place, wiring)
        place.drop(drop_key(client), PEOPLE)
        [path] = tmp_path.rglob("people.csv")
        later_s = (place.clock.now() + A_DAY).timestamp()
        os.utime(path, (later_s, later_s))

        await noted(wiring.file_arrivals_service())

        assert outcomes(wiring) == {"noted": 1}


async def test_an_object_that_is_nobodys_is_left_for_a_week_and_then_deleted(place):
    wiring = place.process()
    strays = [f"{ARRIVALS}people.csv", f"{ARRIVALS}{text_of(bytes(16))}/people.csv"]
    for key in strays:
        place.drop(key, PEOPLE)
    arrivals = wiring.file_arrivals_service()
    await noted(arrivals, count=2)
    place.clock.move(6 * A_DAY)
    await arrivals.sweep()
    assert sorted(await keys_of(wiring.object_store, ARRIVALS)) == sorted(strays)
    assert outcomes(wiring) == {"stray": 4}

    place.clock.move(A_DAY)
    await arrivals.sweep()

    assert await keys_of(wiring.object_store, ARRIVALS) == []


@pytest.mark.parametrize("is_held", [False, True])
async def test_what_is_put_to_a_signed_url_becomes_the_file_that_was_awaited(signing, is_held):
    wiring = signing.process()
    client = await shop(signing, wiring)
    file, key = await awaited(wiring, client, is_held=is_held)
    signing.drop(key, PEOPLE)

    await noted(wiring.file_arrivals_service())
    await received(wiring.file_receiving_service())

    state = S.HELD if is_held else S.WAITING
    taken = await require_taken_in(wiring, client, PEOPLE, state=state)
    assert (taken.id, taken.options) == (file.id, file.options)
    assert await keys_of(wiring.object_store, ARRIVALS) == []


async def test_what_is_put_to_the_url_later_changes_nothing_and_is_deleted(signing):
    wiring = signing.process()
    client = await shop(signing, wiring)
    _, key = await awaited(wiring, client)
    arrivals = wiring.file_arrivals_service()
    signing.drop(key, PEOPLE)
    await noted(arrivals)
    await received(wiring.file_receiving_service())

    signing.drop(key, b"other bytes")
    await noted(arrivals)

    await require_taken_in(wiring, client, PEOPLE)
    assert await keys_of(wiring.object_store, ARRIVALS) == []
    assert outcomes(wiring) == {"noted": 1, "late": 1}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (PEOPLE + b"x" * 100, "too_large"), (PEOPLE, "same_bytes")],
)
async def test_what_may_not_be_ends_as_failed_and_leaves_no_object(signing, content, reason):
    wiring = signing.process()
    client = await shop(signing, wiring)
    for name in ("first", "second"):
        _, key = await awaited(wiring, client)
        signing.drop(key, PEOPLE if name == "first" else content)
    await noted(wiring.file_arrivals_service(), count=2)

    await received(small(wiring))

    first, second = await files_of(wiring, client)
    assert (first.state, second.state, second.reason) == (S.WAITING, S.FAILED, reason)
    assert second.detail
    assert await keys_of(wiring.object_store, ARRIVALS) == []
    assert await keys_of(wiring.object_store, "files/") == [first.key]


def small(wiring) -> FileReceivingService:
    """One that takes in no more than a hundred bytes."""
    return FileReceivingService(
        files=wiring.request_files(), turns=wiring.file_turns(),
        store=wiring.object_store, clock=wiring.clock,
        random_bytes=os.urandom, worker="small", bytes_max=100,
    )  # fmt: skip


async def test_the_same_bytes_are_taken_in_where_their_sender_insists(signing):
    wiring = signing.process()
    client = await shop(signing, wiring)
    for _ in range(2):
        _, key = await awaited(wiring, client, insist=True)
        signing.drop(key, PEOPLE)
    await noted(wiring.file_arrivals_service(), count=2)

    await received(wiring.file_receiving_service())

    assert [file.state for file in await files_of(wiring, client)] == [S.WAITING, S.WAITING]


async def test_what_never_came_has_failed_and_what_nobody_told_of_is_found(signing):
    wiring = signing.process()
    client = await shop(signing, wiring)
    await awaited(wiring, client)
    _, key = await awaited(wiring, client)
    arrivals = wiring.file_arrivals_service()
    await arrivals.end_overdue()
    assert {file.state for file in await files_of(wiring, client)} == {S.AWAITED}

    signing.drop(key, PEOPLE)
    signing.clock.move(AWAITED + LONG)
    await arrivals.end_overdue()

    first, second = await files_of(wiring, client)
    assert (first.state, first.reason, second.state) == (S.FAILED, "never_came", S.RECEIVING)


async def test_a_client_has_so_many_files_awaited_and_no_more(signing):
    wiring = signing.process()
    client, other = await shop(signing, wiring), await shop(signing, wiring)
    service = FileUploadService(
        files=wiring.request_files(), store=wiring.object_store, clock=wiring.clock,
        random_bytes=os.urandom, awaited_max=1,
    )  # fmt: skip
    wiring.file_upload_service = lambda: service
    first, _ = await awaited(wiring, client)

    with pytest.raises(BacklogFull):
        await awaited(wiring, client)

    await awaited(wiring, other)
    await wiring.file_service().cancel(client.id, first.id)
    await awaited(wiring, client)


async def test_a_file_that_is_cancelled_before_it_is_taken_in_leaves_nothing(signing):
    wiring = signing.process()
    client = await shop(signing, wiring)
    file, key = await awaited(wiring, client)
    signing.drop(key, PEOPLE)
    await noted(wiring.file_arrivals_service())
    await wiring.file_service().cancel(client.id, file.id)

    await received(wiring.file_receiving_service())
    signing.clock.move(LONG)
    await wiring.file_arrivals_service().sweep()

    assert (await only_file_of(wiring, client)).state is S.CANCELLED
    assert await keys_of(wiring.object_store, "") == []
    with pytest.raises(Conflict):
        await wiring.file_service().start(client.id, file.id)


async def test_the_queries_walk_their_indexes(signing):
    wiring = signing.process()
    client = await shop(signing, wiring)
    await awaited(wiring, client)
    files = signing.rig.admin["files"]
    queries = {
        "object": {"client_id": client.id, "incoming.key": "a", "incoming.version": "b"},
        "overdue": {"state": "awaited", "incoming.until": {"$lt": wiring.clock.now()}},
        "receiving": {"state": "receiving", "$expr": {"$lt": ["$lease_until", "$$NOW"]}},
    }
    for name, query in queries.items():
        sort = {"overdue": [("incoming.until", 1)], "receiving": [("lease_until", 1), ("_id", 1)]}
        found = files.find(query).sort(sort[name]) if name in sort else files.find(query)

        plan = str((await found.explain())["queryPlanner"]["winningPlan"])

        assert f"'indexName': '{name}'" in plan, plan
        assert "SORT" not in plan
