"""What waits for a listener is bounded: who has more looks for itself."""

from cdp.domain.ids import ClientId, ResultId
from cdp.domain.inbox import InboxUser
from cdp.services.inbox_streams import Listener

ADA = InboxUser(client_id=ClientId(b"c" * 16), user="ada")


def new_id(number: int) -> ResultId:
    return ResultId(number.to_bytes(16, "big"))


async def test_a_listener_gets_what_came_and_then_nothing():
    listener = Listener(ADA, news_max=2)
    listener.tell(new_id(1))
    listener.tell(None)
    listener.tell(new_id(1))

    assert await listener.take(within_s=1) == ({new_id(1)}, False)
    assert await listener.take(within_s=0) is None


async def test_a_change_that_is_no_entry_wakes_it():
    listener = Listener(ADA, news_max=2)
    listener.tell(None)

    assert await listener.take(within_s=1) == (set(), False)


async def test_more_than_may_wait_makes_it_look_anew():
    listener = Listener(ADA, news_max=2)
    for number in range(5):
        listener.tell(new_id(number))

    taken = await listener.take(within_s=1)

    assert taken == ({new_id(0), new_id(1)}, True)
    listener.tell(new_id(9))
    assert await listener.take(within_s=1) == ({new_id(9)}, False)
