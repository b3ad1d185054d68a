"""Whatever is sent, the answer is a precise problem document and never a 5xx."""

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from cdp.storage.database import Database
from tests.integration.http.conftest import Tenant, email
from tests.integration.http.services import Api
from tests.waiting import eventually

PROBLEM = "application/problem+json"
DEEP = b'{"data":' + b'{"a":' * 40 + b"1" + b"}" * 41


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in email().items() if key != name}


FIELDS = [
    ({}, {"/channel": "missing"}),
    ({"channel": "email"}, {"/to": "missing"}),
    (email(channel="fax"), {"/channel": "literal_error"}),
    (email(status="delivered"), {"/status": "extra_forbidden"}),
    (email(attachments=[]), {"/attachments": "extra_forbidden"}),
    (email(client_id="x"), {"/client_id": "extra_forbidden"}),
    (email(priority=1), {"/priority": "literal_error"}),
    (email(reference=7), {"/reference": "string_type"}),
    (email(data=[]), {"/data": "dict_type"}),
    (email(tracking={"opens": "yes"}), {"/tracking/opens": "bool_type"}),
    (email(metadata={"a": 1}), {"/metadata/a": "string_type"}),
    (email(metadata={f"k{n}": "" for n in range(51)}), {"/metadata": "too_long"}),
    (email() | {"to": []}, {"/to": "too_short"}),
    (email() | {"to": [{"email": "a@b.example"}] * 101}, {"/to": "too_long"}),
    (email("nobody"), {"/to/0/email": "address_invalid"}),
    (email("a@b.example\r\nBcc: c@d.example"), {"/to/0/email": "address_invalid"}),
    (email() | {"to": "a@b.example"}, {"/to": "list_type"}),
    (email() | {"to": [{"email": {"$ne": ""}}]}, {"/to/0/email/$ne": "name_forbidden"}),
    (email(reference={"$ne": None}), {"/reference/$ne": "name_forbidden"}),
    (email(data={"a": {"$where": "1"}}), {"/data/a/$where": "name_forbidden"}),
    (email(metadata={"$set": "x"}), {"/metadata/$set": "name_forbidden"}),
    (without("content"), {"/template": "missing"}),
    (email(template="welcome"), {"/content": "excluded"}),
    (without("content") | {"template": "never-made"}, {"/template": "unknown"}),
    (without("content") | {"template": "../x"}, {"/template": "string_pattern_mismatch"}),
    (email(content={"subject": "s"}), {"/content/text": "content_empty"}),
    (email(content={"text": "t"}), {"/content/subject": "missing"}),
    (email(content={"subject": "a\r\nBcc: x@y.example", "text": "t"}),
     {"/content/subject": "header_unsafe"}),
    (email(content={"subject": "=?utf-8?q?a=0D=0ABcc=3A_x=40y.example?=", "text": "t"}),
     {"/content/subject": "header_unsafe"}),
    (email(headers={"X-A": "b\nBcc: x@y.example"}), {"/headers/X-A": "header_unsafe"}),
    (email(headers={"X-A": "=?utf-8?b?YQ0KQmNjOiB4QHkuZXhhbXBsZQ==?="}),
     {"/headers/X-A": "header_unsafe"}),
    (email(headers={"X-A\r\nBcc": "x"}), {"/headers/X-A\r\nBcc": "header_unsafe"}),
    (email(headers={"Bcc": "x@y.example"}), {"/headers/Bcc": "header_unsafe"}),
    (email(headers={"X-A": "1", "x-a": "2"}), {"/headers/x-a": "header_twice"}),
    (email(reply_to={"email": "a@b.example", "name": "a\nb"}), {"/reply_to/name": "header_unsafe"}),
    (email(cc=[{"email": "x"}]), {"/cc/0/email": "string_too_short"}),
    (email() | {"to": [{"email": "a@b.example", "locale": "english!"}]},
     {"/to/0/locale": "string_pattern_mismatch"}),
    (email() | {"to": [{"email": "a@b.example", "timezone": "Mars/Base"}]},
     {"/to/0/timezone": "timezone_unknown"}),
    (email(send_at="tomorrow"), {"/send_at": "time_invalid"}),
    (email(send_at="2030-01-01T00:00:00"), {"/send_at": "time_invalid"}),
    (email(send_at=1_900_000_000), {"/send_at": "time_invalid"}),
    (email(send_at="9999-12-31T23:59:59Z"), {"/send_at": "time_invalid"}),
    (email(send_at="2030-02-30T00:00:00Z"), {"/send_at": "time_invalid"}),
    (email(expires_at="2020-01-01T00:00:00Z"), {"/expires_at": "past"}),
    (email(send_at="2030-01-02T00:00:00Z", expires_at="2030-01-01T00:00:00Z"),
     {"/expires_at": "too_early"}),
    (email(campaign="a\tb"), {"/campaign": "string_pattern_mismatch"}),
    (email(data={"a": "x\0y"}), {"/data/a": "nul"}),
    (email(data={"a\0": 1}), {"/data/a?": "nul"}),
    (email(data={"a": "\ud83d"}), {"/data/a": "half_character"}),
    (email(data={"a": 2**63}), {"/data/a": "number_out_of_range"}),
    (email(data={"a": -(2**63) - 1}), {"/data/a": "number_out_of_range"}),
    (email(data={"a": float("nan")}), {"/data/a": "number_out_of_range"}),
    (email(data={"a": [1, float("-inf")]}), {"/data/a/1": "number_out_of_range"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "pointers"), FIELDS)
async def test_each_wrong_field_is_named_by_its_pointer(tenant: Tenant, body, pointers):
    answer = await tenant.post("/communications", body)

    assert answer.status == 422, answer.body
    assert answer.headers["Content-Type"] == PROBLEM
    assert answer.json["type"] == "urn:cdp:problem:invalid"
    assert answer.pointers == pointers


@pytest.mark.parametrize(
    "data",
    [
        {"int": 2**63 - 1, "least": -(2**63), "float": 1.5, "emoji": "\U0001f600"},
        {"a.b": 1, "": 2, "a$": {"b": [None, True, "$x"]}},
        {"a": [[[[[[[[{"b": 1}]]]]]]]]},
    ],
)
async def test_what_json_and_mongodb_can_hold_is_taken(tenant: Tenant, data):
    answer = await tenant.post("/communications", email(data=data, metadata={"order.id": "1"}))

    assert answer.status == 202, answer.body
    found = (await tenant.get(f"/communications/{answer.json['id']}")).json
    assert found["metadata"] == {"order.id": "1"}


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b'{"channel": "email",}', 400, "malformed"),
        (b'{"channel": "\xff"}', 400, "malformed"),
        (b'{"channel": "\xed\xa0\x80"}', 422, "invalid"),
        (b"\xef\xbb\xbf{}", 400, "malformed"),
        (b'{"a":\x00}', 400, "malformed"),
        (b"[]", 422, "invalid"),
        (b"null", 422, "invalid"),
        (b"1", 422, "invalid"),
        (b"1" * 5_000, 422, "invalid"),
        (b'{"data":{"a":1e999}}', 422, "invalid"),
        (DEEP, 422, "invalid"),
        (b"[" * 500_000, 422, "invalid"),
        (b'{"a":' * 100_000, 422, "invalid"),
        (b'{"data":{"' + b"\\u0024" + b'ne":1}}', 422, "invalid"),
    ],
)
async def test_a_body_that_is_not_a_request_is_refused(tenant: Tenant, body, status, slug):
    answer = await tenant.post("/communications", body)

    assert (answer.status, answer.json["type"]) == (status, f"urn:cdp:problem:{slug}")
    assert answer.headers["Content-Type"] == PROBLEM


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
async def test_only_json_is_understood(tenant: Tenant, content_type, status):
    answer = await tenant.call(
        "POST", "/communications", email(), headers={"Content-Type": content_type}
    )

    assert answer.status == status


async def test_a_body_may_be_gzip_but_nothing_else(tenant: Tenant):
    raw = b'{"channel":"email","to":[{"email":"a@b.example"}],"content":{"subject":"s","text":"t"}}'
    packed = gzip.compress(raw)

    async def sent(body: bytes, encoding: str):
        return await tenant.call(
            "POST", "/communications", body, headers={"Content-Encoding": encoding}
        )

    assert (await sent(packed, "gzip")).status == 202
    assert (await sent(packed[:-4], "gzip")).status == 400
    assert (await sent(packed + b"x", "gzip")).status == 400
    assert (await sent(raw, "gzip")).status == 400
    assert (await sent(raw, "br")).status == 415


async def test_a6_a_body_over_the_limit_is_refused_before_and_after_unpacking(tenant: Tenant):
    large = b'{"data":"' + b"x" * 1024 * 1024 + b'"}'

    async def in_pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    announced = await tenant.post("/communications", large)
    streamed = await tenant.post("/communications", in_pieces())
    bomb = gzip.compress(b" " * 50_000_000)
    packed = await tenant.call(
        "POST", "/communications", bomb, headers={"Content-Encoding": "gzip"}
    )

    assert [a.status for a in (announced, streamed, packed)] == [413, 413, 413]
    assert packed.json["type"] == "urn:cdp:problem:too-large"


@pytest.mark.parametrize("key", ["", "x" * 256, "k\xfc"])
async def test_a_wrong_idempotency_key_is_refused(tenant: Tenant, key):
    answer = await tenant.post("/communications", email(), Idempotency_Key=key)

    assert answer.status == 422
    assert answer.pointers == {"Idempotency-Key": "key_invalid"}


async def test_unknown_paths_methods_and_ids_are_problems_too(tenant: Tenant):
    accepted = (await tenant.post("/communications", email())).json

    unknown = await tenant.get("/nothing")
    slash = await tenant.get("/communications/")
    method = await tenant.call("DELETE", f"/communications/{accepted['id']}")
    no_id = await tenant.get("/communications/%00")
    upper = await tenant.get(f"/communications/{accepted['id'].upper()}")

    for answer, status in ((unknown, 404), (slash, 404), (method, 405), (no_id, 404), (upper, 404)):
        assert (answer.status, answer.headers["Content-Type"]) == (status, PROBLEM)
    assert method.headers["Allow"] == "GET, HEAD, PATCH"


async def test_a1_only_a_whole_key_in_force_opens(tenant: Tenant, api: Api):
    access, clock = api.services.access, api.services.clock
    soon = await access.create_key(
        tenant.client.id, expires_at=clock.now() + timedelta(seconds=0.3)
    )
    revoked = await access.create_key(tenant.client.id)
    good = tenant.key
    flipped = good[:-12] + ("0" if good[-12] != "0" else "1") + good[-11:]

    async def status_with(value: str | None) -> int:
        tenant.extra = {}
        headers = {"Authorization": value} if value is not None else {}
        async with tenant.session.get(f"{tenant.base}/communications", headers=headers) as answer:
            assert answer.status == 200 or answer.headers["WWW-Authenticate"].startswith("Bearer")
            return answer.status

    assert await status_with(f"Bearer {good}") == 200
    assert await status_with(f"bearer {good}") == 200
    assert await status_with(f"Bearer {revoked.text}") == 200
    for wrong in (None, "", "Bearer", good, f"Basic {good}", f"Bearer {good[:-1]}",
                  f"Bearer {flipped}", f"Bearer {good}\xe9", "Bearer " + "x" * 5_000):  # fmt: skip
        assert await status_with(wrong) == 401
    await access.revoke_key(revoked.key.key_id)

    async def is_refused(key: str) -> bool:
        return await status_with(f"Bearer {key}") == 401

    await eventually(partial(is_refused, revoked.text), within_s=4)
    await eventually(partial(is_refused, soon.text), within_s=4)


async def test_a1_no_secret_is_stored(tenant: Tenant, api: Api):
    database: Database = api.database
    documents = [d async for d in database["api_keys"].find({"client_id": tenant.client.id})]

    secret = tenant.key.split("_")[3]
    assert documents
    assert secret not in repr(documents)
    assert bytes.fromhex(secret) not in {d["secret_hash"] for d in documents}


async def test_a_client_without_a_sender_is_told_so(tenant: Tenant, api: Api):
    access = api.services.access
    bare = await access.create_client(f"bare-{api.services.new_id().hex()}")
    tenant.key = (await access.create_key(bare.id)).text

    answer = await tenant.post("/communications", email())

    assert answer.status == 409
    assert "sender" in answer.json["detail"]


async def test_a2_a_test_key_sends_nothing(tenant: Tenant, api: Api):
    tenant.key = (await api.services.access.create_key(tenant.client.id, live=False)).text

    answer = await tenant.post("/communications", email())

    assert tenant.key.startswith("cdp_test_")
    assert answer.status == 403


async def test_a_time_is_kept_to_the_millisecond(tenant: Tenant):
    at = datetime(2031, 5, 6, 7, 8, 9, 123_000, tzinfo=UTC)
    accepted = await tenant.post(
        "/communications", email(send_at="2031-05-06t09:08:09.1239999+02:00")
    )

    found = (await tenant.get(f"/communications/{accepted.json['id']}")).json
    assert datetime.fromisoformat(found["send_at"]) == at
