"""The spool: what it knows after a start is what was kept, and one gateway has it."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cdp.domain.ids import ClientId
from cdp.domain.sftp_account import SftpAccount
from cdp.ports.clock import SystemClock
from cdp.sftp.spool import Spool, SpoolTaken
from cdp.sftp.upload import Stage

AT = datetime(2030, 1, 1, tzinfo=UTC)
ACCOUNT = SftpAccount(
    id=b"a" * 16,
    client_id=ClientId(b"c" * 16),
    name="acme",
    keys=(),
    defaults={"template": "welcome"},
    created_at=AT,
    updated_at=AT,
)


def opened(root: Path, **limits: Any) -> Spool:
    spool = Spool(root, clock=SystemClock(), random_bytes=os.urandom, **limits)
    spool.open()
    return spool


async def test_what_is_kept_of_uploads_outlasts_the_gateway(tmp_path):
    spool = opened(tmp_path)
    for name, stage in (("a", Stage.OPEN), ("b", Stage.COMPLETE), ("c", Stage.HANDING)):
        upload = await spool.create(ACCOUNT, f"{name}.part")
        spool.data(upload).write_bytes(b"12345")
        await spool.move(upload, stage, name=name)
    before = spool.uploads(ACCOUNT.id)
    spool.close()

    again = opened(tmp_path)

    found = again.uploads(ACCOUNT.id)
    assert [(u.id, u.name, u.stage, u.touched_at, u.options) for u in found] == [
        (u.id, u.name, u.stage, u.touched_at, {"template": "welcome"}) for u in before
    ]
    assert again.used(ACCOUNT.id) == (15, 3)
    assert not any(upload.is_being_written for upload in found)
    assert [again.find(ACCOUNT.id, name) is not None for name in "abc"] == [True, False, False]
    again.close()


async def test_halves_of_a_crash_are_swept_and_what_is_damaged_stays(tmp_path):
    spool = opened(tmp_path)
    upload = await spool.create(ACCOUNT, "a")
    folder = spool.data(upload).parent
    spool.close()
    (folder / f"{'1' * 32}.data").write_bytes(b"no note")
    (folder / f"{'2' * 32}.json.new").write_bytes(b"{")
    (folder / f"{'3' * 32}.json").write_bytes(b"{")
    (folder / f"{'3' * 32}.data").write_bytes(b"x")
    (tmp_path / "lost+found").mkdir()

    again = opened(tmp_path)

    assert [each.name for each in again.uploads(ACCOUNT.id)] == ["a"]
    left = sorted(path.name[:1] for path in folder.iterdir() if path.name[0] in "123")
    assert left == ["3", "3"]
    again.close()


async def test_a_note_that_can_not_be_kept_changes_nothing(tmp_path):
    spool = opened(tmp_path)
    upload = await spool.create(ACCOUNT, "a.part")
    note = spool.data(upload).with_suffix(".json")
    note.unlink()
    note.mkdir()

    with pytest.raises(OSError, match="directory"):
        await spool.move(upload, Stage.COMPLETE, name="a")

    assert (upload.stage, upload.name) == (Stage.OPEN, "a.part")
    spool.close()


def test_two_gateways_do_not_share_a_spool(tmp_path):
    spool = opened(tmp_path)
    with pytest.raises(SpoolTaken):
        opened(tmp_path)
    spool.close()

    opened(tmp_path).close()


async def test_so_many_reasons_are_kept(tmp_path):
    spool = opened(tmp_path, refusals_max=3)
    for number in range(5):
        upload = await spool.create(ACCOUNT, f"f{number}")
        await spool.refuse(upload, "no")
    assert len(spool.refusals(ACCOUNT.id)) == 3
    spool.close()

    again = opened(tmp_path)

    assert len(again.refusals(ACCOUNT.id)) == 3
    assert again.used(ACCOUNT.id) == (0, 0)
    again.close()
