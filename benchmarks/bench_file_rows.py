"""How many rows of CSV are read, and become requests, a second, beside `csv.DictReader`?

All read the same bytes of ten short columns in UTF-8, in chunks of a mebibyte as a store gives
them; in turn, seven rounds, the median counts. The peer makes a dict of each row and keeps no
position; ours bounds rows, checks them, and knows where each one ends. `requests` has the columns
put into the object of a POST too.
Prints: rows a second of CPU for each, and the ratios.
"""

import csv
import io
import time
from collections.abc import Callable
from typing import Final

from benchmarks.findings import Finding, median
from benchmarks.stage import Benchmark, Stage, main
from benchmarks.tools import number
from cdp.file_formats.columns import Columns, UploadDefaults
from cdp.file_formats.csv_rows import CsvReader

ROUNDS: Final = 7
ROWS: Final = 300_000
CHUNK_BYTES: Final = 1024 * 1024
ROWS_FLOOR, ROWS_AIM = 150_000, 400_000
REQUESTS_FLOOR, REQUESTS_AIM = 60_000, 120_000
HEADER: Final = b"email,first,last,locale,plan,points,city,gift,code,day\r\n"
ROW: Final = b"person%d@example.org,Ada,Lovelace,en,premium,%d,London,yes,spring,2026-11-27\r\n"


def file_of(rows: int) -> bytes:
    """A file of so many rows."""
    return HEADER + b"".join(ROW % (n, n) for n in range(rows))


def read_rows(raw: bytes) -> int:
    """Read it as an ingestion does; how many rows there were."""
    reader, count = CsvReader(), 0
    for at in range(0, len(raw), CHUNK_BYTES):
        for _ in reader.feed(raw[at : at + CHUNK_BYTES]):
            count += 1
    return count + sum(1 for _ in reader.end())


def make_requests(raw: bytes) -> int:
    """The same, and make a request of each row."""
    reader, count = CsvReader(), 0
    columns: Columns | None = None
    defaults = UploadDefaults(channel="email", template="spring")
    for at in range(0, len(raw), CHUNK_BYTES):
        for row in reader.feed(raw[at : at + CHUNK_BYTES]):
            if columns is None:
                assert reader.layout is not None
                columns = Columns(reader.layout.header, defaults)
            assert isinstance(columns.request_of(row), dict)
            count += 1
    return count + sum(1 for _ in reader.end())


def read_dicts(raw: bytes) -> int:
    """What is usually written instead."""
    text = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig", newline="")
    return sum(1 for _ in csv.DictReader(text, strict=True))


async def measure(stage: Stage) -> list[Finding]:
    """Time all in turn, and judge."""
    raw = file_of(ROWS // 10 if stage.quick else ROWS)
    sides = {"rows": read_rows, "requests": make_requests, "DictReader": read_dicts}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, read in sides.items():
            rates[name].append(_rate(read, raw))
    per_s = {name: median(each) for name, each in rates.items()}
    print(", ".join(f"{name} {number(each)}/s" for name, each in per_s.items()))
    return [
        _finding("rows of CSV", per_s["rows"], per_s["DictReader"], ROWS_FLOOR, ROWS_AIM),
        _finding(
            "rows of CSV as requests",
            per_s["requests"],
            per_s["DictReader"],
            REQUESTS_FLOOR,
            REQUESTS_AIM,
        ),
    ]


def _rate(read: Callable[[bytes], int], raw: bytes) -> float:
    started = time.process_time()
    count = read(raw)
    return count / (time.process_time() - started)


def _finding(benchmark: str, ours: float, peer: float, floor: int, aim: int) -> Finding:
    return Finding(
        benchmark=benchmark,
        result=f"{number(ours)}/s",
        peer=f"DictReader {number(peer)}/s",
        ratio=ours / peer,
        floor=f"{floor:,}/s",
        aim=f"{aim:,}/s",
        floor_met=ours >= floor,
        aim_met=ours >= aim,
    )


BENCHMARK: Final = Benchmark(name="file_rows", measure=measure)

if __name__ == "__main__":
    main(BENCHMARK)
