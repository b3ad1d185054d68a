"""What every email provider must do, as a suite that an adapter's own tests take over.

    class TestAcme(EmailProviderConformance):
        @pytest.fixture
        async def rig(self):
            async with AcmeRig() as rig:
                yield rig

The rig joins the adapter to a stand-in for its vendor on a real socket. Tests need pytest-asyncio
in its `auto` mode.
"""

# A test's name is its docstring.
# ruff: noqa: D102

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from cdp.ports.provider import (
    Accepted,
    EmailAddress,
    EmailMessage,
    FailureClass,
    Outcome,
    Provider,
    Rejected,
    Unknown,
)

WITHIN_S: Final = 30.0


class EmailProviderRig(Protocol):
    """An adapter and the stand-in for its vendor, which does what it is told."""

    provider: Provider[EmailMessage]
    connections_max: int
    """How many connections or requests the provider may have open at once."""

    def taken(self) -> list[str]:
        """The recipients of all messages the vendor has taken, once for each time."""

    def connections_peak(self) -> int:
        """The most connections the vendor saw at once."""

    def connections(self) -> int:
        """How many connections the vendor saw in all."""

    def refuse(self, email: str, failure: FailureClass) -> None:
        """Refuse messages to this recipient for such a reason."""

    def cut_before_taking(self, email: str) -> None:
        """Break off the messages to this recipient before they are complete."""

    def cut_after_taking(self, email: str) -> None:
        """Take the messages to this recipient and break off before a word of answer."""

    def cut_in_answer(self, email: str) -> None:
        """Take the messages to this recipient and break off in the middle of the answer."""

    def be_silent_after_taking(self, email: str) -> None:
        """Take the messages to this recipient and never answer."""

    def be_silent_before_taking(self, email: str) -> None:
        """Never answer what comes before a message to this recipient would be taken."""

    def throttle(self, times: int) -> None:
        """Ask for a slower pace so many times, then go on as usual."""

    def refuse_connections(self) -> None:
        """Be unreachable."""

    async def accept_connections(self) -> None:
        """Be reachable again."""

    def cut_connections(self) -> None:
        """Break all connections, as an idle vendor does."""

    def with_wrong_credentials(self) -> Provider[EmailMessage]:
        """Another provider to the same vendor, which will not know it."""


def email_to(email: str, **changes: Any) -> EmailMessage:
    """A whole message to this recipient."""
    fields: dict[str, Any] = {
        "result_id": email.encode()[:16].ljust(16, b"\0"),
        "attempt": 1,
        "sender": EmailAddress(email="news@shop.example", name="The Shop"),
        "to": EmailAddress(email=email),
        "subject": "Your order",
        "html": "<p>It is on its way.</p>",
        "text": "It is on its way.",
        "date": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "message_id": f"{email.encode().hex()}@shop.example",
        "return_path": "bounces@shop.example",
    }
    return EmailMessage(**(fields | changes))


def emails(count: int, *, prefix: str = "reader") -> list[EmailMessage]:
    """So many messages to different recipients."""
    return [email_to(f"{prefix}{number}@example.org") for number in range(count)]


class Reports:
    """The `report` of a `deliver`, which notes the order and finds doubles."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.order: list[str] = []

    def __call__(self, message: EmailMessage, outcome: Outcome) -> None:
        self.order.append(message.to.email)
        self.outcomes[message.to.email] = outcome

    def assert_once_each(self, messages: Iterable[EmailMessage]) -> None:
        """Exactly one report for each message and none for anything else."""
        assert Counter(self.order) == Counter(message.to.email for message in messages)


async def outcomes_of(
    provider: Provider[EmailMessage],
    messages: Sequence[EmailMessage],
    *,
    within_s: float = WITHIN_S,
) -> dict[str, Outcome]:
    """Deliver, check that each message was reported once, and give the outcomes by recipient."""
    reports = Reports()
    async with asyncio.timeout(within_s):
        await provider.deliver(messages, reports)
    reports.assert_once_each(messages)
    return reports.outcomes


class EmailProviderConformance:
    """The suite. A subclass brings the fixture `rig`."""

    async def test_a_message_is_accepted_and_taken_once(self, rig: EmailProviderRig) -> None:
        outcomes = await outcomes_of(rig.provider, [email_to("ada@example.org")])

        assert isinstance(outcomes["ada@example.org"], Accepted)
        assert rig.taken() == ["ada@example.org"]

    async def test_nothing_to_deliver_is_delivered_at_once(self, rig: EmailProviderRig) -> None:
        assert await outcomes_of(rig.provider, []) == {}

    async def test_many_messages_share_few_connections(self, rig: EmailProviderRig) -> None:
        messages = emails(200)

        outcomes = await outcomes_of(rig.provider, messages)

        assert all(isinstance(outcome, Accepted) for outcome in outcomes.values())
        assert Counter(rig.taken()) == Counter(message.to.email for message in messages)
        assert rig.connections_peak() <= rig.connections_max

    async def test_several_deliveries_at_once_share_the_connections(
        self, rig: EmailProviderRig
    ) -> None:
        batches = [emails(20, prefix=f"batch{number}-") for number in range(5)]

        results = await asyncio.gather(*(outcomes_of(rig.provider, batch) for batch in batches))

        assert [len(result) for result in results] == [20] * 5
        assert len(rig.taken()) == 100
        assert rig.connections_peak() <= rig.connections_max

    async def test_each_class_of_refusal_is_told_apart(self, rig: EmailProviderRig) -> None:
        failures = [failure for failure in FailureClass if failure != FailureClass.CONFIG]
        messages = [email_to(f"{failure.value}@example.org") for failure in failures]
        for failure in failures:
            rig.refuse(f"{failure.value}@example.org", failure)

        outcomes = await outcomes_of(rig.provider, messages)

        told = {email: getattr(outcome, "failure", outcome) for email, outcome in outcomes.items()}
        assert told == {f"{failure.value}@example.org": failure for failure in failures}
        assert rig.taken() == []

    async def test_one_refused_recipient_is_not_the_batchs(self, rig: EmailProviderRig) -> None:
        messages = emails(40)
        rig.refuse("reader7@example.org", FailureClass.ADDRESS)

        outcomes = await outcomes_of(rig.provider, messages)

        refused = [email for email, outcome in outcomes.items() if isinstance(outcome, Rejected)]
        assert refused == ["reader7@example.org"]
        assert len(rig.taken()) == 39

    async def test_d7_taken_and_cut_before_the_answer_is_unknown(
        self, rig: EmailProviderRig
    ) -> None:
        rig.cut_after_taking("reader3@example.org")

        outcomes = await outcomes_of(rig.provider, emails(10))

        unknown = [email for email, outcome in outcomes.items() if isinstance(outcome, Unknown)]
        assert unknown == ["reader3@example.org"]
        assert rig.taken().count("reader3@example.org") == 1
        assert len(rig.taken()) == 10

    async def test_d7_taken_and_cut_in_the_answer_is_unknown(self, rig: EmailProviderRig) -> None:
        rig.cut_in_answer("ada@example.org")

        outcomes = await outcomes_of(rig.provider, [email_to("ada@example.org")])

        assert isinstance(outcomes["ada@example.org"], Unknown)
        assert rig.taken() == ["ada@example.org"]

    async def test_d7_taken_and_silent_is_unknown(self, rig: EmailProviderRig) -> None:
        rig.be_silent_after_taking("ada@example.org")

        outcomes = await outcomes_of(rig.provider, [email_to("ada@example.org")])

        assert isinstance(outcomes["ada@example.org"], Unknown)

    async def test_cut_before_it_was_taken_is_certainly_not_delivered(
        self, rig: EmailProviderRig
    ) -> None:
        rig.cut_before_taking("ada@example.org")

        outcomes = await outcomes_of(rig.provider, [email_to("ada@example.org")])

        assert getattr(outcomes["ada@example.org"], "failure", None) == FailureClass.TRANSIENT
        assert rig.taken() == []

    async def test_silent_before_it_was_taken_is_certainly_not_delivered(
        self, rig: EmailProviderRig
    ) -> None:
        rig.be_silent_before_taking("ada@example.org")

        outcomes = await outcomes_of(rig.provider, [email_to("ada@example.org")])

        assert getattr(outcomes["ada@example.org"], "failure", None) == FailureClass.TRANSIENT
        assert rig.taken() == []

    async def test_a_wrong_account_is_our_configuration(self, rig: EmailProviderRig) -> None:
        provider = rig.with_wrong_credentials()

        outcomes = await outcomes_of(provider, emails(20))
        await provider.close()

        failures = {getattr(outcome, "failure", None) for outcome in outcomes.values()}
        assert failures == {FailureClass.CONFIG}
        assert rig.taken() == []

    async def test_an_unreachable_vendor_is_transient_and_comes_back(
        self, rig: EmailProviderRig
    ) -> None:
        rig.refuse_connections()
        outcomes = await outcomes_of(rig.provider, emails(20))
        await rig.accept_connections()
        later = await outcomes_of(rig.provider, emails(20))

        failures = {getattr(outcome, "failure", None) for outcome in outcomes.values()}
        assert failures == {FailureClass.TRANSIENT}
        assert all(isinstance(outcome, Accepted) for outcome in later.values())

    async def test_a_throttled_message_is_told_and_the_others_go_on(
        self, rig: EmailProviderRig
    ) -> None:
        rig.throttle(times=2)

        outcomes = await outcomes_of(rig.provider, emails(50))

        kinds = Counter(type(outcome) for outcome in outcomes.values())
        assert kinds == {Accepted: 48, Rejected: 2}
        assert len(rig.taken()) == 48

    async def test_a_connection_that_died_while_idle_costs_no_message(
        self, rig: EmailProviderRig
    ) -> None:
        await outcomes_of(rig.provider, emails(10))
        rig.cut_connections()

        outcomes = await outcomes_of(rig.provider, emails(10, prefix="later"))

        assert all(isinstance(outcome, Accepted) for outcome in outcomes.values())
        assert len(rig.taken()) == 20

    async def test_after_its_deadline_no_send_begins(self, rig: EmailProviderRig) -> None:
        late = email_to("late@example.org", deadline_s=0.0)

        outcomes = await outcomes_of(rig.provider, [late, email_to("ada@example.org")])

        assert outcomes["late@example.org"] == Rejected(
            failure=FailureClass.TRANSIENT, code="not_started"
        )
        assert rig.taken() == ["ada@example.org"]

    async def test_a_message_that_cannot_be_sent_as_it_is_fails_alone(
        self, rig: EmailProviderRig
    ) -> None:
        evil = email_to("evil@example.org", subject="Hello\r\nBcc: victim@example.org")

        outcomes = await outcomes_of(rig.provider, [evil, email_to("ada@example.org")])

        assert getattr(outcomes["evil@example.org"], "failure", None) == FailureClass.CONTENT
        assert rig.taken() == ["ada@example.org"]

    async def test_the_same_message_is_the_same_bytes_twice(self, rig: EmailProviderRig) -> None:
        message = email_to("ada@example.org")

        for _ in range(2):
            outcomes = await outcomes_of(rig.provider, [message])
            assert isinstance(outcomes["ada@example.org"], Accepted)

        assert rig.taken() == ["ada@example.org"] * 2
