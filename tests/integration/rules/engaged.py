"""One delivered email with its links, and somebody who looks at it over HTTP."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from email import message_from_bytes
from email.message import Message
from typing import Any

import httpx

from cdp.domain.client import Client
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import Event
from cdp.http.tracking import build_app
from cdp.ports.clock import SystemClock
from cdp.services.delivery_tracking_service import FIELD_OF, DeliveryTrackingService
from cdp.testing.smtp_server import SmtpServer
from cdp.wiring import Wiring
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import Rig, accept, smtp_provider
from tests.integration.verification_world import request_of

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
HTML = (
    '<body><a href="https://shop.example/a">a</a> <a href="https://shop.example/b">b</a> '
    '<a href="https://shop.example/c">c</a></body>'
)


class LateClock(SystemClock):
    """A clock that goes ahead, so that a message was delivered long ago."""

    def __init__(self) -> None:
        self.ahead = timedelta(minutes=5)

    def now(self) -> Any:
        return super().now() + self.ahead


@dataclass(kw_only=True)
class Delivered:
    """What arrived, and the platform behind it."""

    wiring: Wiring
    client: Client
    item: WorkItem
    mail: Message
    html: str
    tracking: DeliveryTrackingService
    clock: LateClock

    @property
    def item_recipient(self) -> str:
        """Whom it went to."""
        return str(self.mail["To"])

    @property
    def pixel(self) -> str:
        """Its path."""
        return path_of(re.findall(r'<img src="([^"]+)"', self.html)[0])

    @property
    def links(self) -> list[str]:
        """The paths of its tracked links, in their order."""
        return [path_of(url) for url in re.findall(r'href="([^"]+/t/c/[^"]+)"', self.html)]

    @asynccontextmanager
    async def visitor(self, user_agent: str = BROWSER) -> AsyncIterator[httpx.AsyncClient]:
        """Somebody with this program, who never follows a redirect."""
        app = build_app(self.tracking, count=lambda *_, **__: None)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://track.example",
            headers={"user-agent": user_agent},
        ) as browser:
            yield browser

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """While it lasts, and at its end, what is seen is recorded."""
        task = asyncio.create_task(self.tracking.record_forever())
        # It has to have begun, for one that has not begun can't end in peace.
        await asyncio.sleep(0)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def engagement(self) -> list[Event]:
        """Its events that move nothing."""
        log = await self.wiring.communications.events(self.client.id, self.item.result_id)
        return [event for event in log if event.id[16:20] == b"\xff" * 4]

    async def shown(self) -> dict[str, Any]:
        """What its client sees of it, of what somebody did."""
        [document] = await self.wiring.results.of_request(self.client.id, [self.item.result_id])
        return {name: document[name] for name in FIELD_OF.values() if name in document}


def path_of(url: str) -> str:
    """A tracked URL's path behind `/t`."""
    return "/" + url.partition("/t/")[2]


def html_of(mail: Message) -> str:
    """The HTML part of an email."""
    part = next(p for p in mail.walk() if p.get_content_type() == "text/html")
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


async def deliver(
    rig: Rig,
    smtp: SmtpServer,
    html: str = HTML,
    *,
    wiring: Wiring | None = None,
    offers: bool = False,
    **fields: Any,
) -> Delivered:
    """One email on its whole way.

    Args:
        rig: where.
        smtp: what takes it.
        html: of its template.
        wiring: of the process that renders it.
        offers: whether its client's emails all carry the way out.
        fields: of the request.
    """
    wiring = wiring or rig.process("shard")
    client = await rig.client(wiring)
    if offers:
        await wiring.access_service().set_offers_unsubscribe(client.id, offers=True)
    await rig.template(wiring, client.id, "news", subject="News", html=html)
    request = replace(request_of(client.id, **fields), template="news", content=None)
    [item] = await accept(wiring, [request])
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()
    await shard.settle([item])
    mail = message_from_bytes(smtp.messages[-1].content)
    clock = LateClock()
    tracker = rig.process("delivery-tracking", clock=clock)
    return Delivered(
        wiring=wiring,
        client=client,
        item=item,
        mail=mail,
        html=html_of(mail),
        tracking=tracker.delivery_tracking_service(),
        clock=clock,
    )
