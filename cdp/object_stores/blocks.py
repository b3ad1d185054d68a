"""Chunks of any size gathered into blocks of one size, so that few and large steps store them."""

import io
from collections.abc import AsyncGenerator, AsyncIterable

from cdp.ports.object_store import ObjectTooLarge


async def gathered(
    chunks: AsyncIterable[bytes], *, block_bytes: int, size_max: int
) -> AsyncGenerator[tuple[io.BytesIO, bool], None]:
    """Each block, and whether it is the last. A block is a file in memory, whose `getbuffer` is the
    one copy of its bytes.

    All but the last have `block_bytes`; the last may be empty only if nothing came at all. A full
    block is held back until a byte more has come, so that it is known which is the last.

    Raises:
        ObjectTooLarge: more than `size_max` bytes came; they are not read on.
    """
    block = io.BytesIO()
    filled = 0
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > size_max:
            raise ObjectTooLarge(f"More than {size_max} bytes came.")
        rest = memoryview(chunk)
        while len(rest) > block_bytes - filled:
            head, rest = rest[: block_bytes - filled], rest[block_bytes - filled :]
            block.write(head)
            yield block, False
            block, filled = io.BytesIO(), 0
        block.write(rest)
        filled += len(rest)
    yield block, True
