"""Whether an email is tracked: the request's word, else the configuration's, else the client's."""

from dataclasses import replace
from typing import Any

from cdp.domain.communication_request import Tracking
from cdp.domain.delivery_config import ConfigScope, DeliveryConfig
from cdp.storage.communications import Communications
from tests.integration.rules.rig import accept
from tests.integration.verification_world import request_of

HTML = '<p>Hello <a href="https://shop.example/sale">there</a></p>'


async def test_the_narrowest_that_says_so_decides_on_opens_and_clicks(rig):
    wiring = rig.process("message")
    client = await rig.client(wiring)
    configs = wiring.delivery_config_service()
    silent = ConfigScope(channel="email", campaign="silent")
    await configs.create(client.id, silent, DeliveryConfig(track_opens=False, track_clicks=False))
    half = ConfigScope(segment="half")
    await configs.create(client.id, half, DeliveryConfig(track_opens=False))
    asked: dict[str, dict[str, Any]] = {
        "client": {},
        "campaign": {"campaign": "silent"},
        "segment": {"segment": "half"},
        "request": {"campaign": "silent", "tracking": Tracking(opens=True)},
    }
    content = {"subject": "Hello", "html": HTML}
    requests = [request_of(client.id, **fields) for fields in asked.values()]
    items = await accept(wiring, [_with(request, content) for request in requests])

    await wiring.message_service().resolve(items)

    made = await Communications(wiring.database).across_clients([i.result_id for i in items])
    tracked = {}
    for name, item in zip(asked, items, strict=True):
        html = made[item.result_id].content["html"]
        tracked[name] = ("/t/o/" in html, "/t/c/" in html)
    assert client.track_opens
    assert client.track_clicks
    assert tracked == {
        "client": (True, True),
        "campaign": (False, False),
        "segment": (False, True),
        "request": (True, False),
    }


def _with(request, content):
    return replace(request, content=content)
