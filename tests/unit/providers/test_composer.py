import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cdp.domain.ids import ResultId
from cdp.ports.provider import EmailAddress, EmailMessage
from cdp.providers.email.composer import Composer
from tests.conformance.http_rigs import DATE
from tests.waiting import eventually

CALL: Any = "a call"
AT_ONCE = 2
BAD = 3


def messages(count: int) -> list[EmailMessage]:
    ada = EmailAddress(email="ada@example.org")
    return [
        EmailMessage(
            result_id=ResultId(number.to_bytes(16)),
            attempt=1,
            sender=ada,
            to=ada,
            subject=str(number),
            html=None,
            text="x",
            date=DATE,
            message_id="1@shop.example",
            return_path="bounces@shop.example",
        )
        for number in range(count)
    ]


class Pen:
    """Writes; in a thread only when it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.may.set()
        self.begun_in_thread: list[int] = []
        self.written_in_thread: list[int] = []
        self.written_here: list[int] = []

    def __call__(self, message: EmailMessage) -> bytes:
        number = int(message.subject)
        is_here = threading.current_thread() is threading.main_thread()
        if not is_here:
            self.begun_in_thread.append(number)
            assert self.may.wait(10)
        (self.written_here if is_here else self.written_in_thread).append(number)
        if number == BAD:
            raise ValueError("it can't be written")
        return b"%d" % number


@pytest.fixture
def pen() -> Pen:
    return Pen()


@pytest.fixture
def composer(pen: Pen) -> Iterator[Composer]:
    composer = Composer(pen, ahead_of=AT_ONCE)
    yield composer
    pen.may.set()
    composer.close()


async def test_a_batch_is_composed_in_the_thread_the_last_first(composer, pen):
    batch = messages(BAD)
    with composer.ahead(CALL, batch):
        await eventually(lambda: len(pen.written_in_thread) == len(batch), within_s=5)

        assert [composer.take(CALL, message) for message in batch] == [b"0", b"1", b"2"]

    assert pen.written_in_thread == [2, 1, 0]
    assert pen.written_here == []


async def test_whose_turn_comes_earlier_is_composed_on_the_spot_and_there_the_thread_ends(
    composer, pen
):
    first, second = messages(BAD), messages(BAD)
    pen.may.clear()
    with composer.ahead(CALL, first), composer.ahead("another call", second):
        await eventually(lambda: pen.begun_in_thread == [2], within_s=5)
        assert [composer.take(CALL, message) for message in first[:2]] == [b"0", b"1"]
        pen.may.set()
        # There is one thread: it has left the first batch when it has done with the second.
        await eventually(lambda: pen.written_in_thread == [2, 2, 1, 0], within_s=5)
        assert composer.take(CALL, first[2]) == b"2"

    assert pen.written_here == [0, 1]


async def test_a_call_that_is_over_is_composed_no_further(composer, pen):
    pen.may.clear()
    with composer.ahead(CALL, messages(BAD)):
        await eventually(lambda: pen.begun_in_thread == [2], within_s=5)
    pen.may.set()

    with composer.ahead(CALL, messages(BAD)):
        await eventually(lambda: pen.written_in_thread == [2, 2, 1, 0], within_s=5)


async def test_one_that_can_not_be_composed_says_so_when_its_turn_comes_and_fails_alone(
    composer, pen
):
    batch = messages(BAD + 2)
    with composer.ahead(CALL, batch):
        await eventually(lambda: len(pen.written_in_thread) == len(batch), within_s=5)

        with pytest.raises(ValueError, match="can't be written"):
            composer.take(CALL, batch[BAD])
        assert composer.take(CALL, batch[BAD - 1]) == b"2"


async def test_what_is_begun_at_once_anyway_needs_no_thread(composer, pen):
    batch = messages(AT_ONCE)
    with composer.ahead(CALL, batch):
        assert [composer.take(CALL, message) for message in batch] == [b"0", b"1"]

    assert pen.begun_in_thread == []


async def test_without_a_number_there_is_no_thread(pen):
    composer = Composer(pen, ahead_of=None)
    with composer.ahead(CALL, messages(BAD)):
        assert composer.take(CALL, messages(1)[0]) == b"0"

    assert pen.begun_in_thread == []
    composer.close()
