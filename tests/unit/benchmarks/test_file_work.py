"""The benchmark of files compares like with like."""

import csv
import io
import json

from benchmarks import file_work, workload
from cdp.file_formats.columns import Columns, UploadDefaults
from cdp.file_formats.csv_rows import CsvReader
from cdp.http.communication_models import CommunicationIn
from cdp.http.json_input import validate
from cdp.rendering.needs import needs_of

COUNT = file_work.ROWS_AT_ONCE + 7
"""More than one piece of the file."""


def written(count: int, *, wrong_every: int = 0) -> tuple[bytes, int]:
    into = io.BytesIO()
    wrong = file_work.write_csv(into, count, wrong_every=wrong_every)
    return into.getvalue(), wrong


def test_a_row_makes_the_very_request_that_is_posted_in_a_batch():
    raw, wrong = written(COUNT)
    reader = CsvReader()
    rows = [*reader.feed(raw), *reader.end()]
    assert reader.layout is not None
    columns = Columns(reader.layout.header, UploadDefaults(**file_work.OPTIONS))

    made = [columns.request_of(row) for row in rows]

    posted = [item for body in file_work.batch_bodies(COUNT) for item in json.loads(body)]
    assert made == posted
    assert (len(made), wrong) == (COUNT, 0)
    validate(CommunicationIn, posted[0])


def test_the_template_needs_nothing_that_a_row_has_not():
    assert set(needs_of(dict(file_work.PARTS))) == set(file_work.DATA)


def test_batches_are_full_but_for_the_last():
    sizes = [len(json.loads(body)) for body in file_work.batch_bodies(1_201)]

    assert sizes == [500, 500, 201]


def test_every_so_many_th_row_is_wrong_and_the_others_are_as_they_were():
    right, _ = written(100)
    half, wrong = written(100, wrong_every=2)
    before, after = (
        list(csv.reader(io.StringIO(raw.decode(), newline=""))) for raw in (right, half)
    )

    assert wrong == 50
    assert [row[0] for row in after[2::2]] == [file_work.WRONG] * 50
    assert after[1::2] == before[1::2]
    assert [row[1:] for row in after] == [row[1:] for row in before]


def test_the_same_number_of_people_is_drawn_for_both():
    raw, _ = written(3)

    assert raw.count(b"\r\n") == 4
    assert [p.address.encode() in raw for p in workload.recipients(3)] == [True] * 3
