"""Queries about files walk their index and no more, by MongoDB's own profiler."""

import os
from datetime import timedelta
from typing import Any

from cdp.domain.client import Client
from cdp.domain.ids import ClientId, fresh_id
from cdp.domain.request_file import FileSource
from cdp.storage.file_turns import WaitingFile
from cdp.wiring import Wiring
from tests.integration.rules.file_rig import people, sent, shop
from tests.integration.rules.rig import Rig
from tests.integration.rules.test_fairness_queries_read_what_they_return import profiled
from tests.integration.verification_world import new_id

MANY = 300


async def one(rig: Rig) -> tuple[Wiring, Client, dict[str, Any]]:
    """A file as it is stored, of which others can be made."""
    wiring = rig.process("shard")
    client = await shop(rig, wiring)
    file = await sent(wiring, client, people(1))
    document = await rig.admin["files"].find_one({"_id": file.id})
    assert document is not None
    return wiring, client, document


def like(document: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return document | {"_id": new_id(), **fields}


async def test_whose_turn_it_is_is_read_from_an_index_however_many_files_wait(rig):
    wiring, mine, document = await one(rig)
    # Those of one client are held, or rest: they are passed over without being read.
    later = wiring.clock.now() + timedelta(hours=1)
    others = sorted(ClientId(new_id()) for _ in range(20))
    await rig.admin["files"].insert_many(
        [like(document, lease_until=later, client_id=others[0]) for _ in range(MANY)]
        + [like(document, client_id=each) for each in others[1:] * 20]
        + [like(document, state="done") for _ in range(MANY)]
    )

    async with profiled(rig, "files") as seen:
        found = await wiring.file_turns().next_across_clients(after=mine.id)

    assert found is not None
    assert found.client_id == others[1]
    [entry] = seen
    assert entry["planSummary"].startswith("IXSCAN { client_id: 1, turned_at: 1")
    assert entry["docsExamined"] <= 1
    assert "hasSortStage" not in entry


async def test_files_of_one_source_are_read_and_no_others(rig):
    wiring, client, document = await one(rig)
    ids = sorted(fresh_id(wiring.clock.now(), os.urandom) for _ in range(MANY + 3))
    sources = ["sftp"] * 3 + ["api"] * MANY
    await rig.admin["files"].insert_many(
        [like(document, _id=i, source=s) for i, s in zip(ids, sources, strict=True)]
    )

    async with profiled(rig, "files") as seen:
        page = await wiring.file_service().page(
            client.id, source=FileSource.SFTP, before=ids[-1], limit=100
        )

    assert [file.id for file in page] == ids[2::-1]
    [entry] = seen
    assert (entry["docsExamined"], "hasSortStage" in entry) == (3, False)


async def test_books_that_are_open_are_found_among_many_that_are_closed(rig):
    wiring, client, document = await one(rig)
    ended = {"state": "failed", "started_at": document["created_at"]}
    opened = like(document, **ended, batch_open=True)
    await rig.admin["files"].insert_many([like(document, **ended) for _ in range(MANY)] + [opened])

    async with profiled(rig, "files") as seen:
        found = await wiring.file_turns().open_batches_across_clients(limit=10)

    assert found == [WaitingFile(client.id, opened["_id"])]
    assert [entry["docsExamined"] for entry in seen] == [1]


async def test_which_objects_have_a_file_is_one_question(rig):
    wiring, _, document = await one(rig)
    asked = [document["_id"], *(new_id() for _ in range(MANY))]

    async with profiled(rig, "files") as seen:
        there = await wiring.request_files().existing_across_clients(asked)

    assert there == {document["_id"]}
    [entry] = seen
    # The ids themselves answer: no document is read.
    assert entry["docsExamined"] == 0
