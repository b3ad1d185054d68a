"""What a handler gives back: one whole answer, sent as it is."""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.types import Send

from cdp.errors import OutcomeUnknown
from cdp.ports.object_store import ObjectMissing, StoreUnavailable

log = logging.getLogger(__name__)

JSON: Final = b"application/json"
NO_STORE: Final = (b"cache-control", b"no-store")
NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status, a body and headers."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, send: Send) -> None:
        """Send it as ASGI messages."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": [*self._of_the_body(), NO_STORE, NO_SNIFF, *self.headers],
            }
        )
        await send({"type": "http.response.body", "body": self.body})

    def _of_the_body(self) -> list[tuple[bytes, bytes]]:
        """What is said of it: nothing of that in a 204 (RFC 9110, sections 8.3 and 8.6)."""
        if self.status == 204:
            return []
        length = (b"content-length", b"%d" % len(self.body))
        return [(b"content-type", self.content_type), length]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedAnswer(Answer):
    """An answer that is made while it is sent: what can be refused is refused before."""

    pieces: AsyncGenerator[bytes, None]

    async def send(self, send: Send) -> None:
        """Send it piece by piece. Where what is stored goes away, it breaks off and has no end."""
        headers = [(b"content-type", self.content_type), NO_STORE, NO_SNIFF, *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        try:
            async with aclosing(self.pieces) as pieces:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        except (OutcomeUnknown, ObjectMissing, StoreUnavailable) as error:
            log.warning("an answer broke off", extra={"error": type(error).__name__})
            return
        await send({"type": "http.response.body", "body": b""})


def json_answer(
    content: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> Answer:
    """An answer in JSON. Times are written in RFC 3339, in UTC."""
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return Answer(status=status, body=body, headers=tuple(headers))
