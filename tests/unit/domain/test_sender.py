from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.sender import Identity, Sender, SendersOfClient
from tests.unit.domain.items import START, client

CHANNELS = ("email", "sms", "push")


def sender(name, channel="email", *, is_default=False):
    return Sender(
        id=name.encode(),
        client_id=client(1),
        name=name,
        identity=Identity(channel=channel, address=f"{name}@b.example"),
        is_default=is_default,
        version=1,
        created_at=START,
        updated_at=START,
    )


def test_without_a_name_the_channels_default_counts():
    senders = SendersOfClient([sender("a"), sender("b", is_default=True), sender("c", "sms")])

    chosen = senders.choose("email", None)

    assert chosen is not None
    assert chosen.name == "b"
    assert senders.choose("sms", None) is None


def test_who_is_named_and_gone_is_not_made_up_for_by_another():
    senders = SendersOfClient([sender("a", is_default=True), sender("c", "sms")])

    assert senders.choose("email", "gone") is None
    assert senders.choose("email", "c") is None


@given(
    channels=st.lists(st.sampled_from(CHANNELS), max_size=8),
    wanted=st.sampled_from(CHANNELS),
    named=st.none() | st.integers(0, 9).map(str),
)
def test_nobody_comes_from_a_sender_of_another_channel(channels, wanted, named):
    made = [sender(str(n), channel) for n, channel in enumerate(channels)]
    firsts = {each.channel: each.name for each in reversed(made)}
    made = [replace(each, is_default=firsts[each.channel] == each.name) for each in made]

    chosen = SendersOfClient(made).choose(wanted, named)

    if chosen is not None:
        assert chosen.channel == wanted
        assert chosen.name == named if named is not None else chosen.is_default
    elif named is None:
        assert wanted not in channels
