"""The `Renderer` that survives its templates: they run in child processes that may be killed.

A thread or a signal does not stop C code, and a few characters of a template can keep C code busy
for minutes or fill the memory. So a frame of items goes to a child; if an item outlives its time
or takes the child down, the child is replaced, that item is refused and the rest goes on.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from cdp.ports.renderer import (
    RenderFault,
    RenderItem,
    RenderOutcome,
    RenderRefusal,
    TemplateSource,
)
from cdp.rendering import limits
from cdp.rendering.child_process import (
    ChildProcess,
    Death,
    Patience,
    RendererUnavailable,
    chars_of,
)

__all__ = ["RendererUnavailable", "SandboxedRenderer"]

_NO_CONTEXT: Final = b"null"
_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATACLASS

_STARTS_MAX: Final = 3
"""How often a child is started that ends before it begins."""
_ROUNDS_WITHOUT_PROGRESS_MAX: Final = 3
"""Children in a row that die at no item: then something else is wrong than a template."""

_DEATHS_MAX: Final = 2
"""An item that was there when so many children ended is taken for the cause."""


_CAUSES: Final = {
    RenderFault.TIMEOUT: "took too long",
    RenderFault.MEMORY: "took too much memory",
    RenderFault.ERROR: "ended its process",
}


@dataclass(slots=True, kw_only=True)
class _Job:
    """One item on its way, and how many children have ended at it."""

    source: TemplateSource
    context_json: bytes
    outcome: RenderOutcome | None = None
    deaths: int = 0


class SandboxedRenderer:
    """Renders in a fixed number of children, which it starts when first needed.

    Calls may overlap; a frame waits for a free child in the order of arrival.
    """

    def __init__(
        self,
        *,
        children: int = 1,
        item_timeout_s: float = 0.2,
        compile_timeout_s: float = 1.0,
        wall_timeout_s: float = 5.0,
        start_timeout_s: float = 30.0,
    ) -> None:
        """Start nothing yet.

        Args:
            children: how many frames are rendered at a time.
            item_timeout_s: CPU time that one item may take.
            compile_timeout_s: CPU time that compiling one template may take.
            wall_timeout_s: how long an item may take when the machine gives it no CPU.
            start_timeout_s: how long a child may take to start.
        """
        assert children >= 1
        self._patience = Patience(
            item_cpu_s=item_timeout_s,
            compile_cpu_s=compile_timeout_s,
            wall_s=wall_timeout_s,
            start_s=start_timeout_s,
        )
        self._free: asyncio.Queue[_Seat] = asyncio.Queue()
        self._seats = [_Seat() for _ in range(children)]
        for seat in self._seats:
            self._free.put_nowait(seat)
        self._is_closed = False

    async def render(self, items: Sequence[RenderItem]) -> list[RenderOutcome]:
        """Render all, in order. Never raises for what a template or its data can do.

        Raises:
            RendererUnavailable: no child could be started, or the renderer was closed.
        """
        jobs = [_job(item) for item in items]
        await self._work(jobs)
        return [_finished(job) for job in jobs]

    async def check(self, source: TemplateSource) -> RenderRefusal | None:
        """Whether the template compiles within the limits; asked when a version is saved.

        Raises:
            RendererUnavailable: as in `render`.
        """
        job = _Job(source=source, context_json=_NO_CONTEXT)
        await self._work([job])
        outcome = _finished(job)
        return outcome if isinstance(outcome, RenderRefusal) else None

    async def close(self) -> None:
        """End the child processes. What is being rendered gets `RendererUnavailable`."""
        self._is_closed = True
        await asyncio.gather(*(seat.close() for seat in self._seats))

    @property
    def pids(self) -> list[int]:
        """The children that run now."""
        return [seat.child.pid for seat in self._seats if seat.child and seat.child.is_ready]

    async def _work(self, jobs: Sequence[_Job]) -> None:
        for frame in _frames([job for job in jobs if job.outcome is None]):
            pending, idle_rounds = frame, 0
            while pending:
                death = await self._send(pending)
                still_pending = [job for job in pending if job.outcome is None]
                got_on = len(still_pending) < len(pending)
                if death is not None and death.position is not None:
                    got_on |= _blame(pending[death.position], death)
                    still_pending = [job for job in still_pending if job.outcome is None]
                idle_rounds = 0 if got_on else idle_rounds + 1
                if idle_rounds >= _ROUNDS_WITHOUT_PROGRESS_MAX:
                    raise RendererUnavailable("children end before they have rendered anything")
                pending = still_pending

    async def _send(self, jobs: Sequence[_Job]) -> Death | None:
        """Have these worked at by the next free child, as far as it comes."""
        seat = await self._free.get()
        try:
            self._refuse_if_closed()
            child = await seat.occupy(self._patience)
            self._refuse_if_closed()
            outcomes, death = await child.exchange(
                _frame_bytes(jobs, child), count=len(jobs), patience=self._patience
            )
            for position, outcome in outcomes.items():
                jobs[position].outcome = outcome
        finally:
            self._free.put_nowait(seat)
        if death is not None:
            self._refuse_if_closed()
        return death

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise RendererUnavailable("the renderer is closed")


class _Seat:
    """The place of one child and, after its end, of the next."""

    def __init__(self) -> None:
        self.child: ChildProcess | None = None
        self._starting: asyncio.Task[ChildProcess] | None = None
        self._is_closed = False

    async def occupy(self, patience: Patience) -> ChildProcess:
        if self.child is None or not self.child.is_ready:
            self.child = None
            self.child = await self._start(patience)
        return self.child

    async def _start(self, patience: Patience) -> ChildProcess:
        # One in ten first children of a Serve replica ended before they began: gRPC's threads were
        # at work in the parent when it forked ("skipping fork() handlers"). The next one lives.
        for _ in range(_STARTS_MAX - 1):
            with contextlib.suppress(RendererUnavailable):
                return await self._begin(patience)
        return await self._begin(patience)

    async def _begin(self, patience: Patience) -> ChildProcess:
        if self._is_closed:
            raise RendererUnavailable("the renderer is closed")
        self._starting = asyncio.ensure_future(ChildProcess.start(patience))
        return await self._starting

    async def close(self) -> None:
        self._is_closed = True
        if self._starting is not None:
            # Not cancelled: whoever waits for it would take that for a cancellation of its own.
            await asyncio.wait({self._starting})
            if not self._starting.cancelled() and self._starting.exception() is None:
                await self._starting.result().kill()
        if self.child is not None:
            await self.child.kill()


def _blame(job: _Job, death: Death) -> bool:
    """Note that a child has ended at this item; refuse it if that is or seems its doing."""
    if job.outcome is not None:
        return False
    job.deaths += 1
    if death.is_certain or job.deaths >= _DEATHS_MAX:
        job.outcome = RenderRefusal(fault=death.fault, detail=_CAUSES[death.fault])
    return True


def _job(item: RenderItem) -> _Job:
    job = _Job(source=item.source, context_json=_NO_CONTEXT)
    try:
        job.context_json = orjson.dumps(item.context, _plain, _OPTIONS)
    except TypeError:
        job.outcome = RenderRefusal(fault=RenderFault.ERROR, detail="the data is not plain JSON")
    if len(job.context_json) > limits.CONTEXT_BYTES_MAX:
        job.outcome = RenderRefusal(
            fault=RenderFault.ERROR,
            detail=f"the data is longer than {limits.CONTEXT_BYTES_MAX} bytes",
        )
    return job


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def _finished(job: _Job) -> RenderOutcome:
    assert job.outcome is not None
    return job.outcome


def _frames(jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Cut into what one child takes at a time, so that others get their turn in between."""
    frame: list[_Job] = []
    keys: set[str] = set()
    size = 0
    for job in jobs:
        frame.append(job)
        size += len(job.context_json)
        if job.source.key not in keys:
            keys.add(job.source.key)
            size += chars_of(job.source)
        if len(frame) >= limits.FRAME_ITEMS_MAX or size >= limits.FRAME_BYTES_MAX:
            yield frame
            frame, keys, size = [], set(), 0
    if frame:
        yield frame


def _frame_bytes(jobs: Sequence[_Job], child: ChildProcess) -> bytes:
    new: dict[int, Mapping[str, str]] = {}
    items = b",".join(
        b"[%d,%b]" % (child.known.handle_of(job.source, new=new), job.context_json) for job in jobs
    )
    sources = orjson.dumps([[handle, dict(parts)] for handle, parts in new.items()])
    drop = orjson.dumps(child.known.evict())
    return b'{"sources":%b,"items":[%b],"drop":%b}' % (sources, items, drop)
