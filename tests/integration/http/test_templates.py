"""Templates over HTTP, checked and rendered by the real sandbox."""

import asyncio

import pytest

from tests.integration.http.conftest import Tenant

EMAIL = {"subject": "Hi {{ name }}", "html": "<p>{{ name }}</p>", "text": "Hi {{ name }}"}
PARTS = {"email": EMAIL}


async def test_a_change_makes_a_version_and_the_same_again_does_not(tenant: Tenant):
    made = await tenant.call("PUT", "/templates/welcome", PARTS)
    same = await tenant.call("PUT", "/templates/welcome", PARTS)
    changed = await tenant.call(
        "PUT", "/templates/welcome", {"email": EMAIL | {"text": "Yo {{ name }}"}}
    )

    assert (made.status, same.status, changed.status) == (201, 200, 201)
    assert [a.json["version"] for a in (made, same, changed)] == [1, 1, 2]
    versions = (await tenant.get("/templates/welcome/versions")).json["items"]
    assert [version["version"] for version in versions] == [2, 1]
    assert (await tenant.get("/templates/welcome")).json["email"]["text"] == "Yo {{ name }}"
    assert (await tenant.get("/templates/welcome?version=1")).json == made.json
    assert (await tenant.get("/templates/welcome?version=3")).status == 404


async def test_racing_changes_get_numbers_of_their_own(tenant: Tenant):
    answers = await asyncio.gather(
        *(
            tenant.call("PUT", "/templates/race", {"email": EMAIL | {"text": f"{n}"}})
            for n in range(8)
        )
    )

    assert sorted(a.json["version"] for a in answers) == list(range(1, 9))


@pytest.mark.parametrize(
    ("parts", "pointers"),
    [
        ({}, {"/email": "missing"}),
        ({"email": {"subject": "s"}}, {"/email/text": "missing"}),
        ({"email": {"html": "x"}}, {"/email/subject": "missing"}),
        ({"email": EMAIL | {"html": "{% if %}"}}, {"/email/html": "template_syntax"}),
        ({"email": EMAIL | {"body": "x"}}, {"/email/body": "extra_forbidden"}),
        ({"fax": EMAIL}, {"/fax": "extra_forbidden"}),
        (PARTS | {"sms": {"text": ""}}, {"/sms/text": "string_too_short"}),
        (
            PARTS | {"sms": {"text": "{% if %}"}, "locales": {"de": {"email": EMAIL}}},
            {"/sms/text": "template_syntax"},
        ),
        (
            {"locales": {"pt-BR": {"push": {"title": "{{", "body": "b"}}}},
            {"/locales/pt-BR/push/title": "template_syntax"},
        ),
        (
            {"locales": {"pt-BR": PARTS, "PT-br": PARTS}},
            {"/locales/PT-br": "twice"},
        ),
        (
            PARTS | {"locales": {"german language": PARTS}},
            {"/locales/german language": "string_pattern_mismatch"},
        ),
    ],
)
async def test_a_wrong_template_is_refused_with_its_pointer(tenant: Tenant, parts, pointers):
    answer = await tenant.call("PUT", "/templates/bad", parts)

    assert answer.status == 422
    assert answer.pointers == pointers
    assert (await tenant.get("/templates/bad")).status == 404


async def test_a_name_that_can_not_stand_in_a_path_is_refused(tenant: Tenant):
    for name in ("%20x", "a%00", "x" * 101, "-a", "caf%C3%A9"):
        answer = await tenant.call("PUT", f"/templates/{name}", PARTS)
        assert (answer.status, answer.pointers) == (422, {"name": "name_invalid"})
        assert (await tenant.get(f"/templates/{name}")).status == 404


async def test_a_template_is_tried_with_data(tenant: Tenant):
    await tenant.call("PUT", "/templates/welcome", PARTS)

    fine = await tenant.post("/templates/welcome/render", {"data": {"name": "<Ada>"}})
    missing = await tenant.post("/templates/welcome/render", {})
    unknown = await tenant.post("/templates/nope/render", {})

    assert fine.json["content"]["html"] == "<p>&lt;Ada&gt;</p>"
    assert fine.json["content"]["subject"] == "Hi <Ada>"
    assert missing.status == 422
    assert missing.pointers == {"/data/name": "missing_variable"}
    assert unknown.status == 404


async def test_templates_are_listed_by_name_in_pages(tenant: Tenant):
    for name in ("c", "a", "b"):
        await tenant.call("PUT", f"/templates/{name}", PARTS)

    first = (await tenant.get("/templates?limit=2")).json
    rest = (await tenant.get(f"/templates?limit=2&cursor={first['next_cursor']}")).json

    assert [item["name"] for item in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next_cursor"] is None


async def test_a_deleted_template_is_gone_until_it_is_made_again(tenant: Tenant):
    await tenant.call("PUT", "/templates/old", PARTS)

    gone = await tenant.call("DELETE", "/templates/old")
    again = await tenant.call("DELETE", "/templates/old")
    missing = await tenant.get("/templates/old")
    remade = await tenant.call("PUT", "/templates/old", PARTS)

    assert (gone.status, again.status, missing.status, remade.status) == (204, 404, 404, 201)
    assert remade.json["version"] == 2


async def test_a_new_template_can_be_used_at_once_though_it_was_missed_before(tenant: Tenant):
    to = [{"email": "a@b.example", "data": {"name": "Ada"}}]
    body = {"channel": "email", "to": to, "template": "fresh"}

    before = await tenant.post("/communications", body)
    await tenant.call("PUT", "/templates/fresh", PARTS)
    after = await tenant.post("/communications", body)

    assert (before.status, after.status) == (422, 202)


CHANNELS = {
    "email": EMAIL,
    "sms": {"text": "Hi {{ name }} at {{ recipient.phone }}"},
    "push": {"title": "Hi", "body": "{{ name }}", "data": '{"name": {{ name | tojson }}}'},
    "in_app": {"title": "Hi {{ name }}", "body": "Look", "action_url": "/tour"},
    "webhook": {"payload": '{"name": {{ name | tojson }}}'},
    "locales": {"de": {"sms": {"text": "Hallo {{ name }}"}}},
}


async def test_one_template_has_content_for_every_channel_and_for_languages(tenant: Tenant):
    made = await tenant.call("PUT", "/templates/all", CHANNELS)

    async def tried(channel, **recipient):
        body = {"channel": channel, "data": {"name": 'A"da'}, "recipient": recipient}
        return (await tenant.post("/templates/all/render", body)).json

    assert made.status == 201
    assert made.json["sms"] == CHANNELS["sms"]
    assert made.json["locales"]["de"]["sms"] == {"text": "Hallo {{ name }}"}
    sms = await tried("sms", phone="+49 151 12345678")
    german = await tried("sms", locale="de-AT")
    assert sms["content"] == {"text": 'Hi A"da at +4915112345678'}
    assert (german["content"], german["locale"]) == ({"text": 'Hallo A"da'}, "de")
    assert (await tried("push"))["content"]["data"] == '{"name": "A\\"da"}'
    assert (await tried("webhook"))["content"] == {"payload": '{"name":"A\\"da"}'}
    assert (await tried("in_app"))["content"]["action_url"] == "/tour"


async def test_a_channel_must_be_named_where_there_are_several(tenant: Tenant):
    await tenant.call("PUT", "/templates/all", CHANNELS)
    await tenant.call("PUT", "/templates/one", {"locales": {"de": {"sms": {"text": "Hallo"}}}})

    unnamed = await tenant.post("/templates/all/render", {"data": {"name": "Ada"}})
    other = await tenant.post("/templates/one/render", {"channel": "email"})
    nobody = await tenant.post("/templates/one/render", {"recipient": {"locale": "fr"}})

    assert unnamed.pointers == {"/channel": "missing"}
    assert other.pointers == {"/channel": "other_channel"}
    assert nobody.pointers == {"/recipient/locale": "other_language"}


async def test_what_a_template_makes_must_be_fit_for_its_channel(tenant: Tenant):
    wrong = {"payload": "{{ name }}"}
    await tenant.call("PUT", "/templates/hook", {"webhook": wrong})

    answer = await tenant.post("/templates/hook/render", {"data": {"name": "no JSON"}})

    assert answer.pointers == {"/payload": "content_not_json"}


async def test_a_draft_waits_until_it_is_published_and_an_old_version_can_come_back(tenant: Tenant):
    body = {"channel": "email", "to": [{"email": "a@b.example"}], "template": "draft"}
    drafted = await tenant.call("PUT", "/templates/draft?draft=true", PARTS)
    before = await tenant.post("/communications", body)
    listed = (await tenant.get("/templates")).json["items"]

    published = await tenant.post("/templates/draft/publish", {"version": 1})
    await tenant.call("PUT", "/templates/draft", {"email": EMAIL | {"text": "second"}})
    second = await tenant.get("/templates/draft")
    back = await tenant.post("/templates/draft/publish", {"version": 1})
    current = await tenant.get("/templates/draft")
    third = await tenant.call("PUT", "/templates/draft", {"email": EMAIL | {"text": "third"}})

    assert (drafted.status, drafted.json["version"]) == (201, 1)
    assert (before.status, before.pointers) == (422, {"/template": "unknown"})
    assert [(t["name"], t["version"], t["latest"]) for t in listed] == [("draft", None, 1)]
    assert published.json == drafted.json
    assert second.json["version"] == 2
    assert (back.json["version"], current.json["version"]) == (1, 1)
    assert third.json["version"] == 3
    assert (await tenant.get("/templates/draft")).json["version"] == 3
    assert (await tenant.post("/templates/draft/publish", {"version": 9})).status == 404
    assert (await tenant.post("/templates/nope/publish", {"version": 1})).status == 404


async def test_two_versions_are_compared(tenant: Tenant):
    await tenant.call("PUT", "/templates/diff", PARTS)
    await tenant.call("PUT", "/templates/diff", {"email": EMAIL | {"text": "Yo {{ name }}"}})

    answer = await tenant.get("/templates/diff/diff?from=1&to=2")
    half = await tenant.get("/templates/diff/diff?from=1")
    missing = await tenant.get("/templates/diff/diff?from=1&to=3")

    assert answer.json == {
        "from": 1,
        "to": 2,
        "parts": [
            {
                "channel": "email",
                "locale": None,
                "part": "text",
                "diff": "@@ -1 +1 @@\n-Hi {{ name }}\n+Yo {{ name }}",
            }
        ],
    }
    assert half.pointers == {"to": "missing"}
    assert missing.status == 404
