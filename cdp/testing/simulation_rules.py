"""The rules of the simulation: what may never happen, and what must be true at the end.

Some are watched while everything moves, on the server's side and at the provider's door, where no
process can hide what it does. The books are held at the end, when all is quiet.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cdp.domain.event import (
    FINAL,
    FINAL_STATUSES,
    WORKER_LOST,
    EventName,
    Fold,
    Status,
    is_legal,
    step_fold,
)
from cdp.domain.failure import failure_document
from cdp.domain.ids import number_of, result_of, text_of
from cdp.domain.lane import Priority, lane_of
from cdp.ports.provider import EmailMessage
from cdp.testing.memory_query import Document
from cdp.testing.memory_store import MemoryServer
from cdp.testing.simulated_provider import ProviderSide, Taken
from cdp.testing.simulated_world import Process, World

E = EventName
ATTEMPTS_MAX: Final = 4
"""Of the simulation's retry policy."""


@dataclass(slots=True)
class _Lease:
    attempt: int
    seq: int
    writer: str
    until: datetime
    lapsed: bool = False


class Watch:
    """Sees every change on the server, and every send that begins."""

    def __init__(self, world: World, server: MemoryServer) -> None:
        self._world = world
        self._leases: dict[bytes, _Lease] = {}
        self._closed: dict[bytes, EventName] = {}
        self._begun: set[tuple[bytes, int]] = set()
        server.table("communication_logs").watch = self._on_event
        server.table("delivery_results").watch = self._on_result

    def _on_event(self, before: Document | None, event: Document) -> None:
        if before is not None:
            self._world.violated("P3", "an event was changed")
        result_id, number = result_of(event["_id"]), number_of(event["_id"])
        name, metadata = EventName(event["event"]), event.get("metadata", {})
        short = result_id.hex()[-6:]
        self._world.note(f"log {short} {number} {name} by {event['writer']} {metadata}")
        if name is E.DELIVERY_ATTEMPTED:
            self._leases[result_id] = _Lease(
                attempt=metadata["attempt"],
                seq=number or 0,
                writer=event["writer"],
                until=metadata["due_at"],
            )
        elif name is E.DELIVERY_FAILED and metadata.get("code") == WORKER_LOST:
            self._taken_over(result_id)
        elif name in FINAL:
            self._closed[result_id] = name

    def _taken_over(self, result_id: bytes) -> None:
        lease = self._leases[result_id]
        if not lease.lapsed and self._world.clock.now() < lease.until:
            self._world.violated(
                "D7", f"{text_of(result_id)} was given up while its worker held it to {lease.until}"
            )

    def _on_result(self, before: Document | None, after: Document) -> None:
        if before is None:
            return
        if after["seq"] < before["seq"]:
            self._world.violated("P3", f"the result {text_of(after['_id'])} went back")
        lease = self._leases.get(after["_id"])
        # Only a renewal changes the time and nothing else; the claim's projection may be late.
        is_renewal = after["seq"] == before["seq"] and after.get("due_at") != before.get("due_at")
        if lease is not None and is_renewal and after["seq"] <= lease.seq:
            lease.lapsed = lease.lapsed or self._world.clock.now() > lease.until
            lease.until = after["due_at"]

    def begins(self, process: Process, message: EmailMessage) -> None:
        """A worker is about to send: may it?"""
        world, key = self._world, (message.result_id, message.attempt)
        who = f"{process.incarnation} sends attempt {message.attempt} of {_short(key[0])}"
        lease = self._leases.get(message.result_id)
        if key in self._begun:
            world.violated("D5", f"{who} for the second time")
        self._begun.add(key)
        if lease is None or lease.attempt < message.attempt:
            world.violated("D5", f"{who}, which nobody has claimed")
            return
        if lease.attempt == message.attempt and not _is_by(lease.writer, process):
            world.violated("D5", f"{who}, which {lease.writer} has claimed")
        if lease.attempt > message.attempt or world.clock.now() > lease.until:
            world.violated("D6", f"{who} after its lease")
        if message.result_id in self._closed:
            world.violated("V9", f"{who} after {self._closed[message.result_id]}")


def _is_by(writer: str, process: Process) -> bool:
    """A process marks each of its calls: the mark begins with its incarnation."""
    return writer.split("#")[0] == process.incarnation


def _short(any_id: bytes) -> str:
    return any_id.hex()[-6:]


class Books:
    """Holds everything against everything, when all is quiet."""

    def __init__(self, world: World, server: MemoryServer, provider: ProviderSide) -> None:
        self._world = world
        self._server = server
        self._results = {d["_id"]: d for d in server.documents("delivery_results")}
        self._logs: dict[bytes, list[Document]] = {}
        for event in server.documents("communication_logs"):
            self._logs.setdefault(result_of(event["_id"]), []).append(event)
        self._taken: dict[bytes, list[Taken]] = {}
        for taken in provider.ledger:
            self._taken.setdefault(taken.result_id, []).append(taken)

    def close(self, accepted: Mapping[bytes, str], cancelled: Mapping[bytes, str]) -> None:
        """Check all.

        Args:
            accepted: results whose caller got a 202, with the request's reference.
            cancelled: results whose caller was told that they are cancelled.
        """
        for result_id, reference in accepted.items():
            if result_id not in self._results:
                self._violated("V1", result_id, f"was accepted ({reference}) and is gone")
        for result_id in self._results:
            state = self._log(result_id)
            if state.status not in FINAL_STATUSES:
                self._violated("V2", result_id, f"has no final state: {state.status}")
            self._projection(result_id, state)
            self._provider(result_id, state)
        for result_id in self._logs.keys() - self._results.keys():
            if len(self._logs[result_id]) > 1:
                self._violated("V4", result_id, "has a log but no result")
        for result_id, by in cancelled.items():
            if self._log(result_id).last is not E.CANCELLED:
                self._violated("V9", result_id, f"was cancelled ({by}), and its log denies it")

    def _violated(self, rule: str, result_id: bytes, sentence: str) -> None:
        self._world.violated(rule, f"{_short(result_id)} {sentence}")

    def _log(self, result_id: bytes) -> Fold:
        """The log is legal and without gaps; what it adds up to."""
        state, epoch = Fold(), 0
        for index, event in enumerate(self._logs.get(result_id, [])):
            name = EventName(event["event"])
            if number_of(event["_id"]) != index + 1:
                self._violated("V4", result_id, f"has no event {index + 1}")
            if not is_legal(state, name):
                self._violated("V3", result_id, f"has {name} after {state.last}")
            if state.last in FINAL:
                self._violated("V2", result_id, f"has {name} after {state.last}, which is final")
            epoch = self._epoch(result_id, event, epoch)
            state = step_fold(state, name, event["created_at"], event.get("metadata", {}))
            if name is E.DELIVERY_ATTEMPTED and event["metadata"]["attempt"] != state.attempt:
                self._violated("V6", result_id, f"misnumbers attempt {state.attempt}")
        if state.attempt > ATTEMPTS_MAX + 1:
            self._violated("D11", result_id, f"was attempted {state.attempt} times")
        return state

    def _epoch(self, result_id: bytes, event: Document, highest: int) -> int:
        """Who queues it owns its partition no earlier than who queued it before."""
        epoch: int = event.get("metadata", {}).get("epoch", highest)
        if epoch < highest:
            self._violated("V10", result_id, f"was queued in epoch {epoch} after {highest}")
        return max(epoch, highest)

    def _projection(self, result_id: bytes, state: Fold) -> None:
        """The result is what its log adds up to."""
        result = self._results[result_id]
        priority = Priority(result["priority"] if state.priority is None else state.priority)
        expected: dict[str, Any] = {
            "seq": state.seq,
            "status": state.status.value,
            "attempt": state.attempt,
            "lost": state.lost,
            "has_content": state.has_content,
            "failure": failure_document(state.failure),
            "priority": int(priority),
            "lane": lane_of("email", priority),
            "send_at": state.send_at,
            "expires_at": state.expires_at,
            "due_at": state.due_at,
        }
        defaults = {"lost": 0, "has_content": False}
        for name, value in expected.items():
            said = result.get(name, defaults.get(name))
            if said != value:
                self._violated("V4", result_id, f"says {name} {said}, its log {value}")

    def _provider(self, result_id: bytes, state: Fold) -> None:
        """What was taken was attempted; doubles are explained by unknown outcomes."""
        outcomes = self._outcomes(result_id)
        taken = self._taken.get(result_id, [])
        for attempt, times in Counter(t.attempt for t in taken).items():
            if times > 1:
                self._violated("V8", result_id, f"was taken {times} times in attempt {attempt}")
            if outcomes.get(attempt) not in ("succeeded", "unknown"):
                said = outcomes.get(attempt)
                self._violated("V7", result_id, f"was taken in attempt {attempt}, which is {said}")
        if state.status is Status.DELIVERED and state.attempt not in {t.attempt for t in taken}:
            self._violated("V7", result_id, "is delivered, but nobody took it")
        if len({(t.message_id, t.body) for t in taken}) > 1:
            self._violated("D7", result_id, "was not the same message in every attempt")

    def _outcomes(self, result_id: bytes) -> dict[int, str]:
        outcomes: dict[int, str] = {}
        attempt = 0
        for event in self._logs.get(result_id, []):
            name, metadata = EventName(event["event"]), event.get("metadata", {})
            if name is E.DELIVERY_ATTEMPTED:
                attempt += 1
            elif name is E.DELIVERY_SUCCEEDED:
                outcomes[attempt] = "succeeded"
            elif name is E.DELIVERY_FAILED:
                outcomes[attempt] = metadata.get("outcome", "failed")
        return outcomes
