"""Large files over HTTP: a signed URL, a PUT past the platform, and what becomes of it."""

import hashlib
import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiohttp
import pytest

from cdp.domain.file_arrival import ARRIVALS
from cdp.object_stores.polling import PollingArrivals
from cdp.services.file_arrivals_service import FileArrivalsService
from cdp.services.file_receiving_service import FileReceivingService
from cdp.storage.clients import Clients
from cdp.storage.file_turns import FileTurns
from cdp.storage.request_files import RequestFiles
from cdp.telemetry import Telemetry
from tests.conformance.object_store_rigs import REGION, raw_client, s3_store
from tests.integration.http.conftest import Got, Tenant, make_tenant, served
from tests.integration.http.file_services import file_ingestion_of
from tests.integration.http.services import Api, build_api

OPTIONS = {"name": "people.csv", "channel": "email", "template": "hello"}
ABSENT = "01900000-0000-7000-8000-000000000000"


@dataclass(kw_only=True)
class Shop:
    """A client of a platform whose files lie in a bucket."""

    api: Api
    tenant: Tenant
    other: Tenant

    async def put(self, url: str, content: bytes) -> None:
        """What a client's own HTTP client does, without any key."""
        async with self.tenant.session.put(url, data=content) as answer:
            assert answer.status == 200, await answer.text()

    async def notice(self) -> None:
        """What the Supervisor does again and again."""
        store, clock = self.api.store, self.api.services.clock
        service = FileArrivalsService(
            arrivals=PollingArrivals(store, prefix=ARRIVALS, clock=clock),
            store=store, files=RequestFiles(self.api.database),
            clients=Clients(self.api.database), clock=clock, random_bytes=os.urandom,
            telemetry=Telemetry(), settle=timedelta(0),
        )  # fmt: skip
        await service.step(wait_s=0)

    async def receive(self) -> None:
        """What FileIngestion does beside its work on rows."""
        service = FileReceivingService(
            files=RequestFiles(self.api.database), turns=FileTurns(self.api.database),
            store=self.api.store, clock=self.api.services.clock, random_bytes=os.urandom,
            worker="receiving",
        )  # fmt: skip
        while await service.step():
            pass

    async def state(self, file_id: str) -> str:
        return str((await self.tenant.get(f"/files/{file_id}")).json["state"])


@pytest.fixture
async def shop(migrated, session, moto_url) -> AsyncIterator[Shop]:
    bucket = f"bucket-{uuid.uuid4()}"
    raw_client("s3", moto_url).create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    api = build_api(migrated.mongo_uri("platform"), store=s3_store(moto_url, bucket))
    async with served(api) as base:
        tenant, other = [await make_tenant(api, base, session) for _ in range(2)]
        yield Shop(api=api, tenant=tenant, other=other)
    await api.store.close()
    await api.close()


def people() -> bytes:
    return f"email\r\n{uuid.uuid4()}@example.org\r\n".encode()


def refused(answer: Got, status: int) -> str:
    """The sentence of a refusal."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    return str(answer.json["detail"])


async def test_a_file_is_put_to_its_url_noticed_and_worked_on(shop: Shop):
    await shop.tenant.call("PUT", "/templates/hello", {"email": {"subject": "Hi", "text": "Hi"}})
    content = people()
    begun = await shop.tenant.post("/file-uploads", OPTIONS)
    assert begun.status == 201, begun.body
    upload = begun.json
    assert upload["method"] == "PUT"
    valid_for = datetime.fromisoformat(upload["expires_at"]) - shop.api.services.clock.now()
    assert timedelta(minutes=50) < valid_for <= timedelta(hours=1)
    file = (await shop.tenant.get(f"/files/{upload['id']}")).json
    assert (file["state"], file["size"], file["source"]) == ("awaited", 0, "api")
    assert file["options"] == {"channel": "email", "template": "hello"}

    await shop.put(upload["url"], content)
    await shop.notice()
    assert await shop.state(upload["id"]) == "receiving"
    await shop.receive()

    file = (await shop.tenant.get(f"/files/{upload['id']}")).json
    assert (file["state"], file["size"]) == ("waiting", len(content))
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    ingestion = file_ingestion_of(shop.api.services, shop.api.database, shop.api.store)
    while await shop.state(upload["id"]) != "done":
        assert await ingestion.step()
    file = (await shop.tenant.get(f"/files/{upload['id']}")).json
    assert file["rows"] == {"read": 1, "accepted": 1, "rejected": 0}


async def test_who_says_that_it_is_there_need_not_wait_until_it_is_noticed(shop: Shop):
    upload = (await shop.tenant.post("/file-uploads", OPTIONS | {"hold": True})).json
    start = f"/files/{upload['id']}/start"
    assert "has not come" in refused(await shop.tenant.post(start), 409)
    assert await shop.state(upload["id"]) == "awaited"
    await shop.put(upload["url"], people())

    for _ in range(2):
        started = await shop.tenant.post(start)
        assert (started.status, started.json["state"]) == (200, "receiving")
    await shop.receive()

    assert await shop.state(upload["id"]) == "held"
    assert (await shop.tenant.post(start)).json["state"] == "waiting"


async def test_a_file_is_fetched_again_where_it_lies(shop: Shop):
    content = people()
    upload = (await shop.tenant.post("/file-uploads", OPTIONS)).json
    source = f"/files/{upload['id']}/source"
    refused(await shop.tenant.get(source), 404)
    await shop.put(upload["url"], content)
    await shop.tenant.post(f"/files/{upload['id']}/start")
    await shop.receive()

    headers = {"Authorization": f"Bearer {shop.tenant.key}"}
    async with aiohttp.ClientSession() as session:
        url = f"{shop.tenant.base}{source}"
        async with session.get(url, headers=headers, allow_redirects=False) as answer:
            assert answer.status == 303
            where = answer.headers["Location"]
        async with session.get(where) as answer:
            assert (answer.status, await answer.read()) == (200, content)


async def test_another_client_neither_sees_nor_starts_nor_fetches_it(shop: Shop):
    upload = (await shop.tenant.post("/file-uploads", OPTIONS)).json
    await shop.put(upload["url"], people())
    path = f"/files/{upload['id']}"

    for method, of in (("GET", ""), ("POST", "/start"), ("POST", "/cancel"), ("GET", "/source")):
        refused(await shop.other.call(method, path + of), 404)

    assert (await shop.other.get("/files")).json["items"] == []
    assert await shop.state(upload["id"]) == "awaited"
    assert [f["id"] for f in (await shop.tenant.get("/files?state=awaited")).json["items"]] == [
        upload["id"]
    ]


async def test_what_is_awaited_can_be_cancelled_and_what_comes_then_is_no_file(shop: Shop):
    upload = (await shop.tenant.post("/file-uploads", OPTIONS)).json
    cancelled = await shop.tenant.post(f"/files/{upload['id']}/cancel")
    assert cancelled.json["state"] == "cancelled"

    await shop.put(upload["url"], people())
    await shop.notice()

    assert await shop.state(upload["id"]) == "cancelled"
    assert await shop.api.store.page(ARRIVALS, after=None, limit=1) == []
    refused(await shop.tenant.post(f"/files/{upload['id']}/start"), 409)


async def test_a_bucket_that_is_not_there_is_a_503_that_says_when_to_come_again(
    migrated, session, moto_url
):
    store = s3_store("http://127.0.0.1:9", "none", tries=1, timeout_s=1.0)
    api = build_api(migrated.mongo_uri("platform"), store=store)
    async with served(api) as base:
        tenant = await make_tenant(api, base, session)
        upload = await tenant.post("/file-uploads", OPTIONS)
        # To sign a URL nobody is asked.
        assert upload.status == 201
        for call in (tenant.post(f"/files/{upload.json['id']}/start"),
                     tenant.get(f"/files/{upload.json['id']}/source")):  # fmt: skip
            answer = await call
            refused(answer, 503)
            assert answer.headers["Retry-After"] == "10"
    await store.close()
    await api.close()


async def test_a_folder_has_no_urls_and_the_refusal_says_what_to_do(tenant: Tenant):
    detail = refused(await tenant.post("/file-uploads", OPTIONS), 409)

    assert "POST /files" in detail
    assert (await tenant.get("/files")).json["items"] == []


async def test_a_file_in_a_folder_is_fetched_from_the_platform(tenant: Tenant):
    content = people()
    query = "?channel=email&template=hello&name=a%20b.csv"
    headers = {"Content-Type": "text/csv"}
    sent = await tenant.call("POST", f"/files{query}", content, headers=headers)

    got = await tenant.get(f"/files/{sent.json['id']}/source")

    assert (got.status, got.body) == (200, content)
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert got.headers["Content-Disposition"] == 'attachment; filename="a b.csv"'


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": "x" * 201}, "/name"),
        (OPTIONS | {"channel": "fax"}, "/channel"),
        (OPTIONS | {"colour": "red"}, "/colour"),
        (OPTIONS | {"hold": "maybe"}, "/hold"),
        (OPTIONS | {"delimiter": "x"}, "/delimiter"),
    ],
)
async def test_what_is_wrong_with_an_upload_is_said_before_it_is_awaited(shop: Shop, body, pointer):
    answer = await shop.tenant.post("/file-uploads", body)

    refused(answer, 422)
    assert pointer in answer.pointers
    assert (await shop.tenant.get("/files")).json["items"] == []


async def test_parameters_of_other_routes_are_refused(tenant: Tenant):
    refused(await tenant.post("/file-uploads?hold=true", OPTIONS), 422)
    refused(await tenant.get(f"/files/{ABSENT}/source?as=text"), 422)
    refused(await tenant.get(f"/files/{ABSENT}/source"), 404)
