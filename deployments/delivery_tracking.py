"""DeliveryTracking: the Serve application behind `/t`, the one part that is open to the public.

It is an application of its own, with its own replicas and its own MongoDB user, which can read
no key, no template and no content (rule A12).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from ray import serve
from starlette.applications import Starlette

from cdp.http.tracking import build_app
from deployments.component import Component


@serve.deployment(name="DeliveryTracking")
@serve.ingress()
class DeliveryTracking:
    """The Ray shell of `cdp.http.tracking`."""

    def __init__(self) -> None:
        self._component = Component("delivery-tracking", serve.get_replica_context().replica_tag)

    def __serve_build_asgi_app__(self) -> Starlette:
        """The application of this replica; Serve asks for it once."""
        service = self._component.wiring.delivery_tracking_service()

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            recording = asyncio.create_task(service.record_forever())
            self._component.heartbeat(dict)
            yield
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)

        return build_app(service, count=self._component.wiring.telemetry.count, lifespan=lifespan)


app = DeliveryTracking.bind()  # type: ignore[attr-defined]
