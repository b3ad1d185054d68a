"""The process that runs templates: no secrets, no files, little memory, and easily killed.

It reads frames from its standard input and answers on its standard output, as described in
`cdp.rendering.wire`.
"""

import ctypes
import mmap
import os
import resource
import signal
import sys
from typing import Any, BinaryIO, Final

import orjson

from cdp.ports.renderer import RenderFault, RenderRefusal
from cdp.rendering import limits
from cdp.rendering.engine import OUT_OF_MEMORY, CompiledPart, Engine, render
from cdp.rendering.wire import IDLE, LENGTH, PROGRESS_BYTES, READY, progress_mark

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_PAGE_BYTES: Final = resource.getpagesize()


class Answers:
    """Finished items on their way to the parent, a frame for several."""

    def __init__(self, output_fd: int) -> None:
        self._output_fd = output_fd
        self._waiting: list[bytes] = []
        self._bytes = 0

    def add(self, answer: bytes) -> None:
        """Send this one soon: with others if they are small."""
        self._waiting.append(answer)
        self._bytes += len(answer)
        if len(self._waiting) >= limits.FLUSH_ITEMS or self._bytes >= limits.FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        if not self._waiting:
            return
        body = b"[" + b",".join(self._waiting) + b"]"
        self._waiting.clear()
        self._bytes = 0
        frame = memoryview(LENGTH.pack(len(body)) + body)
        while frame:
            frame = frame[os.write(self._output_fd, frame) :]


class Child:
    """The templates that this process knows, and its place in the frame."""

    def __init__(self, *, progress: memoryview, answers: Answers) -> None:
        self._engine = Engine()
        self._progress = progress
        self._answers = answers
        self._sources: dict[int, dict[str, str]] = {}
        self._compiled: dict[int, list[CompiledPart] | RenderRefusal] = {}
        self._ran_out_of_memory = False
        # The first use of the engine imports and caches; that is not the first item's time.
        warm = self._engine.compile({"html": "{% for x in y %}{{ x|default(1) }}{% endfor %}"})
        assert not isinstance(warm, RenderRefusal)
        render(warm, {"y": [1]})
        self._bytes_at_start = _memory_bytes()

    def serve(self, frame: dict[str, Any]) -> None:
        """Answer all items of one frame."""
        self._sources.update(frame["sources"])
        for position, (handle, data) in enumerate(frame["items"]):
            self._answers.add(self._answer(position, handle, data))
            if self._ran_out_of_memory:
                self._ran_out_of_memory = False
                self._retire_if_grown()
        # Only now, as an item of this frame may have used them.
        for handle in frame["drop"]:
            self._sources.pop(handle, None)
            self._compiled.pop(handle, None)
        self._progress[0] = IDLE
        self._answers.flush()
        self._retire_if_grown()

    def _answer(self, position: int, handle: int, data: dict[str, Any] | None) -> bytes:
        outcome: list[CompiledPart] | dict[str, str] | RenderRefusal | None
        outcome = self._compiled.get(handle)
        if outcome is None:
            self._progress[0] = progress_mark(position, is_compiled=False)
            outcome = self._compiled[handle] = self._engine.compile(self._sources[handle])
        self._progress[0] = progress_mark(position, is_compiled=True)
        if isinstance(outcome, list):
            outcome = render(outcome, data) if data is not None else {}
        if isinstance(outcome, dict):
            try:
                return orjson.dumps([position, outcome])
            except MemoryError:
                outcome = RenderRefusal(fault=RenderFault.MEMORY, detail=OUT_OF_MEMORY)
        self._ran_out_of_memory = outcome.fault is RenderFault.MEMORY
        return _refusal(position, outcome)

    def _retire_if_grown(self) -> None:
        """End the process, with all answers sent, if the next item would have less memory."""
        if _memory_bytes() - self._bytes_at_start > limits.GROWTH_BYTES_MAX:
            self._progress[0] = IDLE
            self._answers.flush()
            sys.exit()


def _refusal(position: int, refusal: RenderRefusal) -> bytes:
    return orjson.dumps(
        [
            position,
            refusal.fault,
            # A template may name things by half a surrogate pair, which is no text.
            refusal.detail.encode(errors="replace").decode(),
            refusal.part,
            refusal.line,
            [name.encode(errors="replace").decode() for name in refusal.variables],
        ]
    )


def _memory_bytes() -> int:
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[0]) * _PAGE_BYTES


def _harden(parent_pid: int) -> None:
    """Give up what a template has no use for, and die with the parent."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit()
    for limit, value in (
        (resource.RLIMIT_AS, limits.MEMORY_BYTES_MAX),
        (resource.RLIMIT_NOFILE, limits.FILES_MAX),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(limit, (value, value))


def _read_frame(stream: BinaryIO) -> bytes | None:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    body = stream.read(size)
    return body if len(body) == size else None


def main(progress_fd: int, parent_pid: int) -> None:
    """Serve until the parent closes the pipe."""
    shared = mmap.mmap(progress_fd, PROGRESS_BYTES)
    os.close(progress_fd)
    output_fd = os.dup(1)
    os.dup2(2, 1)
    _harden(parent_pid)
    child = Child(progress=memoryview(shared).cast("Q"), answers=Answers(output_fd))
    os.write(output_fd, READY)
    while (body := _read_frame(sys.stdin.buffer)) is not None:
        child.serve(orjson.loads(body))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
