"""One child as its parent sees it: starts it, hands it a frame, watches it, kills it.

The watchdog judges by the CPU time that an item has taken, so that a busy machine refuses
nothing; a much longer wall-clock time ends what does not even get the CPU.
"""

import asyncio
import contextlib
import fcntl
import mmap
import os
import signal
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from cdp.ports.renderer import RenderFault, RenderOutcome, TemplateSource
from cdp.rendering import limits, wire

_CLOCK_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_SIZE_IS_FIXED: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_EXIT_TIMEOUT_S: Final = 10.0


class RendererUnavailable(RuntimeError):
    """Templates cannot be rendered now: no child could be started, or the renderer is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the parent waits for what, in seconds."""

    item_cpu_s: float
    compile_cpu_s: float
    wall_s: float
    """For either of them, if the child does not get the CPU."""
    start_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A child has ended with items unanswered."""

    position: int | None
    """The item that it was at, if any."""
    fault: RenderFault
    is_certain: bool
    """Whether the item is the cause: it is when its CPU time was up. A signal may come from
    outside, and a slow item from a slow machine."""


class ChildProcess(asyncio.SubprocessProtocol):
    """A running child. It takes one frame at a time and is of no use after a `Death`."""

    def __init__(self, progress: mmap.mmap) -> None:
        self._progress_map = progress
        self._progress = memoryview(progress).cast("Q")
        self._transport: asyncio.SubprocessTransport | None = None
        self._buffer = bytearray()
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._answered: asyncio.Future[None] = loop.create_future()
        self._outcomes: dict[int, RenderOutcome] = {}
        self._expected = 0
        self.known = KnownSources()

    @classmethod
    async def start(cls, patience: Patience) -> "ChildProcess":
        """Start a child and wait until it can take a frame.

        Raises:
            RendererUnavailable: it did not start, or not in time.
        """
        progress_fd = os.memfd_create("cdp-rendering", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(progress_fd, wire.PROGRESS_BYTES)
            # To read from a file that the other side has made shorter would end the parent.
            fcntl.fcntl(progress_fd, fcntl.F_ADD_SEALS, _SIZE_IS_FIXED)
            progress = mmap.mmap(progress_fd, wire.PROGRESS_BYTES)
            _, child = await asyncio.get_running_loop().subprocess_exec(
                lambda: cls(progress),
                *(sys.executable, "-I", "-m", "cdp.rendering.child"),
                *(str(progress_fd), str(os.getpid())),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
                pass_fds=(progress_fd,),
            )
        except OSError as error:
            raise RendererUnavailable("the child could not be started") from error
        finally:
            os.close(progress_fd)
        try:
            await asyncio.wait(
                {child._ready, child._gone},
                timeout=patience.start_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        except BaseException:
            await child.kill()
            raise
        if not child.is_ready:
            await child.kill()
            raise RendererUnavailable("the child did not get ready")
        return child

    @property
    def is_ready(self) -> bool:
        """Whether it is alive and has said that it takes frames."""
        return self._ready.done() and not self._gone.done()

    @property
    def pid(self) -> int:
        """The process."""
        return self._subprocess.get_pid()

    async def exchange(
        self, frame: bytes, *, count: int, patience: Patience
    ) -> tuple[Mapping[int, RenderOutcome], Death | None]:
        """Have one frame worked at, for as long as it gets on.

        Returns:
            The outcomes by position in the frame, and why there are not `count` of them.
        """
        self._outcomes = {}
        self._expected = count
        self._answered = asyncio.get_running_loop().create_future()
        stdin = cast(asyncio.WriteTransport, self._subprocess.get_pipe_transport(0))
        stdin.writelines((wire.LENGTH.pack(len(frame)), frame))
        death = None
        try:
            death = await self._watch(patience)
        finally:
            if death is not None or not self._answered.done():
                await self.kill()
        return self._outcomes, None if len(self._outcomes) >= count else death

    async def kill(self) -> None:
        """End it at once and wait until it is gone."""
        self._send_kill()
        await asyncio.wait({self._gone}, timeout=_EXIT_TIMEOUT_S)

    async def _watch(self, patience: Patience) -> Death | None:
        loop = asyncio.get_running_loop()
        watched = {self._answered, self._gone}
        tick_s = patience.item_cpu_s / 4
        mark, cpu_s, wall_s = -1, 0.0, 0.0
        while not self._answered.done():
            await asyncio.wait(watched, timeout=tick_s, return_when=asyncio.FIRST_COMPLETED)
            if self._answered.done():
                break
            if self._gone.done():
                return self._explain_end()
            mark_now, cpu_now_s = self._progress[0], _cpu_seconds(self.pid)
            if cpu_now_s is None:
                continue
            # Only a higher one, so that a child that is not ours any more gains nothing.
            if mark_now > mark:
                # Seen first at a tick, so an item has up to a tick more than its time.
                mark, cpu_s, wall_s = mark_now, cpu_now_s, loop.time()
                continue
            is_over = cpu_now_s - cpu_s > _cpu_limit_s(mark, patience)
            if is_over or loop.time() - wall_s > patience.wall_s:
                fault = RenderFault.TIMEOUT
                return Death(position=self._position(mark), fault=fault, is_certain=is_over)
        return None

    def _explain_end(self) -> Death:
        # The kernel ends a process that has no memory left by SIGKILL, the C library by SIGABRT.
        killed = self._subprocess.get_returncode() in {-signal.SIGKILL, -signal.SIGABRT}
        return Death(
            position=self._position(self._progress[0]),
            fault=RenderFault.MEMORY if killed else RenderFault.ERROR,
            is_certain=False,
        )

    def _position(self, mark: int) -> int | None:
        position = wire.progress_position(mark)
        return position if position is not None and 0 <= position < self._expected else None

    def _send_kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._subprocess.kill()

    @property
    def _subprocess(self) -> asyncio.SubprocessTransport:
        assert self._transport is not None
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio has started it."""
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        """Asyncio has read from it."""
        self._buffer += cast(bytes, data)
        try:
            self._take_frames()
        except (ValueError, TypeError, IndexError):
            # It does not speak as our child does: whatever it is now, it must end.
            self._send_kill()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended, and all it wrote has been read."""
        self._subprocess.close()
        if not self._gone.done():
            self._gone.set_result(None)

    def _take_frames(self) -> None:
        head = wire.LENGTH.size
        while len(self._buffer) >= head:
            (size,) = wire.LENGTH.unpack_from(self._buffer)
            if size > limits.ANSWER_BYTES_MAX:
                raise ValueError
            if len(self._buffer) < head + size:
                return
            body = bytes(memoryview(self._buffer)[head : head + size])
            del self._buffer[: head + size]
            self._take_answers(orjson.loads(body))

    def _take_answers(self, answers: list[list[Any]]) -> None:
        if not self._ready.done():
            self._ready.set_result(None)
            return
        for answer in answers:
            position = answer[0]
            if not 0 <= position < self._expected:
                raise ValueError
            self._outcomes[position] = wire.outcome_of(answer)
        if len(self._outcomes) == self._expected and not self._answered.done():
            self._answered.set_result(None)


class KnownSources:
    """Which templates a child has, so that each is sent once; the least used leave first."""

    def __init__(self) -> None:
        self._handles: OrderedDict[str, tuple[int, TemplateSource]] = OrderedDict()
        self._dropped: list[int] = []
        self._next_handle = 0
        self._chars = 0

    def handle_of(self, source: TemplateSource, *, new: dict[int, Mapping[str, str]]) -> int:
        """The handle of a template. One that the child does not have yet is added to `new`."""
        held = self._handles.get(source.key)
        if held is not None:
            # A preview may show another text under a key.
            if held[1] is source or held[1].parts == source.parts:
                self._handles.move_to_end(source.key)
                return held[0]
            self._forget(source.key)
        self._next_handle += 1
        self._handles[source.key] = (self._next_handle, source)
        self._chars += chars_of(source)
        new[self._next_handle] = source.parts
        return self._next_handle

    def evict(self) -> list[int]:
        """The handles that the child shall drop after the frame they go with."""
        while len(self._handles) > limits.KNOWN_SOURCES_MAX or self._chars > limits.KNOWN_CHARS_MAX:
            self._forget(next(iter(self._handles)))
        dropped, self._dropped = self._dropped, []
        return dropped

    def _forget(self, key: str) -> None:
        handle, source = self._handles.pop(key)
        self._chars -= chars_of(source)
        self._dropped.append(handle)


def chars_of(source: TemplateSource) -> int:
    """The length of a template, all parts together."""
    return sum(len(text) for text in source.parts.values())


def _cpu_limit_s(mark: int, patience: Patience) -> float:
    return patience.compile_cpu_s if wire.progress_is_compiling(mark) else patience.item_cpu_s


def _cpu_seconds(pid: int) -> float | None:
    """The CPU time of a process in user and system mode, or None if it has just ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            # The name before may hold spaces and brackets.
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS_PER_S
