"""What could not be known when it was accepted is recorded with its reason, and shown."""

from dataclasses import replace

import pytest

from cdp.domain.client import Client
from cdp.domain.dead_letter import DeadLetterFilter
from cdp.domain.event import EventName, Status
from cdp.domain.failure import REASONS, ErrorClass, Failure, Origin
from cdp.testing.smtp_server import Phase, reply
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept, as_stored, names_of, smtp_provider
from tests.integration.verification_world import new_id, request_of

E = EventName
NOT_TRIED = [E.CREATED, E.UNDELIVERABLE]


@pytest.fixture
async def shard(rig, smtp):
    wiring = rig.process("shard")
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()
    return shard


async def letters_of(wiring, client):
    """A client's dead letters."""
    page = wiring.dead_letter_service().page
    return await page(client.id, DeadLetterFilter(), after=None, limit=100)


@pytest.mark.parametrize(
    ("fields", "reason", "detail"),
    [
        ({"template": "gone"}, "template_missing", "gone"),
        ({"segment": "nobody"}, "template_unassigned", "nobody"),
        ({"template": "for_sms"}, "template_unfit", "for_sms: email"),
        ({"template": "greeting", "data": {"polite": True}}, "missing_variable", "name"),
        ({"template": "greeting", "data": {"polite": True, "name": None}}, "missing_variable",
         "name"),
        ({"template": "endless"}, "template_forbidden", "more than"),
        ({"template": "mute"}, "content_empty", "text"),
    ],
)  # fmt: skip
async def test_what_lacks_something_when_it_is_rendered_says_what(
    rig, smtp, shard, fields, reason, detail
):
    wiring = shard.wiring
    client = await rig.client(wiring)
    text = {
        "greeting": "{% if polite %}Dear {{ name }}{% endif %}",
        "endless": "{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
        "mute": "{# nothing #} ",
    }.get(fields.get("template", ""))
    if text is not None:
        parts = {"subject": "Hi", "text": text}
        await rig.template(wiring, client.id, fields["template"], **parts)
    if fields.get("template") == "for_sms":
        await rig.admin["template_versions"].delete_many({})
        version = await rig.template(wiring, client.id, "for_sms", text="Hi")
        await rig.admin["template_versions"].update_one(
            {"_id": version.id}, {"$set": {"contents": {"sms": {"*": {"text": "Hi"}}}}}
        )
    [item] = await accept(wiring, [replace(request_of(client.id), content=None, **fields)])

    await shard.settle([item])

    [letter] = await letters_of(wiring, client)
    assert REASONS[reason].origin is Origin.CONTENT
    assert letter.result.failure == Failure(
        reason=reason, error_class=REASONS[reason].error_class or ErrorClass.PERMANENT
    )
    assert detail in letter.detail
    assert await names_of(wiring, item) == NOT_TRIED
    assert smtp.messages == []
    assert (await rig.verify(settled=True)).violations == ()


async def test_who_has_no_sender_is_told_so(rig, smtp, shard):
    wiring = shard.wiring
    access = wiring.access_service()
    client: Client = await access.create_client(f"client-{new_id().hex()}")
    [item] = await accept(wiring, [request_of(client.id)])

    await shard.settle([item])

    [letter] = await letters_of(wiring, client)
    assert letter.result.failure.reason == "sender_missing"
    assert letter.result.failure.error_class is ErrorClass.CONFIG


@pytest.mark.parametrize(
    ("answer", "policy", "reason", "error_class"),
    [
        ("550 5.1.1 Nobody here", {}, "address", "permanent"),
        ("550 5.7.1 Not from you", {}, "policy", "policy"),
        ("535 5.7.8 Wrong password", {"attempts_max": 2}, "attempts_spent", "config"),
        ("451 4.3.0 Later", {"attempts_max": 2}, "attempts_spent", "transient"),
        ("451 4.3.0 Later", {"retry_on": ()}, "transient", "transient"),
        ("552 5.2.2 Full", {"attempts_max": 1}, "mailbox_full", "transient"),
    ],
)
async def test_what_a_server_refuses_has_its_code_its_words_and_its_class(
    rig, smtp, shard, answer, policy, reason, error_class
):
    wiring = shard.wiring
    client = await rig.client(wiring, **policy)
    smtp.on(Phase.RCPT, reply(answer))
    [item] = await accept(wiring, [request_of(client.id, campaign="spring")])

    await shard.settle([item])

    stored = await as_stored(wiring, item)
    assert stored.status is Status.UNDELIVERABLE
    [letter] = await letters_of(wiring, client)
    assert letter.result.failure == stored.failure
    assert stored.failure == Failure(
        reason=reason,
        error_class=ErrorClass(error_class),
        code=answer[:9],
        provider="provider",
    )
    assert answer[10:] in letter.detail
    assert (await rig.verify(settled=True)).violations == ()
