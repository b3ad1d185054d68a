"""What the benchmark of files asks of the API is there."""

import asyncio
from pathlib import Path

import pytest

from benchmarks import workload
from benchmarks.file_work import PARTS, TEMPLATE, batch_bodies, send_file, write_csv
from benchmarks.tools import ServiceFailed
from tests.integration.http.conftest import Tenant
from tests.integration.http.file_services import file_ingestion_of


def headers_of(tenant: Tenant) -> dict[str, str]:
    return {"Authorization": f"Bearer {tenant.key}"}


async def set_up(tenant: Tenant) -> None:
    for path, body in (
        (f"/templates/{TEMPLATE}", {workload.CHANNEL: dict(PARTS)}),
        (f"/campaigns/{workload.CAMPAIGN}", {}),
    ):
        assert (await tenant.call("PUT", path, body)).status == 201


async def test_a_file_is_sent_and_waited_for_as_a_batch_is_and_both_can_be_cancelled(
    tenant: Tenant, api, base: str, tmp_path: Path
):
    await set_up(tenant)
    path = tmp_path / "half-wrong.csv"
    with path.open("wb") as into:
        wrong = write_csv(into, 501, wrong_every=2)
    service = file_ingestion_of(api.services, api.database, api.store)
    sending = asyncio.create_task(send_file(base, headers_of(tenant), path, within_s=60))

    while not sending.done():
        await service.step()
        await asyncio.sleep(0)
    run = await sending

    assert (run.rows, run.accepted, run.rejected) == (501, 251, 250)
    assert wrong == 250
    assert 0 < run.reading_s <= run.seconds
    assert run.upload_s > 0
    assert run.per_s == 501 / run.seconds
    posted = [await tenant.post("/communications/batch", body) for body in batch_bodies(501)]
    assert [(each.status, each.json["accepted"]) for each in posted] == [(207, 500), (207, 1)]
    cancelled = await tenant.post(f"/campaigns/{workload.CAMPAIGN}/cancel")
    assert cancelled.status == 200, cancelled.body


async def test_a_file_that_fails_breaks_the_benchmark_off_and_says_why(
    tenant: Tenant, api, base: str, tmp_path: Path
):
    path = tmp_path / "wrong.csv"
    path.write_bytes(b"name\r\nAda\r\n")
    service = file_ingestion_of(api.services, api.database, api.store)
    sending = asyncio.create_task(send_file(base, headers_of(tenant), path, within_s=60))

    while not sending.done():
        await service.step()
        await asyncio.sleep(0)

    with pytest.raises(ServiceFailed, match="address_missing"):
        await sending


async def test_a_file_that_is_refused_or_never_done_breaks_it_off_too(
    tenant: Tenant, base: str, tmp_path: Path
):
    path = tmp_path / "right.csv"
    with path.open("wb") as into:
        write_csv(into, 3)

    with pytest.raises(ServiceFailed, match="POST /v1/files"):
        await send_file(base, {"Authorization": "Bearer none"}, path, within_s=10)
    with pytest.raises(ServiceFailed, match="is waiting after"):
        await send_file(base, headers_of(tenant), path, within_s=0.5)
