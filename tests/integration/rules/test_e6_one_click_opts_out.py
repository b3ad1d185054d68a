"""E6: who wants out is out by one click, and whoever only looks changes nothing (RFC 8058)."""

from dataclasses import replace

import pytest

from cdp.domain.communication_request import Envelope
from cdp.domain.event import EventName
from cdp.domain.suppression import SuppressionReason
from tests.integration.rules.engaged import deliver, path_of
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept, names_of, smtp_provider
from tests.integration.verification_world import request_of
from tests.waiting import eventually

E = EventName
LINKED = (
    '<body><a href="{{ unsubscribe_url }}">out</a> <a href="https://shop.example/a">a</a></body>'
)
CLICK = {"List-Unsubscribe": "One-Click"}


def path_out(mail):
    return path_of(mail.mail["List-Unsubscribe"].strip("<>"))


def to_the_same(mail, request):
    [recipient] = request.recipients
    return replace(request, recipients=(replace(recipient, identifier=mail.item_recipient),))


async def listed(mail):
    service = mail.wiring.suppression_service()
    return await service.page(mail.client.id, named={}, after=None, limit=9)


async def test_e6_a_mail_program_opts_out_without_a_cookie_and_once_is_enough(rig, smtp):
    mail = await deliver(rig, smtp, topic="news")

    async with mail.visitor("Mail/1") as program:
        clicks = [await program.post(path_out(mail), data=CLICK) for _ in range(3)]

    assert [click.status_code for click in clicks] == [200, 200, 200]
    assert all("set-cookie" not in click.headers for click in clicks)
    [entry] = await listed(mail)
    assert (entry.recipient, entry.topic) == (mail.item_recipient, "news")
    assert entry.reason is SuppressionReason.UNSUBSCRIBE
    [event] = await mail.engagement()
    assert (event.name, dict(event.metadata)) == (
        E.UNSUBSCRIBED, {"method": "POST", "user_agent": "Mail/1"},
    )  # fmt: skip
    assert (await rig.verify(settled=True)).violations == ()


async def test_e6_a_scanners_look_shows_a_form_and_opts_nobody_out(rig, smtp):
    mail = await deliver(rig, smtp, LINKED, topic="news")
    path = path_out(mail)

    async with mail.recording(), mail.visitor() as scanner:
        page = await scanner.get(path)
        head = await scanner.head(path)
        others = [await scanner.request(method, path) for method in ("PUT", "DELETE", "OPTIONS")]

    assert (page.status_code, head.status_code, head.content) == (200, 200, b"")
    assert '<form method="post"><button>' in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert {other.status_code for other in others} == {405}
    assert await listed(mail) == []
    assert await mail.engagement() == []


async def test_e6_the_forms_button_does_what_the_mail_programs_does(rig, smtp):
    mail = await deliver(rig, smtp, topic="news")

    async with mail.visitor() as person:
        answer = await person.post(path_out(mail))

    assert "Done" in answer.text
    assert len(await listed(mail)) == 1


async def test_e6_who_has_opted_out_of_a_topic_still_gets_the_others(rig, smtp):
    mail = await deliver(rig, smtp, topic="news")
    async with mail.visitor() as person:
        await person.post(path_out(mail))
    again = [
        to_the_same(mail, request_of(mail.client.id, topic=topic))
        for topic in ("news", "offers", None)
    ]
    items = await accept(mail.wiring, again)
    shard = LittleShard(mail.wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()

    await shard.settle(items)

    ends = [(await names_of(mail.wiring, item))[-1] for item in items]
    assert ends == [E.SUPPRESSED, E.DELIVERY_SUCCEEDED, E.DELIVERY_SUCCEEDED]


async def test_e6_without_a_topic_one_opts_out_of_all_where_the_client_offers_it(rig, smtp):
    plain = await deliver(rig, smtp)
    await plain.wiring.access_service().set_offers_unsubscribe(plain.client.id, offers=True)
    offering = await deliver(rig, smtp, offers=True)

    async with offering.visitor() as person:
        await person.post(path_out(offering))

    assert plain.mail["List-Unsubscribe"] is None
    [entry] = await listed(offering)
    assert entry.topic is None


@pytest.mark.parametrize("topic", ["news", None])
async def test_e6_a_clients_own_way_out_stays_its_own(rig, smtp, topic):
    own = ("list-unsubscribe", "<mailto:out@shop.example>")
    mail = await deliver(
        rig, smtp, "<body>{{ unsubscribe_url }}</body>", offers=True, topic=topic,
        envelope=Envelope(headers=(own,)), data={"unsubscribe_url": "https://shop.example/out"},
    )  # fmt: skip

    assert mail.mail.get_all("List-Unsubscribe") == [own[1]]
    assert mail.mail["List-Unsubscribe-Post"] is None
    assert "https://shop.example/out" in mail.html


async def test_e2_a_long_way_out_stays_on_one_plain_line(rig, smtp):
    public = "https://" + ".".join(["a" * 60] * 4) + ".example"
    wiring = rig.process("shard", public_url=public)
    await deliver(rig, smtp, wiring=wiring, topic="news")

    head = smtp.messages[-1].content.partition(b"\r\n\r\n")[0]
    lines = head.split(b"\r\n")

    [line] = [line for line in lines if line.startswith(b"List-Unsubscribe:")]
    assert len(line) > 300
    assert line.startswith(f"List-Unsubscribe: <{public}/t/u/".encode())
    assert line.endswith(b">")
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines


async def test_e9_the_way_out_is_never_tracked_and_a_mailto_neither(rig, smtp):
    html = LINKED.replace("</body>", '<a href="mailto:a@shop.example">m</a></body>')
    mail = await deliver(rig, smtp, html, topic="news")

    assert len(mail.links) == 1
    assert f'href="{mail.mail["List-Unsubscribe"].strip("<>")}"' in mail.html
    assert 'href="mailto:a@shop.example"' in mail.html


async def test_e9_a_token_that_was_altered_or_is_anothers_leads_nowhere(rig, smtp):
    mail = await deliver(rig, smtp, topic="news")
    link, out = mail.links[0].removeprefix("/c/"), path_out(mail).removeprefix("/u/")
    pixel = mail.pixel.removeprefix("/o/").removesuffix(".gif")
    altered = ("B" if link[9] == "A" else "A").join((link[:9], link[10:]))

    async with mail.recording(), mail.visitor() as browser:
        answers = [
            await browser.get(path)
            for path in (
                f"/c/{altered}", f"/c/{out}", f"/c/{pixel}", f"/o/{link}.gif", f"/o/{out}.gif",
                f"/u/{pixel}", f"/u/{link}", "/c/", "/u/x", "/o/.gif",
                f"/c/{altered}?url=https://evil.example/",
            )
        ]  # fmt: skip
        posts = [await browser.post(f"/u/{token}") for token in (pixel, link, altered, out[:-1])]

    assert {answer.status_code for answer in (*answers, *posts)} == {404}
    assert await mail.engagement() == []
    assert await listed(mail) == []


async def test_e9_no_query_says_where_a_link_leads(rig, smtp):
    mail = await deliver(rig, smtp)

    async with mail.visitor() as browser:
        answer = await browser.get(f"{mail.links[0]}?url=https://evil.example/&u=//evil.example")

    assert answer.headers["location"] == "https://shop.example/a"


async def test_a12_the_public_part_opts_out_with_a_user_who_cannot_read_the_list(rig, smtp):
    mail = await deliver(rig, smtp, topic="news")
    async with mail.visitor() as person:
        answer = await person.post(path_out(mail))

    tracker = rig.process("delivery-tracking")
    assert answer.status_code == 200
    with pytest.raises(Exception, match="not authorized"):
        await tracker.suppression_service().page(mail.client.id, named={}, after=None, limit=1)


async def test_e6_mongodb_away_answers_later_and_the_repeat_counts(rig, smtp):
    mail = await deliver(rig, smtp, topic="news")

    async with mail.visitor() as person:
        async with rig.failing(["insert"], app="delivery-tracking", closeConnection=True):
            failed = await person.post(path_out(mail))
        answer = await person.post(path_out(mail))

    assert (failed.status_code, failed.headers["retry-after"]) == (503, "2")
    assert answer.status_code == 200
    await eventually(lambda: listed(mail), within_s=5)
