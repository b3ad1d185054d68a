"""An email's whole way through the running platform: HTTP, MongoDB, Ray, SMTP, mailbox."""

import re
from datetime import UTC, datetime, timedelta

from tests.platform import Platform
from tests.waiting import eventually

HTML = '<p>Hello {{ name }}, <a href="https://example.org/offer">look</a></p>'


def email(to: str, **fields):
    content = {"subject": "Hello", "html": "<p>Hello</p>", "text": "Hello"}
    return {"channel": "email", "to": [{"email": to}], "content": content, **fields}


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


async def test_a_message_reaches_the_mailbox_and_its_log_tells_the_whole_way(platform: Platform):
    client = await platform.client()

    request_id = await client.post(email("way@example.org"))
    await client.until(request_id, "delivered")

    [message] = await platform.inbox("way@example.org")
    assert message["message_id"].strip("<>").startswith(request_id)
    assert [event["event"] for event in await client.events(request_id)] == [
        "CREATED",
        "CONTENT_RESOLVED",
        "QUEUED",
        "DELIVERY_ATTEMPTED",
        "DELIVERY_SUCCEEDED",
    ]


async def test_a_template_is_rendered_for_each_recipient_and_pinned_to_its_version(
    platform: Platform,
):
    client = await platform.client()
    parts = {"email": {"subject": "Hi {{ name }}", "html": HTML}}
    assert (await client.call("PUT", "/templates/hello", parts)).status in (200, 201)
    to = [
        {"email": "one@example.org", "data": {"name": "Ada"}},
        {"email": "two@example.org", "data": {"name": "Bo"}},
    ]

    request_id = await client.post({"channel": "email", "to": to, "template": "hello"})
    body = await client.until(request_id, "delivered")

    assert [r["to"] for r in body["recipients"]] == ["one@example.org", "two@example.org"]
    [second] = await platform.inbox("two@example.org")
    assert second["subject"] == "Hi Bo"
    resolved = [e for e in await client.events(request_id) if e["event"] == "CONTENT_RESOLVED"]
    assert [e["details"]["version"] for e in resolved] == [1, 1]


async def test_t5_a_missing_variable_is_an_error_of_that_communication_alone(platform: Platform):
    client = await platform.client()
    # Behind a condition it can't be known before it is rendered that the variable is needed.
    parts = {"email": {"subject": "Hi", "text": "{% if polite %}Dear {{ name }}{% endif %}"}}
    await client.call("PUT", "/templates/hello", parts)
    to = [{"email": "with@example.org", "data": {"name": "Ada"}}, {"email": "bare@example.org"}]
    data = {"polite": True}

    request_id = await client.post(
        {"channel": "email", "to": to, "template": "hello", "data": data}
    )

    async def decided():
        body = await client.get(request_id)
        return body if not body["counts"]["pending"] else None

    body = await eventually(decided, within_s=30)
    states = {r["to"]: (r["status"], r["reason"]) for r in body["recipients"]}
    assert states["with@example.org"][0] == "delivered"
    assert states["bare@example.org"] == ("undeliverable", "missing_variable")


async def test_a_temporary_refusal_is_retried_with_the_same_message_id(platform: Platform):
    client = await platform.client()

    request_id = await client.post(email("ada+soft2@example.org"))
    body = await client.until(request_id, "delivered", within_s=40)

    assert body["recipients"][0]["attempts"] == 3
    [message] = await platform.inbox("ada+soft2@example.org")
    assert request_id in message["message_id"]


async def test_a_permanent_refusal_is_undeliverable_at_once(platform: Platform):
    client = await platform.client()

    request_id = await client.post(email("ada+bounce@example.org"))
    body = await client.until(request_id, "undeliverable")

    assert (body["recipients"][0]["attempts"], body["recipients"][0]["reason"]) == (1, "address")


async def test_send_at_is_kept_to_the_second(platform: Platform):
    client = await platform.client()
    due = datetime.now(UTC) + timedelta(seconds=4)

    request_id = await client.post(email("later@example.org", send_at=due.isoformat()))
    await client.until(request_id, "scheduled")
    await client.until(request_id, "delivered")

    [attempted] = [e for e in await client.events(request_id) if e["event"] == "DELIVERY_ATTEMPTED"]
    late = datetime.fromisoformat(attempted["at"]) - due
    assert timedelta(0) <= late < timedelta(seconds=1)


async def test_d12_what_is_due_in_a_year_waits_and_can_be_sent_now(platform: Platform):
    client = await platform.client()
    request_id = await client.post(email("year@example.org", send_at=in_seconds(365 * 86_400)))
    await client.until(request_id, "scheduled")

    answer = await client.call("PATCH", f"/communications/{request_id}", {"send_at": None})

    assert answer.status == 200, answer
    await client.until(request_id, "delivered")


async def test_a_cancelled_one_is_never_sent_and_a_late_cancel_is_409(platform: Platform):
    client = await platform.client()
    request_id = await client.post(email("never@example.org", send_at=in_seconds(3)))
    await client.until(request_id, "scheduled")

    answer = await client.call("POST", f"/communications/{request_id}/cancel")
    assert answer.status == 200, answer
    later = await client.post(email("after@example.org", send_at=in_seconds(5)))
    await client.until(later, "delivered")

    assert await platform.inbox("never@example.org") == []
    assert (await client.get(request_id))["status"] == "cancelled"
    assert (await client.call("POST", f"/communications/{later}/cancel")).status == 409


async def test_what_has_expired_is_not_sent(platform: Platform):
    client = await platform.client()
    body = email("expired+soft9@example.org", expires_at=in_seconds(3))

    request_id = await client.post(body)

    await client.until(request_id, "expired", within_s=40)
    assert await platform.inbox("expired+soft9@example.org") == []


async def test_opens_and_clicks_are_recorded_and_a_forged_link_changes_nothing(platform: Platform):
    client = await platform.client()
    html = '<html><body><a href="https://example.org/a?b=1&amp;c=2">x</a></body></html>'
    content = {"subject": "Hello", "html": html}
    body = {"channel": "email", "to": [{"email": "reader@example.org"}], "content": content}
    request_id = await client.post(body)
    await client.until(request_id, "delivered")
    answer = await client.call("GET", f"/communications/{request_id}/content")
    sent = answer.body["content"]["html"]
    [link] = re.findall(r'href="([^"]+)"', sent)
    [pixel] = re.findall(r'src="([^"]+)"', sent)

    async with platform.http.get(pixel) as answer_pixel:
        assert answer_pixel.headers["content-type"] == "image/gif"
    async with platform.http.get(link, allow_redirects=False) as answer_link:
        assert answer_link.status == 302
        assert answer_link.headers["location"] == "https://example.org/a?b=1&c=2"
    forged = link[:-2] + ("AA" if not link.endswith("AA") else "BB")
    async with platform.http.get(forged, allow_redirects=False) as answer_forged:
        assert answer_forged.status == 404

    async def engaged():
        names = [event["event"] for event in await client.events(request_id)]
        return {"OPENED", "CLICKED"} <= set(names) and names

    names = await eventually(engaged, within_s=15)
    assert sorted(names)[-1:] == ["QUEUED"] or names.count("CLICKED") == 1

    async def counted():
        # The log comes first, and what is counted from it a moment later.
        recipient = (await client.get(request_id))["recipients"][0]
        # A test is a program, and quicker than any person.
        assert recipient["machine_opened_at"]
        assert recipient["machine_clicked_at"]
        return recipient

    recipient = await eventually(counted, within_s=15)
    assert recipient["opened_at"] is recipient["clicked_at"] is None


async def test_a4_another_client_sees_nothing_of_it(platform: Platform):
    owner, other = await platform.client(), await platform.client()
    request_id = await owner.post(email("private@example.org"))

    for path in ("", "/events", "/content"):
        answer = await other.call("GET", f"/communications/{request_id}{path}")
        assert answer.status == 404, (path, answer)
    assert (await other.call("POST", f"/communications/{request_id}/cancel")).status == 404
    assert (await other.call("GET", "/communications")).body["items"] == []


async def test_a_batch_reports_each_item_and_its_counts_add_up(platform: Platform):
    client = await platform.client()
    items = [email(f"batch{n}@example.org") for n in range(20)] + [email("no address")]

    answer = await client.call("POST", "/communications/batch", items)

    assert answer.status in (200, 202, 207), answer
    assert (answer.body["accepted"], answer.body["rejected"]) == (20, 1)
    batch_id = answer.body["batch_id"]

    async def done():
        counts = (await client.call("GET", f"/batches/{batch_id}")).body["counts"]
        return counts if counts["pending"] == 0 else None

    counts = await eventually(done, within_s=30)
    assert counts["accepted"] == counts["delivered"] == 20


async def test_the_metrics_of_all_components_are_in_one_scrape(platform: Platform):
    client = await platform.client()
    await client.until(await client.post(email("metrics@example.org")), "delivered")

    async def seen():
        text = (await client.call("GET", "/metrics")).body
        return 'cdp_events_total{event="DELIVERY_SUCCEEDED"}' in text and "cdp_actors" in text

    await eventually(seen, within_s=10)


async def test_every_component_of_the_design_runs(platform: Platform):
    async def complete():
        kinds = {component["kind"] for component in (await platform.status())["components"]}
        return {
            "client-api",
            "message-service",
            "delivery-tracking",
            "queue-shard",
            "scheduler",
            "delivery-pool",
            "delivery-worker",
            "supervisor",
        } <= kinds

    await eventually(complete, within_s=20)


async def test_urgent_mail_passes_another_clients_bulk(platform: Platform):
    bulk, urgent = await platform.client("bulk"), await platform.client("urgent")
    for start in range(0, 3_000, 500):
        items = [email(f"bulk{n}@example.org") for n in range(start, start + 500)]
        assert (await bulk.call("POST", "/communications/batch", items)).body["accepted"] == 500

    request_id = await urgent.post(email("urgent@example.org", priority="high"))
    body = await urgent.until(request_id, "delivered", within_s=10)

    waited = datetime.fromisoformat(body["recipients"][0]["delivered_at"]) - datetime.fromisoformat(
        body["created_at"]
    )
    assert waited < timedelta(seconds=5)


async def test_the_books_of_everything_above_balance(platform: Platform):
    async def quiet():
        return (await platform.status())["backlog"] == 0

    await eventually(quiet, within_s=90)
    verification = await platform.verify(settled=True)

    assert verification.violations == ()


async def test_every_channel_arrives_where_it_is_shown(platform: Platform):
    client = await platform.client()
    hook = f"{platform.mailbox}hooks/orders"
    requests = [
        {"channel": "sms", "to": [{"phone": "+4915112345678"}], "content": {"text": "Your code"}},
        {
            "channel": "push",
            "to": [{"device_token": "d" * 40, "platform": "fcm"}],
            "content": {"title": "Your order", "body": "On its way"},
        },
        {"channel": "webhook", "to": [{"url": hook}], "content": {"payload": {"order": 7}}},
        {
            "channel": "in_app",
            "to": [{"user": "ada"}],
            "content": {"title": "Welcome", "body": "Look around"},
        },
    ]

    ids = [await client.post(request) for request in requests]
    for known in ids:
        await client.until(known, "delivered", within_s=60)

    shown = [(await platform.inbox(to))[0] for to in ("+4915112345678", "d" * 40, hook)]
    assert [entry["channel"] for entry in shown] == ["sms", "push", "webhook"]
    assert [entry["subject"] for entry in shown] == ["Your code", "Your order", '{"order":7}']
    inbox = (await client.call("GET", "/inbox?user=ada")).body["items"]
    assert [entry["title"] for entry in inbox] == ["Welcome"]
