"""Clients, senders and keys, as the command line makes them."""

import pytest

from cdp.errors import Conflict, Invalid, NotFound
from tests.integration.http.services import Api


def name(api: Api) -> str:
    return f"access-{api.services.new_id().hex()}"


async def test_a_client_has_one_name_and_is_found_by_it(api: Api):
    access, wanted = api.services.access, name(api)

    client = await access.create_client(wanted, backlog_max=7)

    assert await access.client_named(wanted) == client
    assert client in await access.clients()
    with pytest.raises(Conflict):
        await access.create_client(wanted)
    with pytest.raises(NotFound):
        await access.client_named(wanted + "x")


@pytest.mark.parametrize("wrong", ["", "a\n", "x" * 101])
async def test_a_name_that_can_not_be_shown_is_refused(api: Api, wrong):
    with pytest.raises(Invalid):
        await api.services.access.create_client(wrong)


async def test_a_sender_must_be_fit_for_a_header(api: Api):
    access = api.services.access
    client = await access.create_client(name(api))

    sender = await access.set_sender(client.id, email="News@Example.COM", name="News")

    assert sender.identity.address == "News@example.com"
    for email, shown in (("nobody", ""), ("a@b.example", "a\r\nBcc: x@y.example")):
        with pytest.raises(Invalid):
            await access.set_sender(client.id, email=email, name=shown)


async def test_keys_are_listed_without_their_text_and_can_be_revoked(api: Api):
    access = api.services.access
    client = await access.create_client(name(api))
    first = await access.create_key(client.id, name="first")
    second = await access.create_key(client.id, live=False)

    await access.revoke_key(first.key.key_id)
    listed = await access.keys(client.id)

    assert [key.key_id for key in listed] == [first.key.key_id, second.key.key_id]
    assert [key.revoked_at is None for key in listed] == [False, True]
    assert first.text.split("_")[3] not in repr(listed)
    assert second.text.startswith("cdp_test_")
    with pytest.raises(NotFound):
        await access.revoke_key("0" * 16)
