import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.embedded import mailbox
from cdp.embedded.mailbox_message import open_message
from cdp.embedded.mailbox_rules import (
    EXPLANATIONS,
    Attempts,
    answer_to_recipient,
    soft_refusals,
    tags_of,
)
from cdp.embedded.mailbox_smtp import Intake, entry_of
from cdp.errors import OutcomeUnknown
from cdp.storage.mailbox import MailboxEntry
from tests.waiting import eventually

SENDER = "from@example.org"


@pytest.mark.parametrize(
    ("address", "tags"),
    [
        ("ada@example.org", set()),
        ("ada+bounce@example.org", {"bounce"}),
        ("ada+Slow+soft2@example.org", {"slow", "soft2"}),
        ("ada@exam+bounce.org", set()),
        ('"a@b+full"@example.org', {'full"'}),
        ("+@example.org", {""}),
        ("nothing", set()),
    ],
)
def test_tags_stand_behind_plus_signs_in_the_local_part(address, tags):
    assert tags_of(address) == tags


@pytest.mark.parametrize(
    ("tag", "refusals"),
    [("soft1", 1), ("soft9", 9), ("greylist", 1), ("soft0", 0), ("soft10", 0), ("soft", 0)],
)
def test_soft_tags_say_how_often(tag, refusals):
    assert soft_refusals(frozenset({tag})) == refusals


@pytest.mark.parametrize(
    ("tag", "answer"), [("bounce", "550 5.1.1"), ("full", "552 5.2.2"), ("policy", "550 5.7.1")]
)
def test_some_tags_refuse_always(tag, answer):
    attempts = Attempts()

    answers = [answer_to_recipient(f"a+{tag}@b.org", SENDER, attempts) for _ in range(20)]

    assert all((said or "").startswith(answer) for said in answers)


def test_attempts_are_counted_by_sender_and_recipient():
    attempts = Attempts()

    def refused(address: str, sender: str = SENDER) -> bool:
        return answer_to_recipient(address, sender, attempts) is not None

    assert [refused("a+soft2@b.org") for _ in range(4)] == [True, True, False, False]
    assert [refused("c+soft2@b.org") for _ in range(3)] == [True, True, False]
    assert [refused("a+soft2@b.org", "other@b.org") for _ in range(3)] == [True, True, False]
    assert not refused("a@b.org")


def test_attempts_longest_unseen_are_forgotten_first():
    attempts = Attempts(remembered_max=2)

    assert [attempts.count(key) for key in ("a", "b", "a", "c", "a", "b")] == [1, 1, 2, 1, 3, 1]


def test_every_tag_is_documented():
    for tag, _ in EXPLANATIONS:
        assert tag in mailbox.__doc__


def entry(number: int) -> MailboxEntry:
    return MailboxEntry(
        id=number.to_bytes(16, "big"),
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        mail_from="",
        rcpt_to=(),
        message_id="",
        subject="",
        size=0,
    )


class SlowMessages:
    """Stands for the repository: each write waits until it is let through."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun = 0
        self.let_through = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def add(self, messages: Sequence[tuple[MailboxEntry, bytes]]) -> None:
        self.begun += 1
        await self.let_through.acquire()
        self.groups.append([int.from_bytes(entry.id, "big") for entry, _ in messages])
        if self.error is not None:
            raise self.error


class Senders:
    """Those who hand in a message each and wait."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.handed_in = 0

    def keep(self, number: int) -> asyncio.Task[None]:
        """One more."""
        return asyncio.create_task(self._keep(number))

    async def _keep(self, number: int) -> None:
        self.handed_in += 1
        await self._intake.keep(entry(number), b"")

    async def have_handed_in(self, count: int) -> None:
        """Wait for so many."""
        await eventually(lambda: self.handed_in == count, within_s=2)


@asynccontextmanager
async def intake_of(messages: SlowMessages) -> AsyncIterator[Intake]:
    intake = Intake(messages)
    loop = asyncio.create_task(intake.run())
    try:
        yield intake
    finally:
        loop.cancel()


async def test_what_comes_while_a_group_is_written_is_the_next_group():
    messages = SlowMessages()
    async with intake_of(messages) as intake:
        senders = Senders(intake)
        kept = [senders.keep(0)]
        await eventually(lambda: messages.begun == 1, within_s=2)
        kept += [senders.keep(n) for n in range(1, 4)]
        await senders.have_handed_in(4)
        assert not any(task.done() for task in kept)

        messages.let_through.release()
        messages.let_through.release()
        await asyncio.gather(*kept)
        await intake.idle()

    assert messages.groups == [[0], [1, 2, 3]]


async def test_a_group_has_a_bound_in_bytes():
    messages = SlowMessages()
    large = bytes(20 * 1024 * 1024)
    async with intake_of(messages) as intake:
        for _ in range(3):
            messages.let_through.release()
        await asyncio.gather(*(intake.keep(entry(n), large) for n in range(3)))
        await intake.idle()

    assert messages.groups == [[0], [1], [2]]


@pytest.mark.parametrize("error", [OutcomeUnknown(), ValueError("a bug")])
async def test_a_failed_write_is_told_and_the_next_one_works(error):
    messages = SlowMessages()
    messages.error = error
    async with intake_of(messages) as intake:
        messages.let_through.release()
        with pytest.raises(OutcomeUnknown):
            await intake.keep(entry(1), b"")

        messages.error = None
        messages.let_through.release()
        await intake.keep(entry(2), b"")


async def test_a_sender_who_left_does_not_disturb_the_others():
    messages = SlowMessages()
    async with intake_of(messages) as intake:
        senders = Senders(intake)
        leaving, staying = senders.keep(1), senders.keep(2)
        await senders.have_handed_in(2)
        leaving.cancel()
        messages.let_through.release()
        messages.let_through.release()

        await staying

    assert list(chain.from_iterable(messages.groups)) == [1, 2]


def test_a_list_shows_a_decoded_subject():
    raw = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n folded\r\nMessage-Id: <a@b>\r\n\r\nbody"

    shown = entry_of(raw, mail_from="<>", rcpt_to=["a@b.org"])

    assert (shown.subject, shown.message_id, shown.mail_from) == ("Grüße folded", "<a@b>", "")
    assert shown.size == len(raw)


@given(st.binary(max_size=300))
def test_no_header_breaks_the_list(head):
    shown = entry_of(b"Subject: " + head, mail_from="\udcff@b.org", rcpt_to=["\udcff"])

    for text in (shown.subject, shown.message_id, shown.mail_from, *shown.rcpt_to):
        text.encode()


FRAGMENTS = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n",
        b"Content-Type: text/html; charset=nonsense\r\n\r\n",
        b"Content-Type: text/plain; charset*0*=utf-8''x\r\n\r\n",
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: uuencode\r\n",
        b"Content-Disposition: attachment; filename*=bad'x'%ff%\r\n",
        b"Subject: =?utf-8?b?!!!?=\r\n",
        b"--x\r\n",
        b"--x--\r\n",
        b"\r\n",
        b"begin 666 x\r\n!!!\r\n",
        b'<a href="https://a.example/">',
        b"\xff\xfe",
    ]
)


@given(st.lists(FRAGMENTS | st.binary(max_size=20), max_size=20).map(b"".join))
def test_no_message_breaks_the_page(raw):
    opened = open_message(raw)

    for _, value in opened.headers:
        value.encode()
    for item in opened.attachments:
        item.name.encode()


def test_a_message_of_endless_nesting_is_opened():
    head = b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n"
    raw = b"Subject: deep\r\n" + b"".join(head % (n, n) for n in range(3000))

    assert ("Subject", "deep") in open_message(raw).headers


def test_a_message_is_taken_apart():
    raw = (
        b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n'
        b"--x\r\nContent-Type: text/plain; charset=latin-1\r\n\r\nGr\xfc\xdfe\r\n"
        b"--x\r\nContent-Type: text/html\r\n\r\n"
        b'<a class=b HREF="https://a.example/?x=1&amp;y=2">1</a><a href="mailto:a@b.org">2</a>\r\n'
        b"--x\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--x--\r\n"
    )

    opened = open_message(raw)

    assert opened.text == "Grüße"
    assert opened.links == ("https://a.example/?x=1&y=2",)
    assert [(item.name, item.size) for item in opened.attachments] == [("a.txt", 3)]
