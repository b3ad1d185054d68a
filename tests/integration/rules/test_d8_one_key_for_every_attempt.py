"""Every attempt of a result carries one key, so a provider that takes keys makes no double (D8)."""

from collections import Counter
from collections.abc import Sequence

from cdp.domain.event import EventName, Status
from cdp.ports.provider import Accepted, EmailMessage, Report, Unknown
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept_many, events_of, statuses

E = EventName
MESSAGES = 20


class KeyedProvider:
    """Takes a key once, whatever comes with it again, and loses each first answer."""

    def __init__(self) -> None:
        self.delivered: dict[bytes, EmailMessage] = {}
        self.asked: Counter[bytes] = Counter()
        self.repeats: list[EmailMessage] = []

    async def deliver(self, messages: Sequence[EmailMessage], report: Report[EmailMessage]) -> None:
        for message in messages:
            key = message.result_id
            self.asked[key] += 1
            if key in self.delivered:
                self.repeats.append(message)
                report(message, Accepted())
            else:
                self.delivered[key] = message
                report(message, Unknown(code="connection_lost"))

    async def close(self) -> None:
        pass


async def test_d8_a_provider_that_takes_keys_makes_no_double(rig):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, MESSAGES)
    provider = KeyedProvider()
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), provider))
    await shard.own_all()

    await shard.settle(items)

    assert await statuses(wiring, items) == {Status.DELIVERED: MESSAGES}
    assert set(provider.delivered) == {item.result_id for item in items}
    assert set(provider.asked.values()) == {2}
    for repeat in provider.repeats:
        first = provider.delivered[repeat.result_id]
        assert (first.attempt, repeat.attempt) == (1, 2)
        assert (first.message_id, first.date) == (repeat.message_id, repeat.date)
    outcomes = [e.metadata.get("outcome") for i in items for e in await events_of(wiring, i)]
    assert outcomes.count("unknown") == MESSAGES
    assert (await rig.verify(settled=True)).violations == ()
