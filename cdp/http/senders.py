"""`/senders`: who a client's communications come from."""

from cdp.domain.sender import Identity, Sender
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call
from cdp.http.entity_tags import tagged_answer, versions_asked_for
from cdp.http.json_body import json_body
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import QueryReader, known_parameters, name_in_path, new_name_in_path
from cdp.http.sender_models import EmailSenderIn, PlainSenderIn, SenderIn, SmsSenderIn
from cdp.http.views import sender_view


async def put_sender(call: Call) -> Answer:
    """Make a sender, or let it be this."""
    name = new_name_in_path(call)
    given = (await json_body(call, SenderIn)).root
    sender, is_new = await call.services.senders.put(
        call.caller.client.id,
        name,
        identity_in(given),
        is_default=given.is_default,
        seen=versions_asked_for(call.headers),
    )
    return _answer(sender, status=201 if is_new else 200)


async def list_senders(call: Call) -> Answer:
    """A page of senders in the order of their names."""
    known_parameters(call, frozenset({"channel", "limit", "cursor"}))
    limit = limit_of(call)
    reader = QueryReader(call.query)
    channel = reader.text("channel")
    reader.require_valid()
    listing = f"senders:{channel!r}"
    after = cursor_of(call, listing)
    page = await call.services.senders.page(
        call.caller.client.id,
        channel=channel,
        after=None if after is None else after.decode(),
        limit=limit + 1,
    )
    return json_answer(
        page_of(
            call,
            listing,
            page,
            limit=limit,
            position=lambda sender: sender.name.encode(),
            view=sender_view,
        )
    )


async def get_sender(call: Call) -> Answer:
    """One sender."""
    known_parameters(call, frozenset())
    return _answer(await call.services.senders.get(call.caller.client.id, name_in_path(call)))


async def delete_sender(call: Call) -> Answer:
    """Take a sender away that no delivery configuration names."""
    await call.services.senders.delete(
        call.caller.client.id, name_in_path(call), seen=versions_asked_for(call.headers)
    )
    return Answer(status=204, body=b"")


def identity_in(given: EmailSenderIn | SmsSenderIn | PlainSenderIn) -> Identity:
    """What is said of a sender."""
    if isinstance(given, EmailSenderIn):
        return Identity(
            channel="email",
            address=given.email,
            display_name=given.display_name,
            reply_to=given.reply_to,
            dkim_domain=given.dkim_domain,
        )
    if isinstance(given, SmsSenderIn):
        return Identity(channel="sms", address=given.originator)
    return Identity(channel=given.channel)


def _answer(sender: Sender, *, status: int = 200) -> Answer:
    return tagged_answer(sender_view(sender), sender.version, status=status)
