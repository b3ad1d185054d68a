"""A delivery worker in a process of its own, which one recipient kills: for the test of D10.

It is called over its pipes: pickled items in, pickled reports out, each behind its length.
"""

import asyncio
import os
import pickle
import struct
import sys
from collections.abc import Sequence
from typing import Any

from cdp.ports.provider import EmailMessage, Provider, Report
from cdp.providers.email.smtp import SmtpAccount, SmtpProvider
from cdp.services.delivery_service import DeliveryLimits, DeliveryService
from cdp.services.message_composition import Composer
from cdp.services.provider_roster import OneProvider
from cdp.settings import Settings
from cdp.storage.communications import Communications
from cdp.wiring import Wiring

KILLED = 137


class Deadly:
    """A `Provider` in which one recipient ends the process, as a bug in C would."""

    def __init__(self, inner: Provider[EmailMessage], poison: str) -> None:
        self._inner = inner
        self._poison = poison

    async def deliver(self, messages: Sequence[EmailMessage], report: Report[EmailMessage]) -> None:
        """See `Provider.deliver`."""
        for message in messages:
            if message.to.email == self._poison:
                os._exit(KILLED)
            await self._inner.deliver([message], report)

    async def close(self) -> None:
        """See `Provider.close`."""
        await self._inner.close()


def service_of(settings: dict[str, Any], port: int, poison: str, lease_s: float) -> DeliveryService:
    """The Delivery Service as `cdp.wiring` builds it, with that provider."""
    wiring = Wiring(Settings(**settings), component="doomed")
    account = SmtpAccount(host="127.0.0.1", port=port, security="none", connections_max=2)
    return DeliveryService(
        communications=wiring.communications,
        contents=Communications(wiring.database),
        providers=OneProvider(Deadly(SmtpProvider(account), poison)),
        limits=DeliveryLimits(lease_s=lease_s, answer_s=10.0),
        suppressions=wiring.suppression_service(),
        compose=Composer(message_id_domain="mail.example.org"),
        clock=wiring.clock,
        worker=f"doomed-{os.getpid()}",
    )


def read_frame() -> Any:
    """What the parent sends next; None at the end."""
    header = sys.stdin.buffer.read(4)
    if len(header) < 4:
        return None
    return pickle.loads(sys.stdin.buffer.read(struct.unpack(">I", header)[0]))


def write_frame(answer: Any) -> None:
    """Send this to the parent."""
    body = pickle.dumps(answer)
    sys.stdout.buffer.write(struct.pack(">I", len(body)) + body)
    sys.stdout.buffer.flush()


async def serve() -> None:
    """Answer calls until the pipe ends."""
    service = service_of(**read_frame())
    while (items := await asyncio.to_thread(read_frame)) is not None:
        write_frame(await service.deliver(items))
    await service.close()


if __name__ == "__main__":
    asyncio.run(serve())
