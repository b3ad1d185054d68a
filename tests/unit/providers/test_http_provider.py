import asyncio

from cdp.domain.ids import ResultId
from cdp.ports.provider import Accepted, Outcome, SmsMessage
from cdp.providers.http_provider import HttpProvider
from tests.waiting import eventually


class Held(HttpProvider[SmsMessage]):
    """Answers when it is told to, one message at a time."""

    def __init__(self) -> None:
        super().__init__(concurrency=1)
        self.let_through = asyncio.Semaphore(0)

    async def send(self, message: SmsMessage) -> Outcome:
        await self.let_through.acquire()
        return Accepted()


def text(n: int) -> SmsMessage:
    return SmsMessage(
        result_id=ResultId(bytes([n]) * 12), attempt=1, sender="Shop", to="+491", text="Hi"
    )


async def test_it_is_busy_as_long_as_messages_wait_for_others():
    provider = Held()
    outcomes: list[Outcome] = []
    assert not provider.is_busy()

    call = asyncio.create_task(
        provider.deliver([text(1), text(2)], lambda _, outcome: outcomes.append(outcome))
    )
    await eventually(provider.is_busy, within_s=5)
    provider.let_through.release()
    await eventually(lambda: outcomes, within_s=5)
    is_busy_with_the_last = provider.is_busy()
    provider.let_through.release()
    await call
    await provider.close()

    assert not is_busy_with_the_last
    assert outcomes == [Accepted(), Accepted()]
