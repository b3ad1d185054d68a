"""ClientApi: the Serve deployment behind `/v1`; MessageService belongs to the same application."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from ray import serve
from starlette.types import ASGIApp

from cdp.errors import OutcomeUnknown
from cdp.http.app import build_app
from cdp.ports.handoff import WorkerLost
from cdp.ports.renderer import RenderOutcome, RenderRefusal
from cdp.services.campaign_acknowledgement import WITHIN_S
from deployments.component import Component
from deployments.handles import LOST, SUPERVISOR, ShardHints, ask
from deployments.message_service import MessageServiceDeployment

log = logging.getLogger(__name__)

ANSWER_S: Final = 5.0
BACKLOG_S: Final = 1.0


class RayTemplateEngine:
    """`TemplateEngine`: templates are checked and previewed where they are rendered."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def check(self, parts: Mapping[str, str], key: str) -> RenderRefusal | None:
        """See `TemplateEngine.check`."""
        answer: RenderRefusal | None = await self._ask(self._handle.check, parts, key)
        return answer

    async def preview(
        self, parts: Mapping[str, str], key: str, context: Mapping[str, Any]
    ) -> RenderOutcome:
        """See `TemplateEngine.preview`."""
        answer: RenderOutcome = await self._ask(self._handle.preview, parts, key, context)
        return answer

    async def _ask(self, method: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.wait_for(method.remote(*arguments), ANSWER_S)
        except LOST as error:
            # The kind of it, for there are many that say the same.
            log.warning("the Message Service was lost", extra={"error": type(error).__name__})
            raise OutcomeUnknown("The Message Service does not answer.") from error


@serve.deployment(name="ClientApi")
@serve.ingress()
class ClientApi:
    """The Ray shell of `cdp.http`."""

    def __init__(self, message_service: Any) -> None:
        self._component = Component("client-api", serve.get_replica_context().replica_tag)
        self._engine = RayTemplateEngine(message_service)
        self._backlog = self._component.wiring.backlog()

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application of this replica; Serve asks for it once."""
        wiring = self._component.wiring
        hints = ShardHints(wiring.partition_owners())

        @contextlib.asynccontextmanager
        async def lifespan(_: Any) -> AsyncIterator[None]:
            self._component.heartbeat(dict)
            self._component.loop("backlog", self._see_backlog)
            yield
            await services.inbox_streams.close()
            await self._component.stop_loops()

        services = wiring.api_services(
            engine=self._engine,
            backlog=self._backlog,
            hint=hints.tell,
            metrics_text=_metrics,
            ready=self._ready,
            campaigns_applied=_campaigns_applied,
        )
        app = build_app(services)
        app.router.lifespan_context = lifespan
        return app

    async def _see_backlog(self) -> float:
        with contextlib.suppress(WorkerLost):
            total, by_client = await ask(SUPERVISOR, "backlog", within_s=ANSWER_S)
            self._backlog.update(total, by_client)
        return BACKLOG_S

    async def _ready(self) -> Mapping[str, Any]:
        """Ready is who can accept: with MongoDB. The rest may be late without harm."""
        try:
            await self._component.wiring.database.ping()
        except OutcomeUnknown:
            return {"ready": False, "mongodb": "unreachable"}
        return {"ready": True, "mongodb": "ok"}


async def _campaigns_applied(epoch: int) -> bool:
    try:
        # A little longer than the Supervisor takes to say no.
        known: bool = await ask(SUPERVISOR, "campaigns_applied", epoch, within_s=WITHIN_S + 0.2)
    except WorkerLost:
        return False
    return known


async def _metrics() -> bytes:
    try:
        text: bytes = await ask(SUPERVISOR, "metrics", within_s=ANSWER_S)
    except WorkerLost as error:
        raise OutcomeUnknown("The Supervisor does not answer.") from error
    return text


app = ClientApi.bind(MessageServiceDeployment.bind())  # type: ignore[attr-defined]
