"""Files in the rules' tests: sent as by the API, worked on as by one ingestion, and its books."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from cdp.domain.client import Client
from cdp.domain.ids import EPOCH, BatchId
from cdp.domain.request_file import ENDED, FileSource, RequestFile
from cdp.ports.clock import SystemClock
from cdp.services.file_ingestion_service import FileIngestionService
from cdp.services.file_service import NewFile
from cdp.storage.batches import Batch, Batches
from cdp.wiring import Wiring
from tests.integration.rules.rig import Rig

OPTIONS = {"channel": "email", "template": "hello"}
ROWS = 4_500
"""More than two stretches."""


def people(count: int, *, broken: int = 0) -> bytes:
    """So many rows, of which every so many-th has no address."""
    lines = ["email,name,city"]
    for n in range(1, count + 1):
        address = "nobody" if broken and n % broken == 0 else f"p{n}@example.org"
        lines.append(f"{address},Person {n},Lyon")
    return "\r\n".join(lines).encode() + b"\r\n"


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(content), 100_000):
        yield content[begin : begin + 100_000]


async def shop(rig: Rig, wiring: Wiring) -> Client:
    client = await rig.client(wiring)
    await rig.template(wiring, client.id, "hello", subject="Hi", text="Hello {{ city }}")
    return client


async def sent(
    wiring: Wiring, client: Client, content: bytes, *, name: str = "people.csv", **fields: Any
) -> RequestFile:
    options = fields.pop("options", OPTIONS)
    new = NewFile(name=name, source=FileSource.API, options=options, **fields)
    return await wiring.file_service().take(client.id, new, chunks(content))


def ingestion(wiring: Wiring) -> FileIngestionService:
    return wiring.file_ingestion_service(backlog=wiring.backlog(), hint=lambda _: None)


async def worked(
    wiring: Wiring, file: RequestFile, by: FileIngestionService | None = None
) -> RequestFile:
    """The file when it has ended."""
    service = by or ingestion(wiring)
    for _ in range(20):
        await service.step()
        now = await wiring.file_service().get(file.client_id, file.id)
        if now.state in ENDED:
            return now
    raise AssertionError(f"the file is still {now.state}")


async def table(pieces: AsyncIterator[bytes]) -> list[dict[str, str]]:
    text = b"".join([piece async for piece in pieces]).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def stored_of(wiring: Wiring, file: RequestFile) -> int:
    query = {"client_id": file.client_id, "batch_id": file.id}
    return await wiring.database.raw["delivery_results"].count_documents(query)


async def as_it_is(wiring: Wiring, file: RequestFile) -> RequestFile:
    """The file as it is stored now."""
    return await wiring.file_service().get(file.client_id, file.id)


async def batch_of(wiring: Wiring, file: RequestFile) -> Batch:
    """The batch that its rows are."""
    batch = await Batches(wiring.database).of_client(file.client_id, BatchId(file.id))
    assert batch is not None
    return batch


async def rested(rig: Rig) -> None:
    """Let the rest of every file be over, and the leases of who died."""
    await rig.admin["files"].update_many({}, {"$set": {"lease_until": EPOCH}})


class LaterClock(SystemClock):
    """The machine's clock, which a test may let run ahead."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> datetime:
        """See `Clock.now`."""
        return super().now() + timedelta(seconds=self.ahead_s)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return super().monotonic() + self.ahead_s


class Died(BaseException):
    """A process is killed here."""
