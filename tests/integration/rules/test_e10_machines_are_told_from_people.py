"""E10: what a scanner or a proxy does stays beside what people do, and hides none of it."""

from datetime import timedelta

from cdp.domain.event import EventName
from cdp.services.engagement_queue import Engagement
from tests.integration.rules.engaged import deliver
from tests.waiting import eventually

E = EventName


async def test_e10_a_proxys_open_hides_no_persons(rig, smtp):
    mail = await deliver(rig, smtp)

    async with mail.recording(), mail.visitor("Mozilla/5.0") as apple, mail.visitor() as person:
        await apple.get(mail.pixel)
        # What is shown follows the event.
        by_apple = await eventually(mail.shown, within_s=5)
        mail.clock.ahead += timedelta(hours=1)
        await person.get(mail.pixel)
        await person.get(mail.pixel)

    machine, human = sorted(await mail.engagement(), key=lambda event: event.at)
    assert machine.name is human.name is E.OPENED
    assert machine.metadata == {
        "user_agent": "Mozilla/5.0", "is_machine": True, "signs": ["privacy_proxy"],
    }  # fmt: skip
    assert human.metadata["is_machine"] is False
    assert "signs" not in human.metadata
    assert by_apple == {"machine_opened_at": machine.at}
    assert await mail.shown() == {"machine_opened_at": machine.at, "opened_at": human.at}
    assert (await rig.verify(settled=True)).violations == ()


async def test_e10_links_that_are_followed_at_once_wait_until_that_is_known(rig, smtp):
    mail = await deliver(rig, smtp)

    async with mail.recording(), mail.visitor() as browser:
        answers = [await browser.get(link) for link in mail.links]

        async def all_recorded():
            return len(await mail.engagement()) == len(mail.links) == 3

        await eventually(all_recorded, within_s=10)

    assert [answer.headers["location"] for answer in answers] == [
        "https://shop.example/a", "https://shop.example/b", "https://shop.example/c",
    ]  # fmt: skip
    assert {tuple(e.metadata["signs"]) for e in await mail.engagement()} == {("all_links",)}
    assert set(await mail.shown()) == {"machine_clicked_at"}


async def test_e10_a_person_follows_one_link(rig, smtp):
    mail = await deliver(rig, smtp)

    async with mail.recording(), mail.visitor() as person:
        await person.get(mail.links[1])
        await person.get(mail.links[1])

    [clicked] = await mail.engagement()
    assert (clicked.metadata["url"], clicked.metadata["is_machine"]) == (
        "https://shop.example/b", False,
    )  # fmt: skip
    assert set(await mail.shown()) == {"clicked_at"}


async def test_e10_a_head_is_answered_and_kept_as_a_machines(rig, smtp):
    mail = await deliver(rig, smtp)

    async with mail.recording(), mail.visitor() as scanner:
        looks = [await scanner.head(mail.pixel), await scanner.head(mail.links[0])]

    assert [look.status_code for look in looks] == [200, 302]
    kept = {e.name: (e.metadata["method"], e.metadata["signs"]) for e in await mail.engagement()}
    assert kept == {E.OPENED: ("HEAD", ["head"]), E.CLICKED: ("HEAD", ["head"])}
    assert set(await mail.shown()) == {"machine_opened_at", "machine_clicked_at"}


async def test_e10_what_comes_with_the_delivery_is_too_soon(rig, smtp):
    mail = await deliver(rig, smtp)
    [stored] = await mail.wiring.results.of_request(mail.client.id, [mail.item.result_id])

    async with mail.recording(), mail.visitor() as browser:
        mail.clock.ahead = stored["delivered_at"] - mail.wiring.clock.now()
        await browser.get(mail.pixel)

    [opened] = await mail.engagement()
    assert opened.metadata["signs"] == ["too_soon"]


async def test_e10_googles_proxy_is_named_and_its_opening_is_a_persons(rig, smtp):
    mail = await deliver(rig, smtp)
    agent = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via GoogleImageProxy)"

    async with mail.recording(), mail.visitor(agent) as google:
        await google.get(mail.pixel)

    [opened] = await mail.engagement()
    assert (opened.metadata["relay"], opened.metadata["is_machine"]) == ("google", False)
    assert set(await mail.shown()) == {"opened_at"}


async def test_e10_what_a_clients_own_app_reports_is_no_visit(rig, smtp):
    mail = await deliver(rig, smtp)
    read = Engagement(result_id=mail.item.result_id, name=E.READ, at=mail.clock.now())

    await mail.tracking.record_of_client(mail.client.id, [read])

    [event] = await mail.engagement()
    assert (event.name, dict(event.metadata)) == (E.READ, {})
    assert await mail.shown() == {"read_at": read.at}
