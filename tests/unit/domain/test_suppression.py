"""Who is on the list, under what id, and which refusals put somebody there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.ids import ClientId
from cdp.domain.suppression import ids_that_count, is_hard_bounce, suppression_id

clients = st.binary(min_size=16, max_size=16).map(ClientId)
words = st.text(max_size=20)
keys = st.tuples(clients, words, words, st.none() | words)


@given(one=keys, other=keys)
def test_an_id_is_of_one_client_channel_recipient_and_topic(one, other):
    assert (suppression_id(*one) == suppression_id(*other)) == (one == other)


@given(key=keys)
def test_an_entry_without_a_topic_counts_for_every_message_and_one_with_a_topic_for_its_own(key):
    client_id, channel, recipient, topic = key

    counting = ids_that_count(client_id, channel, recipient, topic)

    assert suppression_id(client_id, channel, recipient, None) in counting
    assert suppression_id(client_id, channel, recipient, topic) in counting
    assert len(counting) == (1 if topic is None else 2)
    other = "" if topic is None else f"{topic}x"
    assert suppression_id(client_id, channel, recipient, other) not in counting


@pytest.mark.parametrize(
    ("channel", "code", "is_gone"),
    [
        ("email", "550 5.1.1", True),
        ("push", "410 Unregistered", True),
        ("push", "404 UNREGISTERED", True),
        ("push", "410", True),
        # Tokens of another app, or of the other environment: all of them at once.
        ("push", "400 BadDeviceToken", False),
        ("push", "400 DeviceTokenNotForTopic", False),
        ("push", "403 SENDER_ID_MISMATCH", False),
        ("sms", "404 21211", False),
        ("webhook", "410", False),
    ],
)
def test_e12_only_what_is_gone_for_good_is_a_hard_bounce(channel, code, is_gone):
    assert is_hard_bounce(channel, code) == is_gone
