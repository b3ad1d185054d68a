from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cdp.domain.file_turn import TRIES_MAX
from cdp.domain.ids import ClientId
from cdp.domain.request_file import (
    ENDED,
    Checkpoint,
    FileCounts,
    FileSource,
    FileState,
    Incoming,
    RequestFile,
    advanced,
    arrived,
    begun,
    cancelled,
    failed,
    held_up,
    read_through,
    seconds_left,
    started,
    stumbled,
    taken_in,
)
from cdp.errors import Conflict

S = FileState
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
FILE = RequestFile(
    id=b"f" * 16, client_id=ClientId(b"c" * 16), name="people.csv", source=FileSource.API,
    size=1_000, digest=b"d" * 32, state=S.WAITING, created_at=NOW, updated_at=NOW,
)  # fmt: skip


def checkpoint(accepted: int, rejected: int = 0) -> Checkpoint:
    counts = FileCounts().plus(accepted=accepted, rejected=rejected)
    return Checkpoint(counts=counts, position={"offset": 7}, parts=int(rejected > 0))


def test_a_file_is_read_once_and_is_done():
    file = begun(FILE, at=LATER)
    file = advanced(file, checkpoint(3, 1), at=LATER)
    file = read_through(file, at=LATER)

    assert (file.state, file.started_at, file.ended_at) == (S.DONE, LATER, LATER)
    assert file.checkpoint.counts == FileCounts(rows=4, accepted=3, rejected=1)
    assert file.version == 4


def test_a_strict_file_is_looked_at_before_the_first_row_is_sent():
    file = begun(replace(FILE, is_strict=True), at=LATER)
    assert file.state is S.CHECKING
    file = advanced(file, checkpoint(4), at=LATER)
    assert file.checkpoint == Checkpoint()
    file = read_through(file, at=LATER)
    assert file.state is S.INGESTING
    file = read_through(advanced(file, checkpoint(4), at=LATER), at=LATER)
    assert (file.state, file.checkpoint) == (S.DONE, checkpoint(4))


def test_a_strict_file_with_a_wrong_row_sends_nothing_and_says_so():
    file = begun(replace(FILE, is_strict=True), at=LATER)
    file = read_through(advanced(file, checkpoint(4, 2), at=LATER), at=LATER)

    assert (file.state, file.reason) == (S.FAILED, "rows_rejected")
    assert file.detail == "2 of 6 rows are wrong, and it is strict."
    assert file.checkpoint.counts.rejected == 2


def test_who_goes_on_changes_nothing_by_that():
    file = begun(FILE, at=LATER)

    assert begun(file, at=LATER + timedelta(hours=1)) is file


def test_what_is_held_waits_once_it_is_started():
    held = replace(FILE, state=S.HELD)

    assert started(held, at=LATER).state is S.WAITING
    assert started(FILE, at=LATER) is FILE


@pytest.mark.parametrize("is_held", [False, True])
def test_what_is_awaited_is_taken_in_and_goes_on_as_its_sender_has_said(is_held):
    incoming = Incoming(key="arrivals/a", until=LATER, is_held=is_held)
    file = replace(FILE, state=S.AWAITED, size=0, digest=b"", incoming=incoming)
    come = arrived(file, at=LATER)
    assert come.state is S.RECEIVING
    assert arrived(come, at=LATER) is come

    taken = taken_in(come, copy="ab", size=9, digest=b"d" * 32, at=LATER)

    assert taken.state is (S.HELD if is_held else S.WAITING)
    assert (taken.size, taken.digest, taken.version) == (9, b"d" * 32, 3)
    assert taken.key == f"files/{b'c'.hex() * 16}/{b'f'.hex() * 16}/source-ab"
    assert taken.key.startswith(taken.copies)
    assert not taken.key.startswith(FILE.rejects_key(0))


def test_to_start_what_is_being_taken_in_lets_nothing_go_that_is_held():
    come = replace(FILE, state=S.RECEIVING, incoming=Incoming(key="arrivals/a", is_held=True))

    assert started(come, at=LATER) is come


@pytest.mark.parametrize(
    "state", [S.AWAITED, S.RECEIVING, S.HELD, S.WAITING, S.CHECKING, S.INGESTING]
)
def test_what_has_not_ended_can_be_taken_back(state):
    file = cancelled(replace(FILE, state=state), at=LATER)

    assert (file.state, file.ended_at) == (S.CANCELLED, LATER)
    assert cancelled(file, at=LATER) is file


@pytest.mark.parametrize("state", sorted({*ENDED, S.AWAITED}))
def test_what_has_ended_or_has_not_come_can_not_be_started(state):
    with pytest.raises(Conflict):
        started(replace(FILE, state=state), at=LATER)


@pytest.mark.parametrize("state", [S.DONE, S.FAILED])
def test_what_is_over_can_not_be_taken_back(state):
    with pytest.raises(Conflict):
        cancelled(replace(FILE, state=state), at=LATER)


def test_a_failure_says_why():
    file = failed(begun(FILE, at=NOW), reason="nul", detail="There is a NUL.", at=LATER)

    assert (file.state, file.reason, file.detail) == (S.FAILED, "nul", "There is a NUL.")


def test_how_long_it_takes_is_said_by_the_pace_so_far():
    file = begun(FILE, at=NOW)

    assert seconds_left(file, bytes_done=250, now=LATER) == 180
    assert seconds_left(file, bytes_done=5, now=LATER) is None
    assert seconds_left(FILE, bytes_done=250, now=LATER) is None


def test_a_file_is_given_up_after_so_many_tries_without_a_step_ahead():
    file = advanced(begun(FILE, at=LATER), checkpoint(5), at=LATER)
    for tries in range(1, TRIES_MAX):
        file = stumbled(file, reason="internal_error", why="It broke.", at=LATER)
        assert (file.state, file.tries) == (S.INGESTING, tries)

    file = stumbled(file, reason="internal_error", why="It broke.", at=LATER)

    assert (file.state, file.reason, file.ended_at) == (S.FAILED, "internal_error", LATER)
    assert file.detail is not None
    assert file.detail.startswith("It broke. It was tried 12 times. Rows up to 5 are decided on")
    assert file.version == 3 + TRIES_MAX


def test_a_step_ahead_makes_up_for_what_was_before():
    file = begun(FILE, at=LATER)
    file = held_up(stumbled(file, reason="internal_error", why="It broke.", at=LATER), at=LATER)
    assert (file.tries, file.outages) == (1, 1)

    file = advanced(file, checkpoint(5), at=LATER)

    assert (file.tries, file.outages) == (0, 0)


def test_outages_never_end_a_file():
    file = begun(FILE, at=LATER)
    for _ in range(10 * TRIES_MAX):
        file = held_up(file, at=LATER)

    assert (file.state, file.tries) == (S.INGESTING, 0)


@pytest.mark.parametrize(
    ("file", "ended_early"),
    [
        (FILE, False),
        (cancelled(FILE, at=LATER), False),
        (cancelled(begun(FILE, at=LATER), at=LATER), True),
        (failed(begun(FILE, at=LATER), reason="nul", detail="", at=LATER), True),
        (read_through(begun(FILE, at=LATER), at=LATER), False),
    ],
)
def test_a_file_has_ended_early_if_it_had_begun_and_is_not_done(file, ended_early):
    assert file.ended_early is ended_early
