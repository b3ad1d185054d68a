"""The example uploads are read, and say one thing in every format."""

import json
from pathlib import Path

import pytest

from cdp.file_formats.columns import Columns, UploadDefaults
from cdp.file_formats.csv_rows import CsvReader
from cdp.file_formats.ndjson_rows import NdjsonReader
from cdp.file_formats.reading import batches, plain_bytes
from cdp.http.communication_models import CommunicationIn
from cdp.http.json_input import loads, validate
from tests.unit.file_formats.sources import InMemory

UPLOADS = Path(__file__).parents[3] / "examples" / "uploads"


async def requests_of(name, defaults):
    """The requests that a file of CSV makes."""
    reader = CsvReader()
    source = InMemory((UPLOADS / name).read_bytes())
    made = []
    async for rows in batches(plain_bytes(source, bytes_max=10**6), reader):
        assert reader.layout is not None
        columns = Columns(reader.layout.header, defaults)
        made += [columns.request_of(row) for row in rows]
    for request in made:
        assert isinstance(request, dict)
        validate(CommunicationIn, request)
    return made


@pytest.mark.parametrize("name", ["appointments.csv", "appointments.csv.gz", "appointments.zip"])
async def test_the_appointments_are_the_same_in_every_format(name):
    source = InMemory((UPLOADS / "appointments.ndjson").read_bytes())
    lines = [
        row.line
        async for rows in batches(plain_bytes(source, bytes_max=10**6), NdjsonReader())
        for row in rows
    ]

    made = await requests_of(name, UploadDefaults(channel="email", template="appointment"))

    assert len(lines) == 4
    assert made == [loads(line) for line in lines] == [json.loads(line) for line in lines]


async def test_one_file_may_be_for_every_channel():
    made = await requests_of("every-channel.csv", UploadDefaults())

    assert [request["channel"] for request in made] == ["email", "sms", "in_app"]
    assert made[2]["to"] == [
        {"user": "hana-17", "data": {"email": "hana@example.org", "first_name": "花"}}
    ]


async def test_the_spring_campaign_is_an_upload():
    defaults = UploadDefaults(channel="email", template="spring", campaign="spring")
    reader = CsvReader()
    raw = (UPLOADS.parent / "spring-campaign.csv").read_bytes()
    rows = [*reader.feed(raw), *reader.end()]
    assert reader.layout is not None

    made = [Columns(reader.layout.header, defaults).request_of(row) for row in rows[:100]]

    assert len(rows) == 5_000
    assert all(isinstance(request, dict) for request in made)
