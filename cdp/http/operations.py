"""What operators ask: is it alive, is it ready, what does it count."""

from typing import Final

from cdp.errors import Overloaded
from cdp.http.answer import Answer, json_answer
from cdp.http.authentication import require_metrics_token
from cdp.http.call import Call

METRICS_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


async def healthz(call: Call) -> Answer:
    """The process answers."""
    return json_answer({"status": "alive"})


async def readyz(call: Call) -> Answer:
    """What it needs answers too."""
    try:
        state = await call.services.ready()
    except Overloaded:
        state = {"ready": False}
    return json_answer(state, status=200 if state.get("ready") else 503)


async def metrics(call: Call) -> Answer:
    """Every metric of the platform, in Prometheus' text format."""
    require_metrics_token(call)
    return Answer(status=200, body=await call.services.metrics_text(), content_type=METRICS_TYPE)
