"""What every provider over HTTP must do, as a suite that an adapter's own tests take over.

    class TestAcme(HttpProviderConformance):
        @pytest.fixture
        async def rig(self):
            async with acme_rig() as rig:
                yield rig

The rig joins the adapter to a stand-in for its vendor on a real socket. Tests need pytest-asyncio
in its `auto` mode.
"""

# A test's name is its docstring.
# ruff: noqa: D102

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cdp.domain.ids import ResultId
from cdp.ports.provider import (
    ANSWER_CHARS_MAX,
    Accepted,
    FailureClass,
    Message,
    Outcome,
    Provider,
    Rejected,
    Unknown,
)
from cdp.testing.http_vendor import Got, Reply, Trouble

WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer that the vendor's documentation has, and what it must be taken for."""

    reply: Reply
    failure: FailureClass
    code: str
    retry_after_s: float | None = None


@dataclass(slots=True, kw_only=True)
class HttpProviderRig:
    """An adapter and the stand-in for its vendor."""

    vendor: Any
    """An `HttpVendor`, or one that is like it."""
    provider: Provider[Any]
    message_to: Callable[..., Message]
    """Makes a message to an address; takes fields of it by name."""
    addresses: Callable[[int], str]
    """A valid address for each number."""
    connections_max: int
    refusals: Sequence[Refusal]
    same_in_a_repeat: Callable[[Got], Any]
    """What of a request must be the same when a message is sent again."""
    with_wrong_credentials: Provider[Any] | None = None
    """None where the vendor knows no account."""
    any_success_is_taken: bool = False
    """Whether a success needs no more than its status."""
    host_is_fixed: bool = False
    """Whether the vendor's own library connects, to the vendor's own host and no other."""
    throttled: Reply = field(
        default_factory=lambda: Reply(status=429, headers={"Retry-After": "7"})
    )

    def messages(self, count: int, *, first: int = 0) -> list[Message]:
        """So many messages to different addresses."""
        return [self.message_to(self.addresses(first + n)) for n in range(count)]


async def outcomes_of(
    provider: Provider[Any], messages: Sequence[Message], *, within_s: float = WITHIN_S
) -> list[Outcome]:
    """Deliver, check that each message was reported once, and give the outcomes in order."""
    reported: list[tuple[ResultId, Outcome]] = []
    async with asyncio.timeout(within_s):
        await provider.deliver(messages, lambda m, outcome: reported.append((m.result_id, outcome)))
    assert Counter(r for r, _ in reported) == Counter(m.result_id for m in messages)
    found = dict(reported)
    return [found[message.result_id] for message in messages]


class HttpProviderConformance:
    """The suite. A subclass brings the fixture `rig`."""

    async def test_a_message_is_accepted_and_taken_once(self, rig: HttpProviderRig) -> None:
        [outcome] = await outcomes_of(rig.provider, rig.messages(1))

        assert isinstance(outcome, Accepted), outcome
        assert rig.vendor.taken == [rig.addresses(0)]

    async def test_nothing_to_deliver_is_delivered_at_once(self, rig: HttpProviderRig) -> None:
        assert await outcomes_of(rig.provider, []) == []
        assert rig.vendor.got == []

    async def test_many_messages_share_few_connections(self, rig: HttpProviderRig) -> None:
        outcomes = await outcomes_of(rig.provider, rig.messages(60))

        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert Counter(rig.vendor.taken) == Counter(rig.addresses(n) for n in range(60))
        assert rig.vendor.connections_peak <= rig.connections_max
        assert rig.vendor.connections_count <= rig.connections_max

    async def test_several_deliveries_at_once_share_the_connections(
        self, rig: HttpProviderRig
    ) -> None:
        batches = [rig.messages(10, first=10 * number) for number in range(4)]

        outcomes = await asyncio.gather(*(outcomes_of(rig.provider, batch) for batch in batches))

        assert all(isinstance(outcome, Accepted) for each in outcomes for outcome in each)
        assert rig.vendor.connections_peak <= rig.connections_max

    async def test_each_documented_refusal_is_taken_for_what_it_means(
        self, rig: HttpProviderRig
    ) -> None:
        told = []
        for number, refusal in enumerate(rig.refusals):
            rig.vendor.on(rig.addresses(number), refusal.reply)
            [outcome] = await outcomes_of(rig.provider, rig.messages(1, first=number))
            assert isinstance(outcome, Rejected), (refusal, outcome)
            told.append((outcome.failure, outcome.code, outcome.retry_after_s))
            assert len(outcome.answer) <= ANSWER_CHARS_MAX

        assert told == [(r.failure, r.code, r.retry_after_s) for r in rig.refusals]
        assert len(rig.vendor.taken) == sum(r.reply.status < 300 for r in rig.refusals)

    async def test_one_refused_message_is_not_the_batchs(self, rig: HttpProviderRig) -> None:
        rig.vendor.on(rig.addresses(3), rig.refusals[0].reply)

        outcomes = await outcomes_of(rig.provider, rig.messages(8))

        refused = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Rejected)]
        assert refused == [3]
        assert len(rig.vendor.taken) == 7

    async def test_a_slower_pace_is_asked_for_in_seconds(self, rig: HttpProviderRig) -> None:
        rig.vendor.on(rig.addresses(0), rig.throttled)

        [outcome] = await outcomes_of(rig.provider, rig.messages(1))

        assert isinstance(outcome, Rejected)
        assert (outcome.failure, outcome.retry_after_s) == (FailureClass.THROTTLED, 7.0)

    async def test_d7_cut_before_the_answer_is_unknown(self, rig: HttpProviderRig) -> None:
        rig.vendor.on(rig.addresses(1), Reply(trouble=Trouble.CUT))

        outcomes = await outcomes_of(rig.provider, rig.messages(4))

        unknown = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Unknown)]
        # Over one connection of HTTP/2 those that were under way beside it are unknown as well.
        assert unknown == [1] or (rig.connections_max == 1 and 1 in unknown)
        assert rig.vendor.taken.count(rig.addresses(1)) == 1

    async def test_d7_cut_in_the_answer_is_unknown(self, rig: HttpProviderRig) -> None:
        rig.vendor.on(rig.addresses(0), Reply(body=b'{"', trouble=Trouble.CUT_IN_ANSWER))

        [outcome] = await outcomes_of(rig.provider, rig.messages(1))

        assert isinstance(outcome, Unknown)

    async def test_d7_silence_is_unknown(self, rig: HttpProviderRig) -> None:
        rig.vendor.on(rig.addresses(0), Reply(trouble=Trouble.SILENCE))

        [outcome] = await outcomes_of(rig.provider, rig.messages(1))

        assert isinstance(outcome, Unknown)
        assert rig.vendor.taken == [rig.addresses(0)]

    async def test_a_success_that_says_nothing_is_not_believed(self, rig: HttpProviderRig) -> None:
        for number, body in enumerate((b"", b"<html>Welcome</html>", b"[]", b'{"x": 1}', b"\xff")):
            rig.vendor.on(rig.addresses(number), Reply(body=body))

        outcomes = await outcomes_of(rig.provider, rig.messages(5))

        believed = [isinstance(outcome, Accepted) for outcome in outcomes]
        assert all(believed) if rig.any_success_is_taken else not any(believed[1:])

    async def test_a7_a_redirect_is_not_followed(self, rig: HttpProviderRig) -> None:
        elsewhere = {"Location": f"{rig.vendor.url}/elsewhere"}
        rig.vendor.on(rig.addresses(0), Reply(status=302, headers=elsewhere))

        [outcome] = await outcomes_of(rig.provider, rig.messages(1))

        assert not isinstance(outcome, Accepted)
        assert rig.host_is_fixed or all("elsewhere" not in got.path for got in rig.vendor.got)

    async def test_a7_an_endless_answer_is_cut(self, rig: HttpProviderRig) -> None:
        rig.vendor.on(rig.addresses(0), Reply(status=500, body=b"x" * 5_000_000))

        outcomes = await outcomes_of(rig.provider, rig.messages(2))

        assert not isinstance(outcomes[0], Accepted)
        assert len(outcomes[0].answer) <= ANSWER_CHARS_MAX
        assert isinstance(outcomes[1], Accepted)

    async def test_a_wrong_account_is_our_configuration(self, rig: HttpProviderRig) -> None:
        if rig.with_wrong_credentials is None:
            return
        outcomes = await outcomes_of(rig.with_wrong_credentials, rig.messages(3))
        await rig.with_wrong_credentials.close()

        assert {getattr(outcome, "failure", None) for outcome in outcomes} == {FailureClass.CONFIG}
        assert rig.vendor.taken == []

    async def test_an_unreachable_vendor_is_transient_and_comes_back(
        self, rig: HttpProviderRig
    ) -> None:
        await rig.vendor.refuse_connections()
        before = await outcomes_of(rig.provider, rig.messages(5))
        await rig.vendor.listen()
        after = await outcomes_of(rig.provider, rig.messages(5))

        assert {getattr(outcome, "failure", None) for outcome in before} == {FailureClass.TRANSIENT}
        assert all(isinstance(outcome, Accepted) for outcome in after), after

    async def test_a_connection_that_died_while_idle_costs_no_message(
        self, rig: HttpProviderRig
    ) -> None:
        await outcomes_of(rig.provider, rig.messages(4))
        rig.vendor.cut_connections()
        # The end of a connection is known when the loop has had a turn for each side.
        for _ in range(20):
            await asyncio.sleep(0)

        outcomes = await outcomes_of(rig.provider, rig.messages(4, first=10))

        assert all(isinstance(outcome, Accepted) for outcome in outcomes), outcomes

    async def test_after_its_deadline_no_send_begins(self, rig: HttpProviderRig) -> None:
        late = rig.message_to(rig.addresses(0), deadline_s=0.0)

        outcomes = await outcomes_of(rig.provider, [late, *rig.messages(1, first=1)])

        assert outcomes[0] == Rejected(failure=FailureClass.TRANSIENT, code="not_started")
        assert isinstance(outcomes[1], Accepted)
        assert rig.vendor.taken == [rig.addresses(1)]

    async def test_d8_a_repeat_says_the_same_under_the_same_key(self, rig: HttpProviderRig) -> None:
        for attempt in (1, 2):
            await outcomes_of(rig.provider, [rig.message_to(rig.addresses(0), attempt=attempt)])

        said = [rig.same_in_a_repeat(got) for got in rig.vendor.got if rig.same_in_a_repeat(got)]
        assert len(said) == 2
        assert said[0] == said[1]
