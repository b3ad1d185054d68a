"""The world of the simulation: processes that die and stall, and calls that get lost.

A dead process is one that never comes back from its next await: nothing of it runs on, no
`finally` and no `except`, just as after SIGKILL. A paused one goes on where it was, late.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from typing import Any, Final

from cdp.ports.handoff import WorkerLost
from cdp.testing.virtual_loop import VirtualClock, VirtualLoop

CALL_TIMEOUT_S: Final = 60.0
CALLER: Final = "caller"
"""Somebody outside of the platform: nothing befalls them."""
LATE_MAX_S: Final = 8.0


class Fate(Enum):
    """What becomes of one operation."""

    DONE = auto()
    REFUSED = auto()
    """Not done, and the caller can't know."""
    UNANSWERED = auto()
    """Done, and the caller can't know."""
    HALF_DONE = auto()
    LATE = auto()
    """The caller gives up, and then it is done."""
    REPEATED = auto()
    """The driver sends it twice, and the second answer counts."""
    UNCONFIRMED = auto()
    """Done, but no majority has confirmed it in time."""


_WRITE_FATES: Final = tuple(fate for fate in Fate if fate is not Fate.DONE)
_READ_FATES: Final = (Fate.REFUSED, Fate.UNANSWERED)


@dataclass(slots=True)
class Faults:
    """How likely trouble is now."""

    rate: float = 0.02
    storm_rate: float = 0.75
    storm_until: float = 0.0
    half_rate: float = 0.1
    """Of batches whose documents are not all written in one go."""
    lost_call_rate: float = 0.03
    slow_rate: float = 0.03
    stopped: bool = False


class World:
    """Time, chance and the processes."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - a simulation must be repeatable
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.faults = Faults()
        self.processes: dict[str, Process] = {}
        self.violations: list[str] = []
        self.ended = False
        self.incarnations = 0
        self.tasks: set[asyncio.Task[Any]] = set()
        self._trace = hashlib.blake2b(digest_size=8)
        self.story: list[str] | None = None
        """Every step, when somebody wants to read it."""

    def note(self, sentence: str) -> None:
        """Something happened: part of the seed's fingerprint."""
        line = f"{self.loop.time():9.3f} {sentence}"
        self._trace.update(line.encode())
        if self.story is not None:
            self.story.append(line)

    @property
    def fingerprint(self) -> str:
        """The same for two runs in which the same has happened."""
        return self._trace.hexdigest()

    def violated(self, rule: str, sentence: str) -> None:
        """A promise was broken."""
        self.note(f"VIOLATION {rule}: {sentence}")
        self.violations.append(f"{rule}: {sentence} (at {self.loop.time():.3f} s)")

    def chance(self, probability: float) -> bool:
        """Whether something happens that happens so often."""
        return self.random.random() < probability

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something that belongs to no process."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.violated("bug", f"{type(error).__name__}: {error}")

    def is_stormy(self) -> bool:
        """Whether the database can hardly be reached."""
        return self.loop.time() < self.faults.storm_until

    def fate(self, process: "Process", *, writes: bool) -> Fate:
        """Draw what becomes of one database operation."""
        faults = self.faults
        if faults.stopped:
            return Fate.DONE
        bad = self.is_stormy() or self.loop.time() < process.cut_until
        if not self.chance(faults.storm_rate if bad else faults.rate):
            return Fate.DONE
        return self.random.choice(_WRITE_FATES if writes else _READ_FATES)

    def delay_s(self) -> float:
        """How long an operation or a call takes: mostly little, seldom long."""
        draw = self.random.random()
        if self.faults.stopped or draw >= self.faults.slow_rate:
            return 0.001 + 0.02 * draw
        return 0.02 + 9.0 * self.random.random() ** 2

    def late_s(self) -> float:
        """When something happens that was given up."""
        return LATE_MAX_S * self.random.random()


class Process:
    """One incarnation of a component."""

    def __init__(self, world: World, name: str) -> None:
        world.incarnations += 1
        self.world = world
        self.name = name
        self.incarnation = f"{name}:{world.incarnations}"
        self.dead = False
        self.cut_until = 0.0
        """Until when this process alone can hardly reach the database."""
        self.actor: Any = None
        self._resumed: asyncio.Event | None = None
        self._death: asyncio.Future[None] = world.loop.create_future()
        world.processes[name] = self
        if name != CALLER:
            world.note(f"starts {self.incarnation}")

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something in this process."""
        return self.world.spawn(work)

    def loop(self, name: str, step: Callable[[], Coroutine[Any, Any, float]]) -> None:
        """Run `step` for ever, as a component's shell does."""
        self.spawn(self._forever(name, step))

    async def _forever(self, name: str, step: Callable[[], Coroutine[Any, Any, float]]) -> None:
        while True:
            try:
                pause_s = await step()
            except Exception as error:
                # The top of a loop, as in the shells: the next round starts from the database.
                self.world.note(f"{self.incarnation} {name} failed: {type(error).__name__}")
                self.note_bug(error)
                pause_s = 1.0
            await asyncio.sleep(pause_s)
            await self.gate()

    def note_bug(self, error: Exception) -> None:
        """What a loop survives may still be a mistake: only unknown outcomes are none."""
        if isinstance(error, AssertionError | LookupError | TypeError | AttributeError):
            self.world.violated("bug", f"{self.incarnation}: {type(error).__name__}: {error}")

    async def gate(self) -> None:
        """Where a paused process waits, and a dead one ends without noticing."""
        while self.dead or self._resumed is not None:
            if self.world.ended:
                raise asyncio.CancelledError
            if self.dead:
                await self.world.loop.create_future()
            elif self._resumed is not None:
                await self._resumed.wait()

    async def lag(self) -> None:
        """The time that an operation takes, and what may happen to its process meanwhile."""
        if self.dead or self._resumed is not None:
            await self.gate()
        await asyncio.sleep(self.world.delay_s())
        if self.dead or self._resumed is not None:
            await self.gate()

    def pause(self) -> None:
        """Stand still from the next await on, as with SIGSTOP."""
        if self._resumed is None and not self.dead:
            self.world.note(f"pauses {self.incarnation}")
            self._resumed = asyncio.Event()

    def resume(self) -> None:
        """Go on."""
        if self._resumed is not None:
            self.world.note(f"resumes {self.incarnation}")
            self._resumed.set()
            self._resumed = None

    def kill(self) -> None:
        """Nothing of it runs on."""
        if not self.dead:
            self.world.note(f"kills {self.incarnation}")
            self.dead = True
            self.resume()
            if not self._death.done():
                self._death.set_result(None)

    async def ask(self, target: str, method: str, *arguments: Any) -> Any:
        """Call another component, as its handle does.

        Raises:
            WorkerLost: there is none, it went away, it failed, or the call got lost on its way.
        """
        await self.lag()
        world = self.world
        lossy = world.faults.lost_call_rate if not world.faults.stopped else 0.0
        if world.chance(lossy):
            await asyncio.sleep(world.late_s())
            await self.gate()
            raise WorkerLost(target)
        callee = world.processes.get(target)
        if callee is None or callee.dead:
            raise WorkerLost(target)
        task = world.loop.create_task(callee.answer(method, *arguments))
        world.tasks.add(task)
        task.add_done_callback(world.tasks.discard)
        await asyncio.wait(
            {task, callee._death}, timeout=CALL_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        await self.lag()
        if not task.done() or task.cancelled() or task.exception() or world.chance(lossy):
            raise WorkerLost(target)
        return task.result()

    async def answer(self, method: str, *arguments: Any) -> Any:
        """What another component asked for."""
        await self.gate()
        try:
            result = await getattr(self.actor, method)(*arguments)
        except Exception as error:
            self.world.note(f"{self.incarnation} {method} failed: {type(error).__name__}")
            self.note_bug(error)
            raise
        await self.gate()
        return result

    def tell(self, target: str, method: str, *arguments: Any) -> None:
        """Send a hint: it may be lost, late or doubled."""
        world = self.world
        if world.faults.stopped:
            copies = 1
        else:
            copies = world.random.choices((0, 1, 2), weights=(15, 75, 10))[0]
        for _ in range(copies):
            late = world.late_s() if not world.faults.stopped and world.chance(0.1) else 0.0
            world.spawn(self._hint(late + world.delay_s(), target, method, *arguments))

    async def _hint(self, delay_s: float, target: str, method: str, *arguments: Any) -> None:
        await asyncio.sleep(delay_s)
        callee = self.world.processes.get(target)
        if callee is not None and not callee.dead:
            await callee.answer(method, *arguments)
