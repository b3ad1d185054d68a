"""A file that an ingestion was interrupted in is read on as if nothing had been."""

import gzip
import io
import zipfile

import pytest

from cdp.file_formats.csv_rows import CsvReader
from cdp.file_formats.faults import FileRefused
from cdp.file_formats.ndjson_rows import NdjsonReader
from cdp.file_formats.reading import batches, kind_of, plain_bytes
from tests.unit.file_formats.sources import InMemory

TEXT = "email;note\r\n" + "".join(f'p{n}@example.org;"ü{n}\r\n{n}"\r\n' for n in range(6_000))


def packed(raw, form):
    if form == "gzip":
        return gzip.compress(raw)
    if form == "zip":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", raw)
        return file.getvalue()
    return raw


@pytest.mark.parametrize("form", ["plain", "gzip", "zip"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
async def test_a_crashed_ingestion_goes_on_at_its_checkpoint(form, encoding):
    source = InMemory(packed(TEXT.encode(encoding), form))
    reader = CsvReader()
    rows = [
        row async for some in batches(plain_bytes(source, bytes_max=10**8), reader) for row in some
    ]
    assert len(rows) == 6_000
    assert reader.layout is not None

    for at in (0, 1, 3_000, 5_999):
        position = rows[at].position
        resumed = CsvReader.resumed(reader.layout, position)
        chunks = plain_bytes(source, bytes_max=10**8, offset=position.offset)
        rest = [row async for some in batches(chunks, resumed) for row in some]

        assert rest == rows[at + 1 :]
    assert source.open == 0


async def test_a_plain_file_is_not_read_again_from_its_beginning():
    source = InMemory(TEXT.encode(), chunk=10_000)
    offset = source.size - 1_000

    chunks = [piece async for piece in plain_bytes(source, bytes_max=10**8, offset=offset)]

    assert b"".join(chunks) == source.raw[offset:]
    assert source.taken <= 11_000


@pytest.mark.parametrize("raw", [b"", b"a,b\n1,2\n"])
async def test_nothing_is_asked_for_behind_the_end(raw):
    chunks = plain_bytes(InMemory(raw), bytes_max=100, offset=len(raw))

    assert [piece async for piece in chunks] == []


async def test_batches_are_small_and_all_rows_come_before_a_refusal():
    source = InMemory(TEXT.encode() + b'"never closed\n')
    rows = []

    async def read():
        async for some in batches(plain_bytes(source, bytes_max=10**8), CsvReader()):
            rows.extend(some)
            assert len(some) < 6_000

    with pytest.raises(FileRefused) as caught:
        await read()

    assert caught.value.code == "quote_open"
    assert len(rows) == 6_000
    assert source.open == 0


async def test_who_stops_reading_leaves_nothing_open():
    source = InMemory(TEXT.encode(), chunk=70_000)
    reading = batches(plain_bytes(source, bytes_max=10**8), CsvReader())

    await anext(reading)
    await reading.aclose()

    assert source.open == 0


async def test_ndjson_is_read_from_gzip():
    source = InMemory(gzip.compress(b'{"a":1}\n{"a":2}\n'))

    chunks = plain_bytes(source, bytes_max=100)
    rows = [row.line async for some in batches(chunks, NdjsonReader()) for row in some]

    assert rows == [b'{"a":1}', b'{"a":2}']


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("people.csv", "csv"),
        ("PEOPLE.2026.CSV.GZ", "csv"),
        ("people.tsv.zip", "csv"),
        ("people.txt", "csv"),
        ("people.jsonl", "ndjson"),
        ("people.ndjson.gz", "ndjson"),
        ("people.zip", None),
        ("people.xlsx", None),
        ("people.csv.part", None),
        ("people", None),
        ("", None),
    ],
)
def test_a_name_says_what_the_rows_are(name, kind):
    assert kind_of(name) == kind
