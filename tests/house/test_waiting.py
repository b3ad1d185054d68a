"""The waiting of the tests: it ends when it should, and says why when it does not."""

import pytest

from tests.waiting import eventually, eventually_sync


async def test_it_returns_what_the_condition_gives_in_the_end():
    seen: list[int] = []

    async def third():
        seen.append(len(seen))
        return seen[-1] >= 2 and "third"

    assert await eventually(third, within_s=5) == "third"
    assert await eventually(lambda: seen, within_s=0) == [0, 1, 2]


async def test_it_says_what_was_seen_at_last():
    seen = [1]

    def never():
        assert not seen, "there is something"

    with pytest.raises(AssertionError, match=r"not within 0\.05 s; at last: there is something"):
        await eventually(never, within_s=0.05)
    with pytest.raises(AssertionError, match=r"not within 0\.05 s; at last: \[\]"):
        eventually_sync(list, within_s=0.05)


async def test_another_error_ends_the_wait():
    with pytest.raises(ZeroDivisionError):
        await eventually(lambda: 1 / 0, within_s=60)
