"""Many requests in one call: the good ones go through, each bad one is named by its index."""

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cdp.telemetry import Telemetry
from tests.integration.http.conftest import Got, Tenant, email, make_tenant, served
from tests.integration.http.services import Api, build_api

NDJSON = "application/x-ndjson"
PATH = "/communications/batch"


async def lines(tenant: Tenant, body: Any, **headers: str) -> Got:
    sent = {"Content-Type": NDJSON} | {k.replace("_", "-"): v for k, v in headers.items()}
    return await tenant.call("POST", PATH, body, headers=sent)


async def everything(tenant: Tenant, batch_id: str, *, limit: int) -> list[dict[str, Any]]:
    """All results of a batch, page by page."""
    items, cursor = [], ""
    while True:
        page = (await tenant.get(f"/batches/{batch_id}/results?limit={limit}{cursor}")).json
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = f"&cursor={page['next_cursor']}"


async def test_the_good_go_through_and_each_bad_one_is_reported_by_index(tenant: Tenant):
    raw = [json.dumps(email(f"n{n}@x.example")).encode() for n in range(6)]
    raw[1] = b'{"channel": "fax"}'
    raw[3] = json.dumps(email(data={"a": "\ud800"})).encode()
    raw[4] = json.dumps(email(data={"a": "]},{["})).encode()
    raw[5] = json.dumps(email(data={"$where": 1})).encode()

    answer = await tenant.post(PATH, b" [" + b",".join(raw) + b"] ")

    assert answer.status == 207
    found = answer.json
    assert (found["accepted"], found["rejected"]) == (3, 3)
    assert [item["index"] for item in found["items"]] == list(range(6))
    assert [item["status"] for item in found["items"]] == [202, 422, 202, 422, 202, 422]
    assert found["items"][3]["problem"]["errors"][0]["pointer"] == "/data/a"
    assert found["items"][5]["problem"]["errors"][0]["pointer"] == "/data/$where"
    for item in found["items"]:
        if item["status"] == 202:
            assert (await tenant.get(f"/communications/{item['id']}")).status == 200


async def test_ndjson_is_taken_line_by_line(tenant: Tenant):
    text = "\n".join([json.dumps(email()), "", "broken", json.dumps(email("b@x.example")), ""])

    async def slowly() -> AsyncIterator[bytes]:
        for byte in text.encode():
            yield bytes([byte])

    for body in (text.encode(), slowly()):
        answer = await lines(tenant, body)
        assert answer.status == 207
        assert [item["status"] for item in answer.json["items"]] == [202, 400, 202]


async def test_a_batch_of_only_bad_items_is_answered_item_by_item(tenant: Tenant):
    answer = await tenant.post(PATH, [{}, 1, None, [[]], "x"])

    assert answer.status == 207
    assert (answer.json["accepted"], answer.json["rejected"]) == (0, 5)
    assert {item["status"] for item in answer.json["items"]} == {422}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b" [ \n ] ", 422),
        (b"{}", 422),
        (b'"x"', 422),
        (b"[1", 400),
        (b"[1]]", 400),
        (b"[1}", 400),
        (b'["abc', 400),
        (b"nonsense", 422),
        (b"<xml/>", 400),
        (b"[" * 100_000, 400),
        (b'["' + b'\\"' * 100_000, 400),
    ],
)
async def test_a_body_that_is_no_array_is_refused_as_a_whole(tenant: Tenant, body, status):
    answer = await tenant.post(PATH, body)

    assert answer.status == status


async def test_a_broken_element_is_that_items_matter(tenant: Tenant):
    good = json.dumps(email()).encode()

    answer = await tenant.post(PATH, b"[" + good + b",,{1},nonsense," + good + b"]")

    assert [item["status"] for item in answer.json["items"]] == [202, 400, 400, 400, 202]


async def test_an_item_over_the_limit_of_a_single_is_refused_alone(tenant: Tenant):
    large = json.dumps(email(data={"a": "x" * 1024 * 1024})).encode()
    good = json.dumps(email()).encode()

    array = await tenant.post(PATH, b"[" + good + b"," + large + b"," + good + b"]")
    ndjson = await lines(tenant, good + b"\n" + large + b"\n" + good)

    for answer in (array, ndjson):
        assert [item["status"] for item in answer.json["items"]] == [202, 413, 202]


async def test_too_many_items_are_refused_and_ndjson_says_where_it_stopped(tenant: Tenant):
    array = await tenant.post(PATH, b"[" + b",".join([b"0"] * 10_001) + b"]")
    ndjson = await lines(tenant, b"0\n" * 10_002)

    async def endless() -> AsyncIterator[bytes]:
        yield json.dumps(email()).encode() + b"\n"
        for _ in range(33):
            yield b" " * 1024 * 1024

    broken = await lines(tenant, endless())
    bomb = await tenant.call(
        "POST",
        PATH,
        gzip.compress(b" " * 40_000_000),
        headers={"Content-Type": NDJSON, "Content-Encoding": "gzip"},
    )

    assert bomb.status == 413
    assert array.status == 413
    assert ndjson.json["items"][-1]["status"] == 413
    assert ndjson.json["items"][-1]["index"] == 10_000
    assert [item["status"] for item in broken.json["items"]] == [202, 413]


async def test_the_books_of_a_batch_add_up(tenant: Tenant):
    two = [{"email": "a@x.example"}, {"email": "b@x.example"}]
    body = [email(f"n{n}@x.example") for n in range(1_200)] + [email() | {"to": two}, {}]
    answer = (await tenant.post(PATH, body)).json
    await tenant.post(f"/communications/{answer['items'][0]['id']}/cancel")
    change = {"send_at": "2031-01-01T00:00:00Z"}
    await tenant.call("PATCH", f"/communications/{answer['items'][1]['id']}", change)

    found = (await tenant.get(f"/batches/{answer['batch_id']}")).json

    assert found["status"] == "complete"
    assert found["requests"] == {"accepted": 1_201, "rejected": 1}
    assert found["results"] == 1_202
    counts = found["counts"]
    pending = counts.pop("pending_by")
    assert counts.pop("accepted") == 1_202 == sum(counts.values())
    assert counts["pending"] == sum(pending.values()) == 1_201
    assert (counts["cancelled"], pending["scheduled"], pending["waiting"]) == (1, 1, 1_200)
    results = await everything(tenant, answer["batch_id"], limit=500)
    assert len({result["id"] for result in results}) == 1_202


async def test_a_repeated_batch_is_answered_the_same_and_doubles_nothing(tenant: Tenant):
    body = [email(f"n{n}@x.example") for n in range(20)] + [{"channel": "fax"}]

    first = await tenant.post(PATH, body, Idempotency_Key="b")
    again = await tenant.post(PATH, body, Idempotency_Key="b")
    other = await tenant.post(PATH, body[1:], Idempotency_Key="b")
    ndjson = "\n".join(json.dumps(item) for item in body).encode()
    as_lines = await lines(tenant, ndjson, Idempotency_Key="b2")
    as_lines_again = await lines(tenant, ndjson, Idempotency_Key="b2")

    assert first.body == again.body
    assert again.headers["Idempotent-Replayed"] == "true"
    assert other.status == 422
    assert other.json["type"] == "urn:cdp:problem:key-reused"
    assert as_lines.body == as_lines_again.body
    assert len(await everything(tenant, first.json["batch_id"], limit=7)) == 20


async def test_a9_csv_cells_are_no_formulas_unless_a_machine_reads_them(tenant: Tenant):
    body = [
        email("=cmd@x.example", reference="@SUM(1)", campaign="-1+1"),
        email("+4912345@x.example", reference='a"b,c'),
    ]
    batch_id = (await tenant.post(PATH, body)).json["batch_id"]

    people = await tenant.get(f"/batches/{batch_id}/results", Accept="text/csv")
    machine = await tenant.get(f"/batches/{batch_id}/results?format=csv&raw=1")

    rows = list(csv.DictReader(io.StringIO(people.body.decode())))
    assert people.headers["Content-Type"].startswith("text/csv")
    assert {row["to"] for row in rows} == {"'=cmd@x.example", "'+4912345@x.example"}
    assert {row["reference"] for row in rows} == {"'@SUM(1)", 'a"b,c'}
    assert {row["campaign"] for row in rows} == {"'-1+1", ""}
    raw = list(csv.DictReader(io.StringIO(machine.body.decode())))
    assert {row["to"] for row in raw} == {"=cmd@x.example", "+4912345@x.example"}


async def test_results_come_as_ndjson_and_in_pages(tenant: Tenant):
    body = [email(f"n{n}@x.example") for n in range(5)]
    batch_id = (await tenant.post(PATH, body)).json["batch_id"]

    first = await tenant.get(f"/batches/{batch_id}/results?format=ndjson&limit=3")
    cursor = first.headers["Next-Cursor"]
    rest = await tenant.get(f"/batches/{batch_id}/results?format=ndjson&limit=3&cursor={cursor}")

    found = [json.loads(line) for answer in (first, rest) for line in answer.body.splitlines()]
    assert {row["to"] for row in found} == {f"n{n}@x.example" for n in range(5)}
    assert found == await everything(tenant, batch_id, limit=2)
    assert "Next-Cursor" not in rest.headers


async def test_a_batch_over_the_clients_limit_is_taken_as_far_as_there_is_room(migrated, session):
    api = build_api(migrated.mongo_uri("platform"), client_max=3)
    async with served(api) as base:
        tenant = await make_tenant(api, base, session)
        body = [email(f"n{n}@x.example") for n in range(5)]

        first = await tenant.post(PATH, body, Idempotency_Key="b")
        api.services.backlog.update(0, {})
        later = await tenant.post(PATH, body, Idempotency_Key="b")
    await api.close()

    assert [item["status"] for item in first.json["items"]] == [202, 202, 202, 429, 429]
    assert [item["status"] for item in later.json["items"]] == [202] * 5
    ids = [item.get("id") for item in first.json["items"]]
    assert ids[:3] == [item["id"] for item in later.json["items"]][:3]


def accepted_by_channel(api: Api) -> Counter[str]:
    assert isinstance(api.services.metrics, Telemetry)
    return Counter(
        {
            dict(labels)["channel"]: int(value)
            for name, labels, value in api.services.metrics.snapshot()
            if name == "cdp_accepted_total"
        }
    )


async def test_a_mixed_batch_is_counted_by_channel(api: Api, tenant: Tenant):
    sms = {"channel": "sms", "to": [{"phone": "+4915112345678"}], "content": {"text": "Hi"}}
    before = accepted_by_channel(api)

    answer = await tenant.post(PATH, [email(), sms, sms])

    assert answer.json["accepted"] == 3
    assert accepted_by_channel(api) - before == {"email": 1, "sms": 2}
