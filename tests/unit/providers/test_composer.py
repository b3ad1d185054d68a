import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from cdp.providers.email.composer import TOGETHER, Composer
from tests.waiting import eventually


class Pen:
    """Writes in a thread, when it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.may.set()
        self.begun: list[Any] = []
        self.written: list[Any] = []
        self.threads: set[int] = set()

    def __call__(self, message: Any) -> bytes:
        self.begun.append(message)
        assert self.may.wait(10)
        self.threads.add(threading.get_ident())
        self.written.append(message)
        if message == "bad":
            raise ValueError("it can't be written")
        return str(message).encode()


@pytest.fixture
def pen() -> Pen:
    return Pen()


@pytest_asyncio.fixture
async def composer(pen: Pen) -> AsyncIterator[Any]:
    composer = Composer(pen)
    yield composer
    pen.may.set()
    composer.close()


async def test_each_gets_its_own_and_all_are_written_by_one_thread_in_their_order(composer, pen):
    names = [str(n) for n in range(5 * TOGETHER + 1)]

    made = await asyncio.gather(*(composer.compose(name) for name in names))

    assert made == [name.encode() for name in names]
    assert pen.written == names
    assert len(pen.threads) == 1
    assert threading.get_ident() not in pen.threads


async def test_the_event_loop_goes_on_meanwhile_and_what_is_asked_then_is_written(composer, pen):
    pen.may.clear()
    asked = [asyncio.create_task(composer.compose("a"))]
    await eventually(lambda: pen.begun == ["a"], within_s=5)
    asked.append(asyncio.create_task(composer.compose("b")))
    await eventually(lambda: len(composer._waiting) == 1, within_s=5)

    assert not any(task.done() for task in asked)
    pen.may.set()
    assert await asyncio.gather(*asked) == [b"a", b"b"]
    assert await composer.compose("c") == b"c"


async def test_one_that_can_not_be_written_fails_alone(composer):
    made = await asyncio.gather(
        *(composer.compose(name) for name in ("a", "bad", "b")), return_exceptions=True
    )

    assert (made[0], made[2]) == (b"a", b"b")
    assert isinstance(made[1], ValueError)


async def test_who_asks_no_longer_takes_nobody_with_it(composer, pen):
    pen.may.clear()
    gone, there = [asyncio.create_task(composer.compose(name)) for name in ("a", "b")]
    await eventually(lambda: pen.begun == ["a"], within_s=5)
    gone.cancel()
    pen.may.set()

    assert await there == b"b"
    assert gone.cancelled() or await eventually(gone.cancelled, within_s=5)
