"""A body is read within its limits, however it comes."""

import asyncio
import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.errors import PayloadTooLarge
from cdp.http.body import Body
from cdp.http.problems import BodyTooSlow, ClientGone, Malformed
from tests.waiting import arrives

LIMIT = 100_000


def receiving(*pieces: bytes, gone: bool = False) -> Any:
    """An ASGI `receive` that gives these pieces, then waits for ever or is gone."""
    messages = [
        {"type": "http.request", "body": piece, "more_body": gone or n < len(pieces) - 1}
        for n, piece in enumerate(pieces)
    ]
    if gone:
        messages.append({"type": "http.disconnect"})

    async def receive() -> Any:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    return receive


def split(raw: bytes, size: int) -> list[bytes]:
    return [raw[at : at + size] for at in range(0, len(raw), size)] or [b""]


@given(raw=st.binary(max_size=3_000), size=st.integers(1, 500), packed=st.booleans())
async def test_the_body_is_whole_however_it_arrives(raw, size, packed):
    sent = gzip.compress(raw) if packed else raw
    headers = {b"content-encoding": b"gzip"} if packed else {}

    body = Body(headers, receiving(*split(sent, size)), limit=LIMIT)

    assert await body.read() == raw


async def test_a6_one_byte_too_many_is_refused():
    exact = Body({}, receiving(b"x" * LIMIT), limit=LIMIT)
    assert len(await exact.read()) == LIMIT

    for pieces in ([b"x" * (LIMIT + 1)], [b"x" * LIMIT, b"y"]):
        with pytest.raises(PayloadTooLarge):
            await Body({}, receiving(*pieces), limit=LIMIT).read()
    with pytest.raises(PayloadTooLarge):
        Body({b"content-length": b"100001"}, receiving(), limit=LIMIT)


async def test_a6_a_bomb_is_refused_by_its_ratio_before_it_unfolds():
    bomb = zlib.compressobj(9, wbits=31)
    packed = bomb.compress(b" " * 30_000_000) + bomb.flush()

    with pytest.raises(PayloadTooLarge, match="100 times"):
        await Body({b"content-encoding": b"gzip"}, receiving(packed), limit=40_000_000).read()


async def test_a6_a_body_that_drips_is_refused_after_its_time():
    async def dripping() -> Any:
        drop = {"type": "http.request", "body": b"x", "more_body": True}
        return await arrives(drop, after_s=0.02)

    with pytest.raises(BodyTooSlow):
        await Body({}, dripping, limit=LIMIT, within_s=0.1).read()


async def test_who_hangs_up_has_sent_nothing():
    with pytest.raises(ClientGone):
        await Body({}, receiving(b"{", gone=True), limit=LIMIT).read()


@pytest.mark.parametrize(
    "raw", [b"", b"no gzip", gzip.compress(b"x", mtime=0)[:-1], gzip.compress(b"x", mtime=0) + b"y"]
)
async def test_what_is_no_whole_gzip_is_malformed(raw):
    with pytest.raises(Malformed):
        await Body({b"content-encoding": b"gzip"}, receiving(raw), limit=LIMIT).read()
