import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.ports.provider import ANSWER_CHARS_MAX, FailureClass
from cdp.providers.email.classification import (
    TABLE,
    Reply,
    asks_for_slower_pace,
    classify,
    rejected,
)

ROWS = [
    ("421", FailureClass.TRANSIENT),
    ("421 4.3.2", FailureClass.TRANSIENT),
    ("450", FailureClass.TRANSIENT),
    ("450 4.2.1", FailureClass.TRANSIENT),
    ("451 4.3.0", FailureClass.TRANSIENT),
    ("452 4.2.2", FailureClass.TRANSIENT),
    ("454", FailureClass.TRANSIENT),
    ("421 4.7.0", FailureClass.THROTTLED),
    ("450 4.7.28", FailureClass.THROTTLED),
    ("550 5.1.1", FailureClass.ADDRESS),
    ("550 5.1.2", FailureClass.ADDRESS),
    ("553 5.1.3", FailureClass.ADDRESS),
    ("551 5.1.6", FailureClass.ADDRESS),
    ("550 5.1.10", FailureClass.ADDRESS),
    ("550 5.2.1", FailureClass.ADDRESS),
    ("552", FailureClass.MAILBOX_FULL),
    ("552 5.2.2", FailureClass.MAILBOX_FULL),
    ("554 5.2.2", FailureClass.MAILBOX_FULL),
    ("550 5.3.1", FailureClass.MAILBOX_FULL),
    ("552 5.2.3", FailureClass.CONTENT),
    ("552 5.3.4", FailureClass.CONTENT),
    ("554 5.6.0", FailureClass.CONTENT),
    ("554 5.6.9", FailureClass.CONTENT),
    ("550 5.7.1", FailureClass.POLICY),
    ("550 5.7.25", FailureClass.POLICY),
    ("550 5.7.26", FailureClass.POLICY),
    ("550 5.7.27", FailureClass.POLICY),
    ("550 5.7.28", FailureClass.POLICY),
    ("550 5.7.29", FailureClass.POLICY),
    ("550 5.7.515", FailureClass.POLICY),
    ("530", FailureClass.CONFIG),
    ("530 5.7.0", FailureClass.CONFIG),
    ("530 5.7.1", FailureClass.CONFIG),
    ("535", FailureClass.CONFIG),
    ("535 5.7.139", FailureClass.CONFIG),
    ("550 5.7.8", FailureClass.CONFIG),
    ("500 5.5.2", FailureClass.PERMANENT),
    ("501 5.5.4", FailureClass.PERMANENT),
    ("502 5.5.1", FailureClass.PERMANENT),
    ("503 5.5.1", FailureClass.PERMANENT),
    ("504 5.5.4", FailureClass.PERMANENT),
    ("550", FailureClass.PERMANENT),
    ("550 5.4.1", FailureClass.PERMANENT),
    ("554", FailureClass.PERMANENT),
    ("571 5.7.2", FailureClass.PERMANENT),
]


def answer(text: str) -> Reply:
    code, _, said = text.partition(" ")
    return Reply(code=int(code), lines=(said,))


@pytest.mark.parametrize(("text", "failure"), ROWS)
def test_e5_each_row_of_the_table(text, failure):
    code, _, enhanced = text.partition(" ")

    assert classify(int(code), enhanced) == failure
    assert rejected(answer(f"{text} No")).failure == failure


def test_e5_no_row_of_the_table_is_untested():
    tested = {text for text, _ in ROWS}
    named = {code for row in TABLE for code in row.enhanced if not code.endswith("x")}

    assert named <= {text.partition(" ")[2] for text in tested}
    assert {row.failure for row in TABLE} == {failure for _, failure in ROWS}


@given(
    st.integers(400, 599), st.from_regex(r"[45]\.\d{1,3}\.\d{1,3}", fullmatch=True) | st.just("")
)
def test_every_refusal_has_a_class_and_4xx_is_never_for_good(code, enhanced):
    outcome = rejected(answer(f"{code} {enhanced} text"))

    if code < 500:
        assert outcome.failure in {FailureClass.TRANSIENT, FailureClass.THROTTLED}
    else:
        assert outcome.failure not in {FailureClass.TRANSIENT, FailureClass.THROTTLED}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("5.1.1 No such user", "550 5.1.1"),
        ("5.1.1", "550 5.1.1"),
        ("5.1.1234 x", "550"),
        ("#5.1.1 x", "550"),
        ("4.1.1 contradicts its reply", "550"),
        ("No such user 5.1.1", "550"),
        ("", "550"),
    ],
)
def test_the_enhanced_code_stands_at_the_head_and_is_of_the_replys_class(said, code):
    assert rejected(answer(f"550 {said}")).code == code


def test_the_answer_is_all_lines_and_bounded():
    assert rejected(Reply(code=550, lines=("5.1.1 a", "5.1.1 b"))).answer == "550 5.1.1 a 5.1.1 b"
    assert len(rejected(answer(f"550 {'x' * 5_000}")).answer) == ANSWER_CHARS_MAX


@pytest.mark.parametrize(
    "said", ["450 4.7.1 Greylisted", "451 Graylisting in action", "450 4.2.0 <x>: Grey-listed"]
)
def test_e5_greylisting_is_transient_waits_five_to_fifteen_minutes_and_is_no_complaint(said):
    outcome = rejected(answer(said))

    assert outcome.failure == FailureClass.TRANSIENT
    assert outcome.retry_after_s is not None
    assert 300 <= outcome.retry_after_s <= 900
    assert not asks_for_slower_pace(outcome)


def test_e5_a_server_that_does_not_relay_for_us_is_our_configuration_and_no_complaint():
    outcome = rejected(answer("454 4.7.1 <ada@example.net>: Relay access denied"))

    assert outcome.failure == FailureClass.CONFIG
    assert not asks_for_slower_pace(outcome)


@pytest.mark.parametrize(
    ("text", "slower"),
    [
        ("421 Too many connections", True),
        ("421 4.3.2 Busy", True),
        ("421 4.7.0 Rate", True),
        ("450 4.7.28 Rate", True),
        ("421 4.4.2 Idle too long", False),
        ("450 4.2.0 Busy", False),
        ("550 5.7.1 Blocked", False),
    ],
)
def test_e5_421_and_4_7_x_ask_for_a_slower_pace(text, slower):
    assert asks_for_slower_pace(rejected(answer(text))) is slower
