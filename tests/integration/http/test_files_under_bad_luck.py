"""Files over HTTP when the disk is full or an object goes away: that is said, and nothing left."""

import csv
import io
import resource
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from cdp.domain.ids import id_from_text
from cdp.services.file_books import FileBooks
from cdp.storage.batches import Batches
from cdp.storage.delivery_results import DeliveryResults
from cdp.storage.file_turns import FileTurns
from cdp.storage.request_files import RequestFiles
from tests.integration.deciding import decides, decision
from tests.integration.http.conftest import Tenant
from tests.integration.http.file_services import file_ingestion_of
from tests.integration.http.services import Api

MIB = 1024 * 1024
OPTIONS = "?channel=email&template=hello"


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The kernel itself refuses to let any file of this process grow beyond: EFBIG.

    To the store that is as a disk that fills up: the write that crosses the limit is cut short,
    and the next one fails.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def large(mebibytes: int) -> AsyncIterator[bytes]:
    yield b"email,city\r\n"
    for _ in range(mebibytes):
        yield b"x" * MIB


async def upload(tenant: Tenant, content: Any, *, query: str = OPTIONS):
    return await tenant.call(
        "POST", f"/files{query}", content, headers={"Content-Type": "text/csv"}
    )


def people(count: int) -> bytes:
    mark = uuid.uuid4().hex
    lines = [f"{mark}-{n}@example.org,Lyon" for n in range(count)]
    return "\r\n".join(["email,city", *lines]).encode()


@pytest.mark.parametrize("write", ["cut short", "refused"])
async def test_a_disk_that_is_full_in_the_middle_is_said_and_leaves_nothing(
    tenant: Tenant, api: Api, write: str
):
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        alone = Tenant(base=tenant.base, session=session, client=tenant.client, key=tenant.key)
        with no_file_beyond(3 * MIB + (MIB // 2 if write == "cut short" else 0)):
            refused = await upload(alone, large(8))
        # The same connection serves what comes next.
        again = await upload(alone, people(10))

    assert refused.status == 503
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["Retry-After"] == "10"
    assert refused.json["type"] == "urn:cdp:problem:storage-unavailable"
    assert "Nothing was changed" in refused.json["detail"]
    assert again.status == 202, again.body
    [file] = (await tenant.get("/files")).json["items"]
    assert file["id"] == again.json["id"]
    [stored] = await api.store.page(f"files/{tenant.client.id.hex()}/", after=None, limit=9)
    assert stored.size == again.json["size"]
    assert await api.store.remove_leftovers(older_than=timedelta(hours=-1)) == 0


async def test_a_file_whose_bytes_go_away_while_it_waits_has_failed_and_says_why(
    tenant: Tenant, api: Api
):
    file = (await upload(tenant, people(10))).json
    await api.store.delete(f"files/{tenant.client.id.hex()}/{file['id'].replace('-', '')}/source")

    after = await ended(api, tenant, file["id"])

    assert (after["state"], after["reason"]) == ("failed", "object_missing")
    assert after["detail"] == "The stored file has gone."
    results = await tenant.get(f"/files/{file['id']}/results")
    assert (results.status, len(results.body.splitlines())) == (200, 1)


async def test_a_file_whose_bytes_go_away_while_it_is_read_keeps_what_was_accepted(
    tenant: Tenant, api: Api
):
    await tenant.call("PUT", "/templates/hello", {"email": {"subject": "Hi", "text": "Hi"}})
    file = (await upload(tenant, people(2_500))).json
    key = f"files/{tenant.client.id.hex()}/{file['id'].replace('-', '')}/source"
    service = file_ingestion_of(api.services, api.database, api.store)
    true_decide = decision(service)

    async def decide(of, rows, *, again):
        if of.checkpoint.counts.rows:
            # Half of this stretch is taken in, then its reader dies, and its bytes are gone.
            await true_decide(of, rows[: len(rows) // 2], again=again)
            await api.store.delete(key)
            raise RuntimeError
        return await true_decide(of, rows, again=again)

    decides(service, decide)
    while (await tenant.get(f"/files/{file['id']}")).json["rows"]["read"] == 0:
        await service.step()
    await rested(api, file["id"])

    after = await ended(api, tenant, file["id"])

    assert (after["state"], after["reason"]) == ("failed", "object_missing")
    assert after["rows"] == {"read": 2_000, "accepted": 2_000, "rejected": 0}
    batch = (await tenant.get(f"/batches/{file['batch_id']}")).json
    assert batch["requests"] == {"accepted": 2_250, "rejected": 0}
    results = (await tenant.get(f"/files/{file['id']}/results")).body.decode()
    states = [row["state"] for row in csv.DictReader(io.StringIO(results, newline=""))]
    assert states == ["accepted"] * 2_250


async def rested(api: Api, file_id: str) -> None:
    """Nobody has to wait with it."""
    query = {"_id": id_from_text(file_id)}
    await api.database["files"].update_one(query, [{"$set": {"lease_until": "$created_at"}}])


async def ended(api: Api, tenant: Tenant, file_id: str) -> dict[str, Any]:
    """The file when it has ended, and its books are closed."""
    service = file_ingestion_of(api.services, api.database, api.store)
    books = FileBooks(
        files=RequestFiles(api.database),
        turns=FileTurns(api.database),
        batches=Batches(api.database),
        results=DeliveryResults(api.database),
        worker="test",
    )
    for _ in range(50):
        await service.step()
        file = (await tenant.get(f"/files/{file_id}")).json
        if file["state"] in ("done", "failed"):
            await books.step()
            return dict(file)
    raise AssertionError(file)


async def test_rejects_that_are_gone_are_missed_in_the_last_line(tenant: Tenant, api: Api):
    await tenant.call("PUT", "/templates/hello", {"email": {"subject": "Hi", "text": "Hi"}})
    file = (await upload(tenant, people(5) + b"\r\nnobody,Lyon\r\n")).json
    await ended(api, tenant, file["id"])
    folder = f"files/{tenant.client.id.hex()}/{file['id'].replace('-', '')}"
    await api.store.delete(f"{folder}/rejects/00000000")

    rejects = await tenant.get(f"/files/{file['id']}/rejects")

    assert rejects.status == 200
    assert b",,rows_missing,This list is not whole:" in rejects.body.splitlines()[-1]


async def test_files_are_listed_by_how_they_came(tenant: Tenant, api: Api):
    ids = [(await upload(tenant, people(2))).json["id"] for _ in range(4)]
    by_sftp = {"_id": {"$in": [id_from_text(each) for each in ids[:3]]}}
    await api.database["files"].update_many(by_sftp, {"$set": {"source": "sftp"}})
    await tenant.post(f"/files/{ids[1]}/cancel")

    first = (await tenant.get("/files?source=sftp&limit=2")).json
    second = (await tenant.get(f"/files?source=sftp&limit=2&cursor={first['next_cursor']}")).json
    both = (await tenant.get("/files?source=sftp&state=cancelled")).json
    other = await tenant.get(f"/files?source=api&cursor={first['next_cursor']}")

    assert [f["id"] for f in first["items"] + second["items"]] == ids[2::-1]
    assert [f["id"] for f in both["items"]] == [ids[1]]
    assert [f["id"] for f in (await tenant.get("/files?source=api")).json["items"]] == ids[3:]
    # A cursor is of the list that it was given out for.
    assert other.status == 400
    assert (await tenant.get("/files?source=fax")).status == 422
