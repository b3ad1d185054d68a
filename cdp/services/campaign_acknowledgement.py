"""Whether everybody who decides on communications knows of a change of a campaign.

The Supervisor is asked. Who has told so with a heartbeat is believed; the others are asked, which
makes them look at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from cdp.domain.campaign import not_yet_applied

WITHIN_S: Final = 1.0
"""What a pause or a cancel waits for its acknowledgements."""

UNKNOWN: Final = -1
"""The epoch of who does not answer."""

Ask = Callable[[str], Awaitable[int | None]]
"""Let this component look, and tell the epoch that it has applied then; None if there is no such
component any more: who takes its place looks before it takes work."""


async def is_acknowledged(
    epoch: int, reports: Iterable[Mapping[str, object]], ask: Ask, *, within_s: float = WITHIN_S
) -> bool:
    """Whether all have applied this epoch before the time is over.

    Args:
        epoch: of the change.
        reports: the last heartbeat of each component.
        ask: how to ask one.
        within_s: how long.
    """

    async def asked(name: str) -> bool:
        applied = await ask(name)
        return applied is None or applied >= epoch

    try:
        async with asyncio.timeout(within_s):
            return all(await asyncio.gather(*map(asked, not_yet_applied(reports, epoch))))
    except TimeoutError:
        return False
