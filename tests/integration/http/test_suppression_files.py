"""The suppression list as a file: in, out, and in again."""

import csv
import gzip
import io
import json
from typing import Any

import pytest

from tests.integration.http.conftest import Tenant, email

CSV = {"Content-Type": "text/csv"}
NDJSON = {"Content-Type": "application/x-ndjson"}


async def send(tenant: Tenant, text: str | bytes, query: str = "", *, kind=CSV, **headers: str):
    raw = text.encode() if isinstance(text, str) else text
    return await tenant.call(
        "POST",
        f"/suppressions/import{query}",
        raw,
        headers=kind | {name.replace("_", "-"): value for name, value in headers.items()},
    )


async def rows_of(tenant: Tenant, query: str = "") -> list[dict[str, str]]:
    answer = await tenant.get(f"/suppressions/export{query}")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))


async def kept_of(tenant: Tenant) -> dict[str, dict[str, Any]]:
    items = (await tenant.get("/suppressions")).json["items"]
    return {entry["recipient"]: entry for entry in items}


async def lines_of(tenant: Tenant) -> list[dict[str, object]]:
    answer = await tenant.get("/suppressions/export?format=ndjson")
    return [json.loads(line) for line in answer.body.splitlines()]


async def test_good_rows_are_kept_and_bad_ones_reported_with_their_numbers(tenant: Tenant):
    text = (
        "\ufeffChannel,recipient,topic,reason,note\r\n"
        "email,Ada@EXAMPLE.org,,complaint,she wrote\r\n"
        "email,nobody,,,\r\n"
        "\r\n"
        'sms,"+49 151 12345678",offers,,\r\n'
        "fax,1,,,\r\n"
        'email,"x,,,\r\n'
        "email,a@example.org\r\n"
        "email,b@example.org,,because,\r\n"
    )

    answer = await send(tenant, text.encode() + b"email,caf\xe9@example.org,,,\n")

    told = answer.json
    assert (answer.status, told["rows"], told["kept"], told["rejected"]) == (200, 8, 2, 6)
    problems = {each["row"]: each["problem"] for each in told["problems"]}
    assert sorted(problems) == [2, 4, 5, 6, 7, 8]
    assert problems[2]["errors"][0]["pointer"] == "/recipient"
    assert problems[4]["errors"][0]["pointer"] == "/channel"
    assert "quote" in problems[5]["detail"]
    assert problems[6]["detail"] == "The row has 2 cells, and the head has 5."
    assert problems[7]["errors"][0]["pointer"] == "/reason"
    kept = {
        entry["recipient"]: entry for entry in (await tenant.get("/suppressions")).json["items"]
    }
    ada, phone = kept["ada@example.org"], kept["+4915112345678"]
    assert (ada["reason"], ada["note"], ada["source"]) == ("complaint", "she wrote", "import")
    assert (phone["topic"], phone["reason"]) == ("offers", "import")


async def test_a_row_says_more_than_the_query_and_the_query_more_than_nothing(tenant: Tenant):
    text = "recipient,reason\na@example.org,\nb@example.org,complaint\n"

    answer = await send(tenant, text, "?channel=email&topic=news&reason=hard_bounce")

    assert answer.json["kept"] == 2
    found = {
        entry["recipient"]: entry for entry in (await tenant.get("/suppressions")).json["items"]
    }
    assert {entry["topic"] for entry in found.values()} == {"news"}
    assert found["a@example.org"]["reason"] == "hard_bounce"
    assert found["b@example.org"]["reason"] == "complaint"


async def test_lines_of_json_are_read_too_and_a_file_twice_is_once(tenant: Tenant):
    lines = (
        "".join(
            json.dumps({"channel": "email", "recipient": f"u{n}@example.org"}) + "\n"
            for n in range(2_500)
        )
        + "[]\n{\n"
    )

    first = await send(tenant, lines, kind=NDJSON)
    again = await send(tenant, gzip.compress(lines.encode()), kind=NDJSON, Content_Encoding="gzip")

    assert (first.json["rows"], first.json["kept"], first.json["rejected"]) == (2_502, 2_500, 2)
    assert (again.status, again.json["kept"]) == (200, 2_500)
    assert len(await lines_of(tenant)) == 2_500


async def test_an_import_stops_what_is_on_its_way(tenant: Tenant):
    sent = (await tenant.post("/communications", email(send_at="2030-01-01T00:00:00Z"))).json["id"]

    answer = await send(tenant, "channel,recipient\nemail,ada@example.org\n")

    assert answer.json["stopped"] == 1
    assert (await tenant.get(f"/communications/{sent}")).json["status"] == "suppressed"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        ("channel,recipient\n", "empty"),
        ("channel,adress\nemail,a@example.org\n", "head_invalid"),
        ("recipient,recipient\na@b.example,a@b.example\n", "head_invalid"),
        ("channel\nemail\n", "head_invalid"),
    ],
)
async def test_a_file_that_is_no_list_is_refused_as_a_whole(tenant: Tenant, text, code):
    answer = await send(tenant, text)

    assert (answer.status, answer.pointers) == (422, {"": code})


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("?channel=fax", "channel"),
        ("?reason=because", "reason"),
        ("?topic=", "topic"),
        ("?chanel=email", "chanel"),
    ],
)
async def test_what_is_wrong_with_the_query_is_told_before_the_file_is_read(
    tenant: Tenant, query, pointer
):
    answer = await send(tenant, "recipient\na@example.org\n", query)

    assert (answer.status, list(answer.pointers)) == (422, [pointer])
    assert await lines_of(tenant) == []


async def test_another_kind_of_file_and_a_row_without_an_end_are_refused(tenant: Tenant):
    excel = await send(tenant, "x", kind={"Content-Type": "application/vnd.ms-excel"})
    long = await send(
        tenant, b"recipient\n" + b"a" * 70_000 + b"\nb@example.org\n", "?channel=email"
    )

    assert excel.status == 415
    assert (long.json["kept"], long.json["problems"][0]["problem"]["status"]) == (1, 413)


async def test_a9_no_cell_of_an_export_is_a_formula_unless_it_is_for_machines(tenant: Tenant):
    note = "=HYPERLINK(0)"
    await tenant.post("/suppressions", {"entries": [
        {"channel": "sms", "recipient": "+4915112345678", "topic": "@home", "note": note},
    ]})  # fmt: skip

    [safe], [raw] = await rows_of(tenant), await rows_of(tenant, "?raw=1")

    assert (safe["recipient"], safe["topic"], safe["note"]) == (
        "'+4915112345678", "'@home", f"'{note}",
    )  # fmt: skip
    assert (raw["recipient"], raw["topic"], raw["note"]) == ("+4915112345678", "@home", note)


@pytest.mark.parametrize("query", ["", "?raw=1", "?format=ndjson"])
async def test_what_was_exported_is_imported_as_it_was(tenant: Tenant, other: Tenant, query):
    entries = [
        {"channel": "sms", "recipient": "+4915112345678", "topic": "a, \"b\"", "note": "-1"},
        {"channel": "email", "recipient": "ada@example.org", "reason": "hard_bounce"},
        {"channel": "in_app", "recipient": "ädä", "reason": "unsubscribe", "topic": " x "},
    ]  # fmt: skip
    await tenant.post("/suppressions", {"entries": entries})
    file = (await tenant.get(f"/suppressions/export{query}")).body

    answer = await send(other, file, kind=NDJSON if "ndjson" in query else CSV)

    assert (answer.json["kept"], answer.json["rejected"]) == (3, 0), answer.json
    told = ("channel", "recipient", "topic", "reason", "note")
    mine, theirs = [
        sorted(str([entry[name] for name in told]) for entry in await lines_of(each))
        for each in (tenant, other)
    ]
    assert theirs == mine


async def test_a4_an_export_has_ones_own_entries_that_fit(tenant: Tenant, other: Tenant):
    await send(other, "recipient\nx@example.org\n", "?channel=email")
    await send(tenant, "recipient,topic\na@example.org,news\nb@example.org,\n", "?channel=email")

    assert len(await rows_of(tenant)) == 2
    assert [row["recipient"] for row in await rows_of(tenant, "?topic=news")] == ["a@example.org"]
    assert await rows_of(tenant, "?channel=sms") == []
    for query in ("?format=xml", "?raw=yes", "?channel=fax", "?limit=3"):
        assert (await tenant.get(f"/suppressions/export{query}")).status == 422


async def test_an_export_is_made_page_by_page(tenant: Tenant):
    text = "recipient\n" + "".join(f"u{n}@example.org\n" for n in range(2_100))
    await send(tenant, text, "?channel=email")

    rows = await rows_of(tenant)

    assert len({row["recipient"] for row in rows}) == len(rows) == 2_100
