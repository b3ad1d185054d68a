"""What a communication lacks is said when it is sent, where that can be known then."""

from typing import Any

import pytest

from tests.integration.http.conftest import Got, Tenant

ADA = {"email": "ada@example.org", "data": {"name": "Ada"}}
BARE = {"email": "bare@example.org"}
PARTS = {
    "email": {"subject": "Hi {{ name }}", "text": "{{ order.id }}{% if vip %}{{ gift }}{% endif %}"}
}


async def put(tenant: Tenant, path: str, body: object) -> None:
    assert (await tenant.call("PUT", path, body)).status in (200, 201)


async def sent(tenant: Tenant, **fields: Any) -> Got:
    body = {"channel": "email", "to": [ADA], "template": "hello", **fields}
    return await tenant.post("/communications", {k: v for k, v in body.items() if v is not None})


async def nothing_was_stored(tenant: Tenant) -> bool:
    return not (await tenant.get("/communications")).json["items"]


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"template": "none"}, {"/template": "unknown"}),
        ({"template": None}, {"/template": "missing"}),
        ({"template": None, "segment": "nobody"}, {"/segment": "unassigned"}),
        ({"to": []}, {"/to": "too_short"}),
        ({"to": [{"name": "Ada"}]}, {"/to/0/email": "missing"}),
        ({"to": [{"email": "ada"}]}, {"/to/0/email": "address_invalid"}),
        ({"data": {}}, {"/data/order": "missing_variable", "/data/vip": "missing_variable"}),
        (
            {"data": {"vip": False, "order": {}}},
            {"/data/order/id": "missing_variable"},
        ),
        (
            {"data": {"vip": False, "order": {"id": 1}}, "to": [ADA, BARE]},
            {"/to/1/data/name": "missing_variable"},
        ),
        (
            {"data": {"vip": False, "order": {"id": 1}}, "to": [BARE, BARE]},
            {"/data/name": "missing_variable"},
        ),
    ],
)
async def test_what_is_missing_is_named_and_nothing_is_sent(tenant: Tenant, fields, pointers):
    await put(tenant, "/templates/hello", PARTS)

    answer = await sent(tenant, **fields)

    assert (answer.status, answer.pointers) == (422, pointers)
    assert await nothing_was_stored(tenant)


async def test_with_all_that_is_needed_it_is_taken(tenant: Tenant):
    await put(tenant, "/templates/hello", PARTS)

    whole = await sent(tenant, data={"vip": False, "order": {"id": 1}})
    # Whether this one is needed is known only when it is rendered.
    maybe = await sent(tenant, data={"vip": True, "order": {"id": 1}})

    assert (whole.status, maybe.status) == (202, 202)


async def test_each_language_needs_what_its_own_content_uses(tenant: Tenant):
    german = {"email": {"subject": "Hallo", "text": "{{ anrede }}"}}
    await put(tenant, "/templates/hello", PARTS | {"locales": {"de": german}})
    data = {"vip": False, "order": {"id": 1}}

    both = await sent(tenant, data=data, to=[ADA, BARE | {"locale": "de-AT"}])
    right = await sent(tenant, to=[BARE | {"locale": "de", "data": {"anrede": "Liebe Emmy"}}])

    assert both.pointers == {"/to/1/data/anrede": "missing_variable"}
    assert right.status == 202


async def test_what_a_segments_template_needs_is_asked_for_as_well(tenant: Tenant):
    await put(tenant, "/templates/hello", PARTS)
    await put(tenant, "/segments/vip", {})
    await put(tenant, "/segments/vip/assignments", {"channel": "email", "template": "hello"})
    order = {"vip": False, "order": {"id": 1}}

    bare = await sent(tenant, template=None, segment="vip", data=order, to=[BARE])
    whole = await sent(tenant, template=None, segment="vip", data=order)

    assert bare.pointers == {"/data/name": "missing_variable"}
    assert whole.status == 202


async def test_a_version_that_needs_less_counts_from_the_moment_of_its_publication(tenant: Tenant):
    await put(tenant, "/templates/hello", PARTS)
    assert (await sent(tenant)).status == 422

    await put(tenant, "/templates/hello", {"email": {"subject": "Hi", "text": "{{ name }}"}})

    assert (await sent(tenant)).status == 202


async def test_in_a_batch_only_what_lacks_something_is_refused(tenant: Tenant):
    await put(tenant, "/templates/hello", PARTS)
    whole = {"vip": False, "order": {"id": 1}}
    items = [
        {"channel": "email", "to": [ADA], "template": "hello", "data": data}
        for data in (whole, {}, whole)
    ]

    answer = (await tenant.post("/communications/batch", items)).json

    assert [item["status"] for item in answer["items"]] == [202, 422, 202]
    pointers = [error["pointer"] for error in answer["items"][1]["problem"]["errors"]]
    assert pointers == ["/data/order", "/data/vip"]
