"""A row of a file becomes one communication, whatever dies; what can't be one is reported (F4)."""

import asyncio
import gzip
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from cdp.domain.ids import BatchId
from cdp.domain.request_file import Checkpoint, FileState
from cdp.errors import Conflict, Invalid
from cdp.ports.row_intake import Taken
from cdp.services.file_pass import FilePass
from cdp.services.file_row_source import STRETCH_BYTES, FileRows
from cdp.storage.batches import Batches
from cdp.storage.file_turns import WaitingFile
from tests.integration.deciding import decides, decision
from tests.integration.rules.file_rig import (
    ROWS,
    Died,
    as_it_is,
    ingestion,
    people,
    sent,
    shop,
    stored_of,
    table,
    worked,
)


async def test_each_right_row_is_accepted_and_each_wrong_one_is_reported(rig):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    file = await sent(wiring, client, people(ROWS, broken=100))

    done = await worked(wiring, file)

    counts = done.checkpoint.counts
    assert (done.state, counts.rows, counts.accepted, counts.rejected) == (
        FileState.DONE, ROWS, ROWS - 45, 45,
    )  # fmt: skip
    assert await stored_of(wiring, file) == ROWS - 45
    rejects = await table(wiring.file_outputs().rejects(done))
    assert [int(row["row"]) for row in rejects] == [100 * n for n in range(1, 46)]
    assert {(row["column"], row["code"]) for row in rejects} == {("email", "address_invalid")}
    assert rejects[0]["text"] == "nobody,Person 100,Lyon"
    results = await table(wiring.file_outputs().results(done))
    assert [int(row["row"]) for row in results] == list(range(1, ROWS + 1))
    assert results[0]["recipient"] == "p1@example.org"
    assert (results[99]["state"], results[98]["state"]) == ("rejected", "accepted")
    verification = await rig.verify()
    assert verification.violations == ()


@pytest.mark.parametrize("ahead", [1, 2])
@pytest.mark.parametrize("dies_after", range(0, 10, 3))
async def test_f4_whoever_goes_on_after_a_death_doubles_nothing(rig, dies_after, ahead):
    """The intake dies in the middle of a stretch, at another write each time."""
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    file = await sent(wiring, client, people(ROWS, broken=50))
    service: Any = ingestion(wiring)
    true_decide, calls = decision(service), 0

    async def decide(of, rows, *, again) -> Taken:
        nonlocal calls
        half = rows[: len(rows) // 2]
        calls += 1
        if calls % 4 == dies_after % 4:
            await true_decide(of, half, again=again)
            raise Died
        taken: Taken = await true_decide(of, rows, again=again)
        return taken

    decides(service, decide, ahead=ahead)
    for _ in range(12):
        try:
            await service.step()
        except Died:
            continue
    done = await worked(wiring, file)

    counts = done.checkpoint.counts
    assert (done.state, counts.rows, counts.rejected) == (FileState.DONE, ROWS, 90)
    assert await stored_of(wiring, file) == counts.accepted == ROWS - 90
    rejects = await table(wiring.file_outputs().rejects(done))
    assert [int(row["row"]) for row in rejects] == [50 * n for n in range(1, 91)]


async def test_a_stretch_is_decided_on_beside_the_one_before_and_settled_behind_it(rig):
    wiring = rig.process("api")
    file = await sent(wiring, await shop(rig, wiring), people(ROWS, broken=100))
    service = ingestion(wiring)
    true_decide, second = decision(service), asyncio.Event()
    stored = []

    async def decide(of, rows, *, again) -> Taken:
        if rows[0].number == 1:
            # It ends only when the second has, of which nothing is settled by then.
            await second.wait()
            stored.append(await as_it_is(wiring, file))
        taken = await true_decide(of, rows, again=again)
        second.set()
        return taken

    decides(service, decide, ahead=2)
    done = await worked(wiring, file, service)

    assert [each.checkpoint.counts.rows for each in stored] == [0]
    assert (done.state, done.checkpoint.counts.rows) == (FileState.DONE, ROWS)
    rejects = await table(wiring.file_outputs().rejects(done))
    assert [int(row["row"]) for row in rejects] == [100 * n for n in range(1, 46)]


@pytest.mark.parametrize("size", [100, 100_000], ids=["short lines", "long lines"])
async def test_a_stretch_is_bounded_in_bytes_as_well_as_in_rows(rig, size):
    wiring = rig.process("api")
    line = b'{"channel": "email", "to": [{"email": "a@example.org"}], "data": {"x": "%s"}}\n'
    content = line % (b"x" * size) * 200
    file = await sent(wiring, await shop(rig, wiring), content, name="people.ndjson")
    rows = FileRows(store=wiring.object_store)

    stretches = [stretch async for stretch in rows.stretches(file, Checkpoint())]

    ends = [0, *(stretch.position["offset"] for stretch in stretches)]
    assert ends[-1] == len(content)
    assert sum(len(stretch.rows) for stretch in stretches) == 200
    most = max(end - begin for begin, end in pairwise(ends))
    assert most <= STRETCH_BYTES + 2 * len(line % (b"x" * size)) + 256 * 1024
    assert (len(stretches) > 1) is (size == 100_000)


@pytest.mark.parametrize("dies_at", ["before its books", "between", "after"])
async def test_f4_a_file_that_is_done_has_its_books_closed_whatever_dies(rig, dies_at):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    file = await sent(wiring, client, people(30))
    service: Any = ingestion(wiring)
    true_finish, files = service._finish_batch, service._tools.files
    true_replace = files.replace

    async def finish(of) -> None:
        if dies_at == "before its books":
            raise Died
        await true_finish(of)

    async def replace(changed, *, holder=None):
        if changed.state is FileState.DONE and dies_at == "between":
            raise Died
        is_ours = await true_replace(changed, holder=holder)
        if changed.state is FileState.DONE:
            raise Died
        return is_ours

    service._finish_batch, files.replace = finish, replace
    with pytest.raises(Died):
        await service.step()
    files.replace = true_replace
    done = await worked(wiring, file)

    assert done.state is FileState.DONE
    batch = await Batches(wiring.database).of_client(client.id, BatchId(file.id))
    assert batch is not None
    assert (batch.accepted, batch.rejected, batch.results) == (30, 0, 30)
    assert await stored_of(wiring, file) == 30


async def test_two_at_once_never_work_on_one_file(rig):
    wiring, other = rig.process("one"), rig.process("two")
    client = await shop(rig, wiring)
    file = await sent(wiring, client, people(50))
    turns, waiting = wiring.file_turns(), WaitingFile(client.id, file.id)

    assert await turns.claim(waiting, holder="one", ttl_s=30)
    assert not await turns.claim(waiting, holder="two", ttl_s=30)
    assert not await ingestion(other).step()
    await turns.let_go(waiting, holder="one")

    assert (await worked(other, file)).checkpoint.counts.accepted == 50


async def test_a_strict_file_with_one_wrong_row_sends_nothing(rig):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    bad = await sent(wiring, client, people(2_500, broken=2_400), is_strict=True)
    good = await sent(wiring, client, people(2_500), is_strict=True)

    refused, done = await worked(wiring, bad), await worked(wiring, good)

    assert (refused.state, refused.reason) == (FileState.FAILED, "rows_rejected")
    assert await stored_of(wiring, bad) == 0
    [reject] = await table(wiring.file_outputs().rejects(refused))
    assert reject["row"] == "2400"
    assert (done.state, await stored_of(wiring, good)) == (FileState.DONE, 2_500)


async def test_a_file_that_is_taken_back_sends_no_more(rig):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    file = await sent(wiring, client, people(ROWS))
    service: Any = ingestion(wiring)
    true_decide = decision(service)

    async def decide(of, rows, *, again) -> Taken:
        taken: Taken = await true_decide(of, rows, again=again)
        await wiring.file_service().cancel(client.id, file.id)
        return taken

    decides(service, decide)
    done = await worked(wiring, file, service)

    assert done.state is FileState.CANCELLED
    assert await stored_of(wiring, file) <= 2_000
    assert (await rig.verify()).violations == ()


async def test_what_is_held_waits_until_it_is_started(rig):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    file = await sent(wiring, client, people(10), is_held=True)

    assert not await ingestion(wiring).step()
    await wiring.file_service().start(client.id, file.id)

    assert (await worked(wiring, file)).checkpoint.counts.accepted == 10


async def test_f3_the_same_bytes_are_taken_once_a_day_unless_they_are_meant(rig):
    wiring = rig.process("api")
    client, other = await shop(rig, wiring), await shop(rig, wiring)
    first = await sent(wiring, client, people(10))

    with pytest.raises(Conflict, match="force=true"):
        await sent(wiring, client, people(10), name="other.csv")
    await sent(wiring, other, people(10))
    again = await sent(wiring, client, people(10), insist=True)

    assert again.id != first.id
    assert (await worked(wiring, again)).checkpoint.counts.accepted == 10


async def test_f3_bytes_whose_file_was_lost_before_it_was_there_may_come_again(rig):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    first = await sent(wiring, client, people(10))
    # As if its sender had died between the note of its digest and the file itself, a while ago.
    raw = wiring.database.raw
    await raw["files"].delete_one({"_id": first.id})
    with pytest.raises(Conflict):
        await sent(wiring, client, people(10))
    long_ago = first.created_at - timedelta(minutes=5)
    await raw["file_digests"].update_one({"file_id": first.id}, {"$set": {"at": long_ago}})

    again = await sent(wiring, client, people(10))

    assert (await worked(wiring, again)).checkpoint.counts.accepted == 10


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"\x00\x01\x02", "a.csv", "nul"),
        (b"email,email\na@b.example,c@d.example\n", "a.csv", "column_twice"),
        (b"city\nLyon\n", "a.csv", "address_missing"),
        (b"email\n", "a.csv", "no_rows"),
        (b'email\n"a@b.example\n', "a.csv", "quote_open"),
        (b"email\n" + b"x" * 200_000, "a.csv", "row_too_long"),
        (gzip.compress(b"email\n" + b"x" * 30_000_000), "a.csv.gz", "archive_ratio"),
        (gzip.compress(people(10))[:-5], "a.csv.gz", "archive_invalid"),
        (b"email\n\xff\xfe\xfd@b.example\n", "a.csv", "encoding_invalid"),
    ],
)
async def test_a_file_that_can_not_be_read_says_why(rig, content, name, reason):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    file = await sent(wiring, client, content, name=name)

    done = await worked(wiring, file)

    assert (done.state, done.reason) == (FileState.FAILED, reason)
    assert done.detail


async def test_an_empty_file_is_refused_at_once_and_may_come_again(rig):
    wiring = rig.process("api")
    client = await shop(rig, wiring)

    for _ in range(2):
        with pytest.raises(Invalid):
            await sent(wiring, client, b"")


async def test_ndjson_in_gzip_is_read_as_posts_are(rig):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    lines = [
        b'{"to": [{"email": "a@example.org", "data": {"city": "Lyon"}}]}',
        b'{"to": [{"email": "a@example.org"}, {"email": "b@example.org"}]}',
        b"not json",
        b'{"to": [{"email": "c@example.org"}], "template": "unknown"}',
    ]
    file = await sent(wiring, client, gzip.compress(b"\n".join(lines)), name="people.ndjson.gz")

    done = await worked(wiring, file)

    assert (done.state, done.checkpoint.counts.accepted) == (FileState.DONE, 1)
    rejects = await table(wiring.file_outputs().rejects(done))
    assert [(row["row"], row["code"]) for row in rejects] == [
        ("2", "one_recipient"), ("3", "malformed"), ("4", "unknown"),
    ]  # fmt: skip


async def test_while_the_platform_is_full_a_file_waits_and_then_goes_on(rig, monkeypatch):
    wiring = rig.process("api", backlog_client_max=30)
    client = await shop(rig, wiring)
    file = await sent(wiring, client, people(50))
    backlog = wiring.backlog()
    service = wiring.file_ingestion_service(backlog=backlog, hint=lambda _: None)
    true_wait, waits = FilePass._wait, 0

    async def wait(of, seconds) -> None:
        nonlocal waits
        waits += 1
        # By now some were delivered.
        backlog.update(0, {})
        await true_wait(of, 0.0)

    monkeypatch.setattr(FilePass, "_wait", wait)
    done = await worked(wiring, file, service)

    assert waits >= 1
    assert (done.state, done.checkpoint.counts.accepted) == (FileState.DONE, 50)
    assert await stored_of(wiring, file) == 50


@pytest.mark.parametrize("is_strict", [False, True])
async def test_a_row_that_is_there_twice_by_its_reference_is_taken_in_once(rig, is_strict):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    lines = ["email,city,reference", *(f"p{n}@example.org,Lyon,r{n}" for n in range(2_100))]
    lines += [
        "p7@example.org,Paris,r7",
        # Another recipient, another reference, and none: each is meant.
        "other@example.org,Lyon,r7",
        "p7@example.org,Lyon,again",
        "p7@example.org,Lyon,",
        "p7@example.org,Lyon,",
        # By the address's one form.
        "p7@EXAMPLE.org,Lyon,again",
    ]
    content = "\n".join(lines).encode()
    file = await sent(wiring, client, content, is_strict=is_strict)
    service = ingestion(wiring)
    true_decide, calls = decision(service), 0

    async def decide(of, rows, *, again) -> Taken:
        nonlocal calls
        calls += 1
        if calls in (1, 3):
            # Who goes on finds the references of those who died, and they are its own.
            await true_decide(of, rows[:1_000], again=again)
            raise Died
        return await true_decide(of, rows, again=again)

    decides(service, decide, ahead=2)
    for _ in range(4):
        with suppress(Died):
            await service.step()
    done = await worked(wiring, file, service)

    rejects = await table(wiring.file_outputs().rejects(done))
    assert [(row["row"], row["column"], row["code"]) for row in rejects] == [
        ("2101", "reference", "reference_repeated"),
        ("2106", "reference", "reference_repeated"),
    ]
    assert "Row 8 has" in rejects[0]["reason"]
    assert "Row 2,103 has" in rejects[1]["reason"]
    assert await stored_of(wiring, file) == (0 if is_strict else 2_104)
    assert done.state is (FileState.FAILED if is_strict else FileState.DONE)
    assert (await rig.verify()).violations == ()
