"""MessageService: the Serve deployment, reached by handle, that renders in batches."""

from collections.abc import Mapping
from typing import Any

from ray import serve

from cdp.domain.delivery_result import WorkItem
from cdp.ports.handoff import Resolution
from cdp.ports.renderer import RenderOutcome, RenderRefusal
from deployments.component import Component
from deployments.handles import MESSAGE_SERVICE


@serve.deployment(name=MESSAGE_SERVICE)
class MessageServiceDeployment:
    """The Ray shell of `cdp.services.message_service.MessageService`."""

    def __init__(self) -> None:
        self._component = Component("message-service", serve.get_replica_context().replica_tag)
        self._service = self._component.wiring.message_service()
        self._beating = False

    def _beat(self) -> None:
        # Serve runs `__init__` outside the loop that requests run in, so the first call starts it.
        if not self._beating:
            self._beating = True
            self._component.heartbeat(dict)

    async def resolve(self, items: list[WorkItem]) -> list[Resolution]:
        """Make, store and record the content of each item."""
        self._beat()
        resolutions = await self._service.resolve(items)
        for resolution in resolutions:
            if resolution.refusal is not None:
                self._component.wiring.telemetry.count(
                    "cdp_render_refusals", reason=resolution.refusal
                )
        return resolutions

    async def preview(
        self, parts: Mapping[str, str], key: str, context: Mapping[str, Any]
    ) -> RenderOutcome:
        """Render a template against given data, without storing anything."""
        return await self._service.preview(parts, key, context)

    async def check(self, parts: Mapping[str, str], key: str) -> RenderRefusal | None:
        """Whether a template may be saved."""
        return await self._service.check(parts, key)
