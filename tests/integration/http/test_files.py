"""Files of requests over HTTP: sent as a body or a form, looked at, taken back."""

import csv
import gzip
import hashlib
import io
import uuid

import asyncssh
import pytest

from cdp.services.file_ingestion_service import FileIngestionService
from tests.integration.http.conftest import Tenant
from tests.integration.http.file_services import file_ingestion_of

CSV = b"email,city\r\na@example.org,Lyon\r\nnobody,Lyon\r\n"
FORM = "multipart/form-data; boundary=cut"
PUBLIC_KEY = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()


async def upload(tenant: Tenant, content: bytes = CSV, *, kind: str = "text/csv", query: str = ""):
    return await tenant.call("POST", f"/files{query}", content, headers={"Content-Type": kind})


def form(content: bytes, **fields: str) -> bytes:
    parts = [
        f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="C:\\\\a b.csv"\r\n\r\n'
    return b"".join(parts) + head + content + b"\r\n--cut--\r\n"


def unique() -> bytes:
    return CSV + f"{uuid.uuid4()}@example.org,Lyon\r\n".encode()


def rows_of(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


async def done(api, tenant: Tenant, file_id: str) -> dict[str, object]:
    service: FileIngestionService = file_ingestion_of(api.services, api.database, api.store)
    for _ in range(50):
        await service.step()
        file = (await tenant.get(f"/files/{file_id}")).json
        if file["state"] in ("done", "failed"):
            return dict(file)
    raise AssertionError(file)


async def test_a_file_is_sent_worked_on_and_its_outcome_fetched(tenant: Tenant, api):
    content = unique()
    await tenant.call("PUT", "/templates/hello", {"email": {"subject": "Hi", "text": "Hi"}})
    sent = await upload(tenant, content, query="?channel=email&template=hello&name=people.csv")

    assert sent.status == 202, sent.body
    file = sent.json
    assert (file["state"], file["name"], file["size"]) == ("waiting", "people.csv", len(content))
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert file["rows"] == {"read": 0, "accepted": 0, "rejected": 0}
    after = await done(api, tenant, file["id"])
    assert (after["state"], after["progress"]) == ("done", 1.0)
    assert after["rows"] == {"read": 3, "accepted": 2, "rejected": 1}
    rejects = await tenant.get(f"/files/{file['id']}/rejects")
    assert rejects.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert 'filename="people.csv.rejects.csv"' in rejects.headers["Content-Disposition"]
    [reject] = rows_of(rejects.body)
    assert (reject["row"], reject["column"], reject["text"]) == ("2", "email", "nobody,Lyon")
    results = rows_of((await tenant.get(f"/files/{file['id']}/results")).body)
    assert [row["state"] for row in results] == ["accepted", "rejected", "accepted"]
    found = await tenant.get(f"/communications/{results[0]['id']}")
    assert found.json["id"] == results[0]["id"]
    batch = (await tenant.get(f"/batches/{file['batch_id']}")).json
    assert batch["requests"] == {"accepted": 2, "rejected": 1}


async def test_a2_a_test_key_sends_no_file_and_opens_no_other_door(tenant: Tenant, api):
    held = (await upload(tenant, unique(), query="?hold=true")).json
    tenant.key = (await api.services.access.create_key(tenant.client.id, live=False)).text

    assert (await upload(tenant, unique())).status == 403
    assert (await upload(tenant, form(unique()), kind=FORM)).status == 403
    assert (await tenant.post(f"/files/{held['id']}/start")).status == 403
    assert (await tenant.post("/file-uploads", {"name": "people.csv"})).status == 403
    assert (await tenant.call("PUT", "/sftp-accounts/door", {"keys": [PUBLIC_KEY]})).status == 403
    assert (await tenant.get("/sftp-accounts")).json["items"] == []
    files = (await tenant.get("/files")).json["items"]
    assert [(file["id"], file["state"]) for file in files] == [(held["id"], "held")]
    assert (await upload(tenant, unique(), query="?hold=true")).json["state"] == "held"


@pytest.mark.parametrize("strict", ["false", "true"])
async def test_columns_are_the_templates_variables_whatever_their_case_and_spaces(
    tenant: Tenant, api, strict
):
    text = "{{ first_name }} pays {{ order.total_price }} in {{ city }}"
    await tenant.call("PUT", "/templates/hello", {"email": {"subject": "Hi", "text": text}})
    head = "E-Mail;First Name;Order.Total-Price;CITY;Reference"
    content = f"{head}\r\na@example.org;Ada;3;Lyon;{uuid.uuid4()}\r\n".encode()
    query = f"?channel=email&template=hello&strict={strict}&hold=true"
    file = (await upload(tenant, content, query=query)).json

    [row] = (await tenant.post(f"/files/{file['id']}/preview")).json["rows"]
    assert row["reject"] is None, row
    assert row["communication"]["content"]["text"] == "Ada pays 3 in Lyon"
    await tenant.post(f"/files/{file['id']}/start")
    after = await done(api, tenant, file["id"])
    assert after["rows"] == {"read": 1, "accepted": 1, "rejected": 0}
    stored = await api.database["recipients"].find_one({"client_id": tenant.client.id})
    assert stored["data"] == {"first_name": "Ada", "order": {"total_price": "3"}, "city": "Lyon"}


async def test_a_form_has_its_options_before_the_file(tenant: Tenant):
    body = form(unique(), channel="email", template="hello", hold="true", priority="low")
    sent = await upload(tenant, body, kind=FORM)

    assert sent.status == 202, sent.body
    assert (sent.json["state"], sent.json["name"]) == ("held", "a b.csv")
    assert sent.json["options"] == {"channel": "email", "template": "hello", "priority": "low"}
    started = await tenant.post(f"/files/{sent.json['id']}/start")
    assert (started.status, started.json["state"]) == (200, "waiting")


async def test_a_compressed_body_is_stored_as_it_comes(tenant: Tenant):
    content = gzip.compress(unique())
    sent = await upload(tenant, content, kind="application/gzip", query="?channel=email")

    assert (sent.status, sent.json["size"]) == (202, len(content))


async def test_files_are_listed_newest_first_page_by_page(tenant: Tenant):
    ids = [(await upload(tenant, unique())).json["id"] for _ in range(3)]
    first = (await tenant.get("/files?limit=2")).json
    second = (await tenant.get(f"/files?limit=2&cursor={first['next_cursor']}")).json

    assert [f["id"] for f in first["items"] + second["items"]] == ids[::-1]
    await tenant.post(f"/files/{ids[0]}/cancel")
    waiting = (await tenant.get("/files?state=waiting")).json["items"]
    assert [f["id"] for f in waiting] == [ids[2], ids[1]]
    assert (await tenant.get("/files?state=lost")).status == 422


async def test_a_file_is_taken_back_once_and_for_all(tenant: Tenant):
    file = (await upload(tenant, unique())).json

    for _ in range(2):
        answer = await tenant.post(f"/files/{file['id']}/cancel")
        assert (answer.status, answer.json["state"]) == (200, "cancelled")
    assert (await tenant.post(f"/files/{file['id']}/start")).status == 409


async def test_the_same_bytes_are_a_conflict_that_names_the_first(tenant: Tenant):
    content = unique()
    first = (await upload(tenant, content)).json

    again = await upload(tenant, content)
    meant = await upload(tenant, content, query="?force=true")

    assert (again.status, meant.status) == (409, 202)
    assert first["id"] in again.json["detail"]
    await tenant.post(f"/files/{meant.json['id']}/cancel")
    # Of one that was taken back before its first row nothing has come.
    assert (await upload(tenant, content)).status == 202


async def test_another_clients_file_is_none(tenant: Tenant, other: Tenant):
    file = (await upload(tenant, unique())).json

    for method, path in (
        ("GET", ""), ("GET", "/rejects"), ("GET", "/results"),
        ("POST", "/cancel"), ("POST", "/start"),
    ):  # fmt: skip
        answer = await other.call(method, f"/files/{file['id']}{path}")
        assert answer.status == 404, path
    assert (await other.get("/files")).json["items"] == []


@pytest.mark.parametrize(
    ("content", "kind", "query", "status"),
    [
        (b"", "text/csv", "", 422),
        (CSV, "application/json", "", 415),
        (CSV, "text/csv", "?channel=fax", 422),
        (CSV, "text/csv", "?delimiter=x", 422),
        (CSV, "text/csv", "?colour=red", 422),
        (CSV, "text/csv", "?strict=maybe", 422),
        (CSV, "text/csv", "?send_at=tomorrow", 422),
        (CSV, "multipart/form-data", "", 400),
        (b"--cut--\r\n", FORM, "", 422),
        (form(CSV)[:-12], FORM, "", 400),
        (form(CSV, strict="maybe"), FORM, "", 422),
    ],
)
async def test_what_is_wrong_with_an_upload_is_said_and_leaves_nothing(
    tenant: Tenant, content, kind, query, status
):
    answer = await upload(tenant, content, kind=kind, query=query)

    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (await tenant.get("/files")).json["items"] == []
