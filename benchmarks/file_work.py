"""The same requests as rows of a CSV and as items of a batch, and a file sent and waited for.

A row has no lists, so it is the workload's recipients with what of their data is one value. A unit
test holds the two forms against each other.
"""

import asyncio
import csv
import io
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import aiohttp

from benchmarks import workload
from benchmarks.platform import BATCH
from benchmarks.tools import ServiceFailed

TEMPLATE: Final = "order-short"
PARTS: Final[Mapping[str, str]] = {
    "subject": "{{ first_name }}, order {{ order_number }} is on its way",
    "text": "Order {{ order_number }} left {{ warehouse }} and is in {{ city }} in {{ days }} days."
    " You have {{ points }} points.",
}
OPTIONS: Final[Mapping[str, str]] = {
    "channel": workload.CHANNEL,
    "template": TEMPLATE,
    "campaign": workload.CAMPAIGN,
    "priority": "normal",
}
DATA: Final = ("first_name", "order_number", "warehouse", "city", "days", "points")
HEADER: Final = ("email", "name", "locale", "timezone", "reference", "metadata.source", *DATA)
SOURCE: Final = "benchmark"
WRONG: Final = "nobody"
"""No address: the row is rejected."""
ROWS_AT_ONCE: Final = 5_000
POLL_S: Final = 0.25
CONNECT_S: Final = 30.0
ENDED: Final = frozenset({"done", "failed", "cancelled"})


def row_of(person: workload.Recipient, index: int) -> list[str]:
    """A row of the file."""
    data = [str(person.data[name]) for name in DATA]
    begin = [person.address, person.name, person.locale, person.timezone]
    return [*begin, f"order-{index}", SOURCE, *data]


def request_of(person: workload.Recipient, index: int) -> dict[str, Any]:
    """The request that the row makes, as a caller would post it."""
    return {
        "to": [
            {
                "email": person.address,
                "name": person.name,
                "locale": person.locale,
                "timezone": person.timezone,
                "data": {name: str(person.data[name]) for name in DATA},
            }
        ],
        "reference": f"order-{index}",
        "metadata": {"source": SOURCE},
        **OPTIONS,
    }


def batch_bodies(count: int) -> Iterator[bytes]:
    """So many requests as JSON arrays of `BATCH`."""
    items: list[dict[str, Any]] = []
    for index, person in enumerate(workload.recipients(count)):
        items.append(request_of(person, index))
        if len(items) == BATCH or index == count - 1:
            yield json.dumps(items, ensure_ascii=False, separators=(",", ":")).encode()
            items = []


def write_csv(into: BinaryIO, count: int, *, wrong_every: int = 0) -> int:
    """Write a file of so many rows; how many of them are wrong.

    Args:
        into: where to.
        count: of rows.
        wrong_every: of so many rows the last one has no address; 0 leaves all right.
    """
    wrong = 0
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    for index, person in enumerate(workload.recipients(count)):
        row = row_of(person, index)
        if wrong_every and (index + 1) % wrong_every == 0:
            row[0], wrong = WRONG, wrong + 1
        writer.writerow(row)
        if (index + 1) % ROWS_AT_ONCE == 0:
            into.write(text.getvalue().encode())
            text.seek(0)
            text.truncate()
    into.write(text.getvalue().encode())
    return wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRun:
    """What became of one file."""

    rows: int
    accepted: int
    rejected: int
    seconds: float
    """From the first byte that was posted until its last row was decided on, and durable."""
    upload_s: float
    """Of it, until the answer 202."""
    reading_s: float
    """Of it, from the moment when somebody began to read it."""

    @property
    def per_s(self) -> float:
        """Rows a second, from the first byte posted."""
        return self.rows / self.seconds


async def send_file(
    api: str, headers: Mapping[str, str], path: Path, *, within_s: float
) -> FileRun:
    """POST a CSV with `OPTIONS`, and wait until it is done.

    Both clocks are this machine's: the end is the one that the platform has noted.

    Raises:
        ServiceFailed: it was refused, has failed, or was not done in time.
    """
    timeout = aiohttp.ClientTimeout(total=within_s, sock_connect=CONNECT_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        began, started = time.time(), time.perf_counter()
        with path.open("rb") as content:
            file = await _answer(
                session.post(
                    f"{api}/files",
                    params={**OPTIONS, "name": path.name, "force": "true"},
                    data=content,
                    headers={"Content-Type": "text/csv"},
                )
            )
        upload_s = time.perf_counter() - started
        while file["state"] not in ENDED:
            if time.perf_counter() - started > within_s:
                raise ServiceFailed(f"a file is {file['state']} after {within_s} s: {file['rows']}")
            await asyncio.sleep(POLL_S)
            file = await _answer(session.get(f"{api}/files/{file['id']}"))
    if file["state"] != "done":
        raise ServiceFailed(f"a file is {file['state']}: {file['reason']}, {file['detail']}")
    ended = _seconds(file["ended_at"])
    return FileRun(
        rows=file["rows"]["read"],
        accepted=file["rows"]["accepted"],
        rejected=file["rows"]["rejected"],
        seconds=ended - began,
        upload_s=upload_s,
        reading_s=ended - _seconds(file["started_at"]),
    )


async def _answer(sent: Any) -> dict[str, Any]:
    try:
        async with sent as answer:
            if answer.status >= 300:
                raise ServiceFailed(f"{answer.method} {answer.url.path}: {await answer.text()}")
            body: dict[str, Any] = await answer.json()
            return body
    except aiohttp.ClientError as error:
        raise ServiceFailed(f"the API went away: {type(error).__name__}") from error


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
