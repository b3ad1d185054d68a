"""SftpGateway: the actor that takes files by SFTP.

A shell only: what a client may do, and when a file is complete, is decided in `cdp.sftp`. Uploads
lie in a spool on the disk of its node, so whoever starts it anew starts it there.
"""

from typing import Any, Final

from deployments.component import Component

FOR_GOOD_S: Final = 3_600.0
UNUSED_S: Final = 5.0
"""How often is asked whether anybody has an account yet."""


class SftpGateway:
    """Listens while it lives; what was under way when it died may be resumed by its client."""

    def __init__(self, name: str) -> None:
        self._component = Component("sftp-gateway", name)
        self._gateway = self._component.wiring.sftp_gateway()
        self._port: int | None = None
        self._has_ended = False
        self._component.loop("listen", self._listen)
        self._component.loop("unused", self._end_if_unused)
        self._component.heartbeat(self._facts)

    async def _listen(self) -> float:
        if self._port is None:
            settings = self._component.wiring.settings
            self._port = await self._gateway.start(settings.sftp_host, settings.sftp_port)
        return FOR_GOOD_S

    async def _end_if_unused(self) -> float:
        if self._port is not None and not self._has_ended:
            self._has_ended = await self._gateway.stop_if_unused()
        return UNUSED_S

    def _facts(self) -> dict[str, Any]:
        # Who has ended waits for the Supervisor, which starts a new one with the next account.
        return {"port": None if self._has_ended else self._port, "ended": self._has_ended}

    async def ping(self) -> str:
        """A sign of life."""
        return self._component.wiring.incarnation
