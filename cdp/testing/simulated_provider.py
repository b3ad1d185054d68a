"""A provider that follows a script of chance, and the ledger of what it really took.

It keeps the promises of `cdp.ports.provider`: each message is reported once, no send begins after
its deadline, and what it rejects was not taken. At every send it asks whether the caller may.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cdp.ports.provider import (
    Accepted,
    EmailMessage,
    FailureClass,
    Outcome,
    Rejected,
    Report,
    Unknown,
)
from cdp.testing.simulated_world import Process, World

NOT_STARTED: Final = Rejected(failure=FailureClass.TRANSIENT, code="not_started")
CONNECT_FAILED: Final = Rejected(failure=FailureClass.TRANSIENT, code="connect_failed")

POISON: Final = "poison"
"""The subject of a message that kills the worker which sends it (rule D10)."""

BeginCheck = Callable[[Process, EmailMessage], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A message that reached its recipient."""

    result_id: bytes
    attempt: int
    message_id: str
    body: tuple[object, ...]
    """All that must be the same in every attempt."""


class ProviderSide:
    """The vendor, which outlives our workers."""

    def __init__(self, world: World, check: BeginCheck, kill: Callable[[Process], None]) -> None:
        self.world = world
        self.check = check
        self.kill = kill
        self.ledger: list[Taken] = []
        self.down_until = 0.0
        self.long_rate = 0.03
        """How often it thinks for longer than a lease."""

    def take(self, message: EmailMessage) -> None:
        """Deliver it."""
        self.world.note(f"delivers {message.result_id.hex()[-6:]} attempt {message.attempt}")
        self.ledger.append(
            Taken(
                result_id=message.result_id,
                attempt=message.attempt,
                message_id=message.message_id,
                body=(message.to, message.sender, message.subject, message.text, message.date),
            )
        )

    def answer_s(self) -> float:
        """How long it thinks: mostly little, seldom longer than a lease."""
        draw = self.world.random.random()
        if self.world.faults.stopped or draw > self.long_rate + 0.1:
            return 0.01 + 0.1 * draw
        return 2.0 if draw > self.long_rate else 40.0 * self.world.random.random()


class SimulatedProvider:
    """`Provider` in one worker."""

    def __init__(self, side: ProviderSide, process: Process) -> None:
        self._side = side
        self._process = process

    async def deliver(self, messages: Sequence[EmailMessage], report: Report[EmailMessage]) -> None:
        """See `Provider.deliver`."""
        begun_at = self._side.world.loop.time()
        if not self._side.world.faults.stopped and self._side.world.chance(0.01):
            raise RuntimeError("a provider with a mistake in it")
        await asyncio.gather(*(self._send(m, report, begun_at) for m in messages))

    async def close(self) -> None:
        """See `Provider.close`."""

    async def _send(
        self, message: EmailMessage, report: Report[EmailMessage], begun_at: float
    ) -> None:
        world = self._side.world
        # The line to the provider may be busy for a while.
        await asyncio.sleep(world.delay_s())
        await self._process.gate()
        if world.loop.time() > begun_at + message.deadline_s:
            report(message, NOT_STARTED)
            return
        self._side.check(self._process, message)
        if message.subject == POISON:
            self._side.kill(self._process)
            await self._process.gate()
        outcome = await self._exchange(message)
        await self._process.gate()
        report(message, outcome)

    async def _exchange(self, message: EmailMessage) -> Outcome:
        side, world = self._side, self._side.world
        if world.loop.time() < side.down_until:
            return CONNECT_FAILED
        draw = 0.0 if world.faults.stopped else world.random.random()
        before_s = side.answer_s()
        await asyncio.sleep(before_s)
        if draw < 0.82:
            side.take(message)
            await asyncio.sleep(side.answer_s() / 4)
            unheard = not world.faults.stopped and world.chance(0.06)
            return Unknown(code="timeout") if unheard else Accepted(answer="250 ok")
        return _refusal(draw)


def _refusal(draw: float) -> Outcome:
    """What is said of a message that was not taken."""
    if draw < 0.86:
        return Unknown(code="connection_lost")
    if draw < 0.90:
        return Rejected(failure=FailureClass.TRANSIENT, code="451")
    if draw < 0.93:
        return Rejected(failure=FailureClass.THROTTLED, code="421", retry_after_s=3.0)
    if draw < 0.95:
        return Rejected(failure=FailureClass.MAILBOX_FULL, code="552")
    if draw < 0.97:
        return Rejected(failure=FailureClass.ADDRESS, code="550")
    return CONNECT_FAILED
