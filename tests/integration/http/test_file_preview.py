"""The first rows of a file as they would be sent, before any of them is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cdp.http.file_preview_outputs import PreviewOut
from cdp.http.file_rows import HttpRowIntake
from cdp.services.file_preview import FilePreviews
from tests.integration.http.conftest import Got, Tenant
from tests.integration.http.file_services import file_ingestion_of
from tests.integration.http.test_channels import SUBSCRIPTION
from tests.integration.http.test_files import form, rows_of, unique, upload

UPLOADS = Path(__file__).parents[3] / "examples" / "uploads"
NOTHING_COMES_OF_IT = (
    "communication_requests", "communications", "communication_logs", "delivery_results",
    "recipients", "batches", "links",
)  # fmt: skip


async def held(tenant: Tenant, content: bytes, query: str = "", *, kind: str = "text/csv") -> str:
    """The id of a file that waits to be started."""
    sent = await upload(tenant, content, kind=kind, query=f"?hold=true{query}")
    assert sent.status == 202, sent.body
    return str(sent.json["id"])


async def preview(tenant: Tenant, file_id: str, query: str = "") -> dict[str, Any]:
    answer = await tenant.post(f"/files/{file_id}/preview{query}")
    assert answer.status == 200, answer.body
    described = PreviewOut.model_validate_json(answer.body)
    assert described.model_dump(mode="json", by_alias=True) == answer.json
    return dict(answer.json)


async def put_template(tenant: Tenant, name: str = "hello", **channels: Any) -> None:
    parts = channels or {"email": {"subject": "Hi {{ first }}", "text": "{{ city }} calls"}}
    answer = await tenant.call("PUT", f"/templates/{name}", parts)
    assert answer.status in (200, 201), answer.body


def rejected(rows: list[dict[str, Any]]) -> dict[int, tuple[str, str]]:
    return {
        row["row"]: (row["reject"]["column"], row["reject"]["code"])
        for row in rows
        if row["reject"] is not None
    }


async def test_each_row_is_what_it_would_become_and_nothing_comes_of_it(tenant: Tenant, api):
    await put_template(tenant)
    content = b"Email Address,first,Town,name\r\na@Example.org,Ada,Lyon,Ada L\r\nnobody,Bo,Ulm,\r\n"
    file_id = await held(tenant, content, "&channel=email&template=hello&priority=low&name=p.csv")
    mine = {"client_id": tenant.client.id}

    seen = await preview(tenant, file_id)

    assert (seen["file_id"], seen["format"], seen["packing"]) == (file_id, "csv", None)
    assert (seen["encoding"], seen["delimiter"], seen["warnings"]) == ("utf-8", ",", [])
    assert (seen["has_more"], seen["trouble"]) == (False, None)
    assert {c["name"]: c["pointers"] for c in seen["columns"]} == {
        "Email Address": {"email": "/to/0/email"},
        "first": {"email": "/to/0/data/first"},
        "Town": {"email": "/to/0/data/Town"},
        "name": {"email": "/to/0/name"},
    }
    right, wrong = seen["rows"]
    # `Town` is not `city`.
    assert right["reject"]["code"] == "missing_variable"
    assert wrong["reject"]["code"] == "address_invalid"
    for collection in NOTHING_COMES_OF_IT:
        assert await api.database.raw[collection].count_documents(mine) == 0, collection
    assert (await tenant.get(f"/files/{file_id}")).json["state"] == "held"


async def test_a_right_row_has_its_address_template_campaign_and_content(tenant: Tenant):
    await put_template(tenant)
    content = b"email,first,city,name,reference\r\na@Example.org,Ada,Lyon,Ada L,r-1\r\n"
    query = "&channel=email&template=hello&priority=low&campaign=spring&segment=vip"
    file_id = await held(tenant, content, query + "&send_at=2030-01-01T00:00:00Z")

    [row] = (await preview(tenant, file_id))["rows"]

    assert (row["row"], row["reject"]) == (1, None)
    assert row["text"] == "a@Example.org,Ada,Lyon,Ada L,r-1"
    assert row["communication"] == {
        "channel": "email",
        "from": {"address": "news@example.com", "name": "News"},
        "to": {"address": "a@example.org", "name": "Ada L"},
        "template": "hello",
        "template_version": 1,
        "locale": None,
        "campaign": "spring",
        "segment": "vip",
        "topic": None,
        "priority": "low",
        "send_at": "2030-01-01T00:00:00Z",
        "expires_at": None,
        "reference": "r-1",
        "content": {"subject": "Hi Ada", "html": None, "text": "Lyon calls"},
        "sms_segments": None,
        "errors": [],
    }


async def test_every_channel_is_shown_in_its_own_parts(tenant: Tenant):
    await put_template(
        tenant,
        email={"subject": "Hi", "html": '<a href="{{ unsubscribe_url }}">out</a>'},
        sms={"text": "Hi {{ name }} €"},
    )
    push = {"title": "T", "body": "B", "data": {"k": "v"}}
    app = {"title": "T", "body": "B", "action_url": "https://a.example/"}
    lines: list[dict[str, Any]] = [
        {"channel": "email", "to": [{"email": "a@b.example"}]},
        {"channel": "sms", "to": [{"phone": "+49 151 12345678", "data": {"name": "x" * 160}}]},
        {"channel": "push", "to": [{"subscription": SUBSCRIPTION}], "content": push},
        {"channel": "in_app", "to": [{"user": "u-1"}], "content": app},
        {"channel": "webhook", "to": [{"url": "https://A.example/x"}],
         "content": {"payload": {"a": [1, None]}}},
    ]  # fmt: skip
    body = "\n".join(json.dumps(line) for line in lines).encode()
    file_id = await held(tenant, body, "&template=hello", kind="application/x-ndjson")

    seen = await preview(tenant, file_id)

    assert (seen["format"], seen["encoding"], seen["delimiter"]) == ("ndjson", "utf-8", None)
    assert seen["columns"] == []
    assert rejected(seen["rows"]) == {}
    mail, text, note, entry, hook = (row["communication"] for row in seen["rows"])
    assert mail["content"]["html"] == '<a href="https://unsubscribe.invalid/">out</a>'
    assert (text["to"]["address"], text["content"]) == (
        "+4915112345678", {"text": f"Hi {'x' * 160} €"},
    )  # fmt: skip
    assert (text["sms_segments"], text["from"]) == ({"encoding": "gsm", "count": 2}, None)
    assert note["to"]["address"] == SUBSCRIPTION["endpoint"]
    assert (note["content"]["title"], note["content"]["data"]) == ("T", '{"k":"v"}')
    assert (note["template"], note["template_version"]) == (None, None)
    assert entry["content"]["action_url"] == "https://a.example/"
    assert (hook["to"]["address"], hook["content"]) == (
        "https://a.example/x", {"payload": '{"a":[1,null]}'},
    )  # fmt: skip


async def test_a_wrong_row_is_wrong_as_the_ingestion_will_say_it_is(tenant: Tenant, api):
    await put_template(tenant)
    content = (
        b"E-mail,first,city,template,send_at\r\n"
        b"nobody,A,B,,\r\n"
        b"a@b.example,A,B\r\n"
        b"a@b.example,A,B,gone,\r\n"
        b"a@b.example,A,B,,tomorrow\r\n"
        b"a@b.example,,B,,\r\n"
        b'a@b.example,"A"x,B,,\r\n'
        b"a@b.example,A,B,,\r\n"
    )
    file_id = await held(tenant, content, "&channel=email&template=hello")

    seen = await preview(tenant, file_id, "?rows=20")
    await tenant.post(f"/files/{file_id}/start")
    service = file_ingestion_of(api.services, api.database, api.store)
    while (await tenant.get(f"/files/{file_id}")).json["state"] not in ("done", "failed"):
        await service.step()
    reported = rows_of((await tenant.get(f"/files/{file_id}/rejects")).body)

    told = [(str(r["row"]), r["reject"]) for r in seen["rows"] if r["reject"] is not None]
    assert told == [
        (r["row"], {"column": r["column"], "code": r["code"], "reason": r["reason"]})
        for r in reported
    ]
    assert rejected(seen["rows"]) == {
        1: ("E-mail", "address_invalid"),
        2: ("", "cells_missing"),
        3: ("template", "unknown"),
        4: ("send_at", "time_invalid"),
        5: ("first", "missing_variable"),
        6: ("", "quote_invalid"),
    }


NESTED = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("source", "pointer", "code"),
    [
        (NESTED, "/text", "template_forbidden"),
        (
            "{% for a in range(99999) %}{{ 'x' * 100 }}{% endfor %}",
            "/text",
            "render_output_too_large",
        ),
        ("{{ 1 / (first|length - 3) }}", "/text", "render_error"),
        ("{{ last }}", "/data/last", "missing_variable"),
    ],
)
async def test_what_can_not_be_rendered_is_said_of_its_row_alone(
    tenant: Tenant, source, pointer, code
):
    guarded = "{% if first == 'Ada' %}" + source + "{% else %}fine{% endif %}"
    await put_template(tenant, email={"subject": "Hi", "text": guarded})
    content = b"email,first\r\na@b.example,Ada\r\nb@b.example,Bo\r\n"
    file_id = await held(tenant, content, "&channel=email&template=hello&force=true")

    hit, other = (await preview(tenant, file_id))["rows"]

    assert hit["reject"] is None
    assert hit["communication"]["content"] is None
    assert [(e["pointer"], e["code"]) for e in hit["communication"]["errors"]] == [(pointer, code)]
    assert other["communication"]["content"]["text"] == "fine"


async def test_what_is_rendered_and_its_channel_can_not_carry_is_said_too(tenant: Tenant):
    await put_template(
        tenant,
        sms={"text": "{{ first }}"},
        webhook={"payload": '{"name": "{{ first }}"}'},
    )
    content = (
        b"channel,phone,url,first\r\n"
        b"sms,+4915112345678,," + b"x" * 2_000 + b"\r\n"
        b'webhook,,https://a.example/,"A ""B"" C"\r\n'
        b"webhook,,https://a.example/,Bo\r\n"
    )
    file_id = await held(tenant, content, "&template=hello")

    long, unquoted, right = (r["communication"] for r in (await preview(tenant, file_id))["rows"])

    assert [(e["pointer"], e["code"]) for e in long["errors"]] == [("/text", "content_too_large")]
    assert (long["content"], long["sms_segments"]) == (None, None)
    assert [(e["pointer"], e["code"]) for e in unquoted["errors"]] == [
        ("/payload", "content_not_json")
    ]
    assert right["content"] == {"payload": '{"name":"Bo"}'}


@pytest.mark.parametrize(
    ("name", "packing"),
    [
        ("appointments.csv", None),
        ("appointments.csv.gz", "gzip"),
        ("appointments.zip", "zip"),
        ("appointments.ndjson", None),
    ],
)
async def test_every_format_of_the_examples_is_looked_into(tenant: Tenant, name, packing):
    text = "{{ visit.when }}: {{ visit.doctor }}"
    await put_template(tenant, "appointment", email={"subject": "Visit", "text": text})
    kind = "application/octet-stream"
    query = f"&channel=email&template=appointment&name={name}"
    file_id = await held(tenant, (UPLOADS / name).read_bytes(), query, kind=kind)

    seen = await preview(tenant, file_id)

    assert seen["packing"] == packing
    assert seen["format"] == ("ndjson" if "ndjson" in name else "csv")
    # A zip's own name says nothing of what is in it.
    assert [w["code"] for w in seen["warnings"]] == (["format_assumed"] if packing == "zip" else [])
    contents = [row["communication"]["content"]["text"] for row in seen["rows"]]
    assert contents[0] == "17 December, 9:30: Dr. Quinn"
    assert (len(contents), seen["has_more"], seen["trouble"]) == (4, False, None)


async def test_a_file_for_several_channels_shows_each_column_for_each(tenant: Tenant):
    file_id = await held(tenant, (UPLOADS / "every-channel.csv").read_bytes())

    seen = await preview(tenant, file_id)

    assert (seen["encoding"], seen["delimiter"]) == ("utf-16-le", ";")
    by_name = {column["name"]: column["pointers"] for column in seen["columns"]}
    assert by_name["email"]["email"] == "/to/0/email"
    assert by_name["email"]["sms"] == "/to/0/data/email"
    assert by_name["phone"]["sms"] == "/to/0/phone"
    # No column has a device's or a URL's address.
    assert by_name["channel"] == dict.fromkeys(("email", "sms", "in_app"), "/channel")


async def test_as_many_rows_are_shown_as_are_asked_for_from_any_on(tenant: Tenant):
    await put_template(tenant, email={"subject": "Hi", "text": "{{ n }}"})
    rows = b"".join(b"p%d@example.org,%d\r\n" % (n, n) for n in range(1, 3001))
    file_id = await held(tenant, b"email,n\r\n" + rows, "&channel=email&template=hello")

    async def numbers(query: str) -> tuple[list[int], bool]:
        seen = await preview(tenant, file_id, query)
        assert seen["trouble"] is None
        texts = [row["communication"]["content"]["text"] for row in seen["rows"]]
        assert texts == [str(row["row"]) for row in seen["rows"]]
        return [row["row"] for row in seen["rows"]], seen["has_more"]

    assert await numbers("") == ([1, 2, 3, 4, 5], True)
    assert await numbers("?rows=1&from_row=2500") == ([2500], True)
    assert await numbers("?rows=20&from_row=2990") == (list(range(2990, 3001)), False)
    assert await numbers("?from_row=3001") == ([], False)


@pytest.mark.parametrize(
    "query",
    ["?rows=0", "?rows=21", "?rows=x", "?rows=", "?from_row=0", "?from_row=5000001", "?row=1"],
)
async def test_what_is_asked_for_wrongly_is_said(tenant: Tenant, query):
    file_id = await held(tenant, unique(), "&channel=email")

    answer = await tenant.post(f"/files/{file_id}/preview{query}")

    assert (answer.status, list(answer.pointers)) == (422, [re.split("[?=]", query)[1]])
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_another_clients_file_can_not_be_looked_into(tenant: Tenant, other: Tenant):
    file_id = await held(tenant, unique(), "&channel=email")

    answers: list[Got] = [
        await other.post(f"/files/{file_id}/preview"),
        await tenant.post("/files/01900000-0000-7000-8000-000000000000/preview"),
        await tenant.post("/files/none/preview"),
    ]

    assert [answer.status for answer in answers] == [404, 404, 404]
    assert {answer.body for answer in answers} == {answers[0].body}


async def test_in_any_state_a_file_is_looked_into_while_its_bytes_are_there(tenant: Tenant, api):
    file_id = await held(tenant, unique(), "&channel=email&template=hello")
    await tenant.post(f"/files/{file_id}/cancel")

    assert len((await preview(tenant, file_id))["rows"]) == 3
    file = await api.services.files.get(tenant.client.id, bytes.fromhex(file_id.replace("-", "")))
    await api.store.delete(file.key)
    gone = await tenant.post(f"/files/{file_id}/preview")

    assert (gone.status, gone.headers["Content-Type"]) == (409, "application/problem+json")
    assert gone.json["detail"] == "What was stored of the file is not there."


async def test_a_template_that_goes_after_the_check_is_an_error_of_its_row(tenant: Tenant, api):
    await put_template(tenant)
    content = b"email,first,city\r\na@b.example,A,B\r\n"
    file_id = await held(tenant, content, "&channel=email&template=hello")
    file = await api.services.files.get(tenant.client.id, bytes.fromhex(file_id.replace("-", "")))
    previews: FilePreviews = api.services.file_previews
    head = await previews.head(file, first=1, count=5)
    requests, faults = await HttpRowIntake(api.services).requests_of(file, head.rows)
    await tenant.call("DELETE", "/templates/hello")

    [made] = await previews.compositions(list(requests.values()))

    assert (faults, made.parts) == ({}, None)
    assert [(e.pointer, e.code) for e in made.errors] == [("/template", "unknown")]


async def test_a_form_is_looked_into_as_a_body_is(tenant: Tenant):
    await put_template(tenant)
    body = form(b"email,first,city\r\na@b.example,Ada,Ulm\r\n", channel="email", template="hello",
                hold="true")  # fmt: skip
    sent = await upload(tenant, body, kind="multipart/form-data; boundary=cut")

    [row] = (await preview(tenant, sent.json["id"]))["rows"]

    assert row["communication"]["content"]["subject"] == "Hi Ada"
