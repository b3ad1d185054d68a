"""What becomes of uploads over hours and days, with a clock that is told to move."""

from datetime import timedelta
from typing import Any

import asyncssh
import pytest
import pytest_asyncio

from cdp.errors import OutcomeUnknown
from cdp.sftp.handover import HandOver
from cdp.sftp.outputs import MADE_MAX, NEW_MAX_S, NEW_MIN_S, NEW_SHARE, ClientFiles, Outputs
from cdp.sftp.spool import REFUSALS_KEPT, Spool
from cdp.sftp.upload import Stage, Upload
from cdp.telemetry import Telemetry
from tests.integration.http.services import HeldClock
from tests.integration.sftp.rig import ROWS, Sftp, pieces


class Line:
    """A spool and a hand-over without a server, moved by hand."""

    def __init__(self, sftp: Sftp, clock: HeldClock) -> None:
        self.sftp = sftp
        self.clock = clock
        sftp.clock = clock
        self.spool = Spool(sftp.root, clock=clock, random_bytes=bytes_of())
        self.spool.open()
        self.handover = self.make()

    def make(self, files: Any = None) -> HandOver:
        return HandOver(
            spool=self.spool,
            files=files or self.sftp.files,
            listed=ClientFiles(self.sftp.files, self.clock),
            clock=self.clock,
            telemetry=Telemetry(),
        )

    async def upload(self, name: str, content: bytes, stage: Stage) -> Upload:
        """An upload that somebody has left at this stage."""
        account = await self.sftp.accounts.get(self.sftp.client.id, self.sftp.name)
        upload = await self.spool.create(account, name)
        self.spool.data(upload).write_bytes(content)
        self.spool.resize(upload, len(content))
        upload.is_being_written = False
        await self.spool.move(upload, stage)
        return upload

    async def after(self, **time: float) -> None:
        self.clock.advance(timedelta(**time))
        await self.handover.tick()
        await self.handover.drain(within_s=10)

    async def names(self) -> list[str]:
        return [file.name for file in await self.sftp.taken()]

    def reasons(self, upload: Upload) -> list[str]:
        return [refusal.text for refusal in self.spool.refusals(upload.account_id)]


def bytes_of():
    """Numbers that rise, so that ids do within one held moment."""
    numbers = iter(range(1, 10_000))
    return lambda count: next(numbers).to_bytes(count, "big")


@pytest_asyncio.fixture
async def line(stopped: Sftp):
    line = Line(stopped, HeldClock())
    yield line
    line.spool.close()


async def test_f3_a_closed_file_counts_after_ten_seconds(line: Line):
    await line.upload("a.csv", ROWS, Stage.CLOSED)

    await line.after(seconds=9.9)
    assert await line.names() == []
    await line.after(seconds=0.2)
    assert await line.names() == ["a.csv"]


async def test_what_is_never_finished_goes_after_a_day_with_a_reason(line: Line):
    cut = await line.upload("a.csv", ROWS, Stage.OPEN)
    await line.upload("b.csv.part", ROWS, Stage.CLOSED)

    await line.after(hours=23.9)
    assert len(line.spool.uploads(cut.account_id)) == 2
    await line.after(hours=0.2)

    assert line.spool.uploads(cut.account_id) == []
    assert ["never finished" in reason for reason in line.reasons(cut)] == [True, True]
    assert await line.names() == []
    await line.after(days=REFUSALS_KEPT.days + 1)
    assert line.reasons(cut) == []
    assert [path for path in line.sftp.root.glob("*/*") if path.is_file()] == []


async def test_a_file_waits_for_a_platform_that_has_no_room(line: Line):
    line.sftp.store.is_away = True
    await line.upload("a.csv", ROWS, Stage.COMPLETE)
    for _ in range(5):
        await line.after(seconds=61)
    line.sftp.store.is_away = False

    await line.after(seconds=1)
    assert await line.names() == []
    await line.after(seconds=61)
    assert await line.names() == ["a.csv"]


class Forgetful:
    """A `FileService` whose answer is lost: before it stored anything, or after."""

    def __init__(self, inner, *, stores: bool) -> None:
        self._inner = inner
        self._stores = stores

    async def take(self, *arguments):
        if self._stores:
            await self._inner.take(*arguments)
        raise OutcomeUnknown

    async def page(self, *arguments, **named):
        return await self._inner.page(*arguments, **named)


@pytest.mark.parametrize("stores", [False, True])
async def test_a_lost_answer_makes_one_file(line: Line, stores: bool):
    upload = await line.upload("a.csv", ROWS, Stage.COMPLETE)
    line.handover = line.make(Forgetful(line.sftp.files, stores=stores))
    await line.after(seconds=0)
    assert upload.stage is Stage.HANDING
    line.handover = line.make()

    await line.after(seconds=1)

    assert await line.names() == ["a.csv"]
    assert line.reasons(upload) == []
    assert line.spool.uploads(upload.account_id) == []


async def test_bytes_that_were_noted_and_never_became_a_file_are_taken(line: Line):
    """Whoever took them died between the digest's note and the file."""
    upload = await line.upload("a.csv", ROWS, Stage.COMPLETE)
    await line.spool.move(upload, Stage.HANDING)
    await line.after(seconds=1)
    assert await line.names() == ["a.csv"]
    [file] = await line.sftp.taken()
    await line.sftp.database["files"].delete_one({"_id": file.id})
    again = await line.upload("a.csv", ROWS, Stage.COMPLETE)
    await line.spool.move(again, Stage.HANDING)

    await line.after(seconds=1)

    assert await line.names() == ["a.csv"]
    assert line.reasons(again) == []


async def test_a_double_is_a_double_also_after_a_crash(line: Line):
    await line.upload("a.csv", ROWS, Stage.COMPLETE)
    await line.after(seconds=1)
    line.clock.advance(timedelta(hours=1))
    double = await line.upload("a.csv", ROWS, Stage.COMPLETE)
    await line.spool.move(double, Stage.HANDING)

    await line.after(seconds=1)

    assert await line.names() == ["a.csv"]
    [reason] = line.reasons(double)
    assert "same bytes" in reason


async def test_one_accounts_files_go_one_after_the_other_in_their_order(line: Line):
    for name in ("a", "b", "c"):
        await line.upload(name, name.encode(), Stage.COMPLETE)
    for taken in range(1, 4):
        await line.after(seconds=0.25)
        assert len(await line.names()) == taken
    assert sorted(await line.names()) == ["a", "b", "c"]


async def test_what_is_made_to_be_fetched_has_an_end_too(line: Line):
    outputs, account_id = Outputs(line.spool, line.clock), b"a" * 16

    async def make(key: str, size: int):
        return await outputs.make(
            account_id, key, lambda: pieces(bytes(size)), bytes_max=MADE_MAX * 10
        )

    def on_disk() -> int:
        return len(list(line.spool.outputs(account_id).iterdir()))

    for number in range(MADE_MAX + 5):
        await make(f"k{number}", 1)
    assert on_disk() == MADE_MAX
    large = await make("large", MADE_MAX * 10)
    assert on_disk() == 1
    handle = outputs.read(account_id, large)
    with pytest.raises(asyncssh.SFTPQuotaExceeded):
        await make("more", 1)
    await handle.close(is_clean=True)
    await make("more", 1)
    line.clock.advance(timedelta(minutes=2))
    outputs.sweep()
    assert on_disk() == 0


async def test_what_is_made_stays_the_same_for_as_long_as_making_it_is_worth(line: Line):
    outputs, account_id = Outputs(line.spool, line.clock), b"a" * 16
    made_in_s = 0.0

    async def rows():
        line.clock.advance(timedelta(seconds=made_in_s))
        yield str(line.clock.monotonic()).encode()

    async def is_made_anew(*, after_s: float) -> bool:
        before = await outputs.make(account_id, "results", rows, bytes_max=1_000)
        line.clock.advance(timedelta(seconds=after_s))
        return await outputs.make(account_id, "results", rows, bytes_max=1_000) is not before

    assert not await is_made_anew(after_s=NEW_MIN_S - 1)
    assert await is_made_anew(after_s=NEW_MIN_S + 1)
    made_in_s = 1.0
    assert await is_made_anew(after_s=NEW_MIN_S + 1)
    assert not await is_made_anew(after_s=NEW_SHARE - 1)
    assert await is_made_anew(after_s=NEW_SHARE + 1)
    made_in_s = 3_600.0
    line.clock.advance(timedelta(seconds=NEW_MAX_S))
    assert not await is_made_anew(after_s=NEW_MAX_S - 1)
    assert await is_made_anew(after_s=NEW_MAX_S + 1)
