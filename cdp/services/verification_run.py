"""One run of the audit over all results: what it has seen so far, and what it must see again.

The log and the results are read a moment apart, so on a live platform many an item looks wrong
that is only moving. Such a suspect is read again, by itself and in the order in which it is
written; it is a violation when it is found wrong twice with nothing moved in between.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cdp.domain.books import Books, Violation
from cdp.domain.ids import partition_of, text_of, uuid7
from cdp.domain.log_shape import Finding
from cdp.domain.result_audit import Case, Judgement, Terms, judge
from cdp.ports.clock import Clock
from cdp.services.verification_ledgers import ProviderLedger
from cdp.services.verification_stream import KIN, RESULTS, Chunk, Document, chunks
from cdp.storage.audit import AuditReads

SUSPECTS_MAX: Final = 20_000
"""Looked at again in between when there are more, so that memory stays bounded."""
LOOKS_MAX: Final = 6
AGAIN_AT_ONCE: Final = 200
OVERDUE_KEPT: Final = 1_000
"""Up to so many would find room in a shard's memory: that they wait is no backlog."""
VIOLATIONS_KEPT: Final = 1_000

Entries = Sequence[bytes] | None
"""A result's part of the provider's ledger; None when there is no ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the audit has come."""

    phase: str
    events: int
    results: int


class Findings:
    """The violations: all are counted, the first are kept."""

    def __init__(self) -> None:
        self.kept: list[Violation] = []
        self.by_rule: Counter[str] = Counter()

    def add(self, violation: Violation) -> None:
        """Note one."""
        self.by_rule[violation.rule] += 1
        if len(self.kept) < VIOLATIONS_KEPT:
            self.kept.append(violation)

    def note(
        self, rule: str, sentence: str, *, result_id: bytes = b"", client: bytes = b""
    ) -> None:
        """Note one by its parts; an id that is not known is empty."""
        self.add(
            Violation(
                rule=rule,
                result_id=text_of(result_id) if result_id else "",
                client=text_of(client) if client else "",
                sentence=sentence,
            )
        )


class VerificationRun:
    """Reads everything once, and the suspects again."""

    def __init__(
        self,
        *,
        audit: AuditReads,
        clock: Clock,
        lease: timedelta,
        moment_s: float,
        settled: bool,
        ledger: ProviderLedger | None,
        ledger_until: datetime | None,
        progress: Callable[[Progress], None],
    ) -> None:
        self._audit = audit
        self._clock = clock
        self._lease = lease
        self._moment_s = moment_s
        self._settled = settled
        self._ledger = ledger
        self._ledger_until = ledger_until
        self._progress = progress
        self._began = clock.now()
        self._partitions = 0
        self._horizon: bytes | None = None
        if not settled:
            ms = int(self._began.timestamp() * 1000)
            self._horizon = uuid7(unix_ms=ms, random_bytes=bytes(10))
        self._requests: dict[bytes, Document] = {}
        self._suspects: dict[bytes, Entries] = {}
        self._overdue: list[bytes] = []
        self._newest: datetime | None = None
        self._epochs: dict[int, tuple[int, bytes]] = {}
        self.books = Books()
        self.findings = Findings()
        self.events = 0
        self.results = 0
        self.looked_again = 0
        self.unknown = 0
        self.doubles = 0
        self.late = 0
        self.overdue = 0
        self.never_accepted = 0

    async def run(self) -> None:
        """Hold every result against the rules."""
        self._partitions = len(await self._audit.epochs())
        async with aclosing(chunks(self._audit, before=self._horizon)) as everything:
            async for chunk in everything:
                await self._take(chunk)
                self.report("log")
                if len(self._suspects) > SUSPECTS_MAX:
                    await self._look_again()
        await self._look_again()
        await self._settle_overdue()
        await self._leases()
        for violation in self.books.violations():
            self.findings.add(violation)

    def report(self, phase: str) -> None:
        """Tell the caller how far it is."""
        self._progress(Progress(phase=phase, events=self.events, results=self.results))

    def _terms(self) -> Terms:
        return Terms(
            now=self._clock.now(),
            lease=self._lease,
            partitions=self._partitions,
            settled=self._settled,
            ledger_until=self._ledger_until,
        )

    async def _take(self, chunk: Chunk) -> None:
        """Judge all results of a chunk."""
        terms = self._terms()
        self._requests = await self._requests_of(chunk)
        ids = chunk.events.keys() | chunk.results.keys()
        entries = self._entries(chunk, ids)
        self.events += sum(map(len, chunk.events.values()))
        self.results += len(chunk.results)
        for result_id in ids:
            result = chunk.results.get(result_id)
            case = Case(
                result_id=result_id,
                events=chunk.events.get(result_id, ()),
                result=result,
                request=self._requests.get(_request_of(result)) if result else None,
                recipient=chunk.recipients.get(result_id),
                communication=chunk.communications.get(result_id),
                ledger=None if entries is None else entries.get(result_id, ()),
            )
            verdict = judge(case, terms)
            if verdict.is_clear:
                self._tally(case, verdict)
            else:
                self._suspects[result_id] = case.ledger

    async def _requests_of(self, chunk: Chunk) -> dict[bytes, Document]:
        """The requests of a chunk's results; one with many recipients has another id than they."""
        requests = chunk.requests
        wanted = set(map(_request_of, chunk.results.values())) - requests.keys()
        for request_id in wanted & self._requests.keys():
            requests[request_id] = self._requests[request_id]
            wanted.discard(request_id)
        if wanted:
            requests |= await self._audit.by_id("communication_requests", wanted)
        return requests

    def _entries(self, chunk: Chunk, ids: set[bytes]) -> Mapping[bytes, Sequence[bytes]] | None:
        if self._ledger is None:
            return None
        # A result that came after we began is not ours to judge.
        end = self._horizon if chunk.end is None else chunk.end
        return self._ledger.before(end, known=ids, stray=self._stray)

    def _stray(self, result_id: bytes) -> None:
        sentence = "The provider took it, but there is no such communication."
        self.findings.note("V7", sentence, result_id=result_id)

    def _tally(self, case: Case, verdict: Judgement) -> None:
        """Count a result, once: when it is seen right, or when it is given up."""
        self.never_accepted += verdict.never_accepted
        self.unknown += verdict.unknown
        self.doubles += verdict.doubles
        self.late += verdict.late
        result = case.result
        if verdict.bucket is not None:
            campaign = case.request.get("campaign") if case.request else None
            account = (case.events[0].get("client_id", b""), campaign)
            self.books.account(account, verdict.bucket)
            if verdict.opened:
                self.books.engage(account, opened=True, clicked=verdict.clicked)
        if result is not None:
            self.books.accept((result.get("client_id", b""), result.get("campaign")))
        if verdict.overdue:
            self.overdue += 1
            if len(self._overdue) < OVERDUE_KEPT:
                self._overdue.append(case.result_id)
        if verdict.last_at is not None and (self._newest is None or verdict.last_at > self._newest):
            self._newest = verdict.last_at
        if verdict.epoch is not None:
            self._note_epoch(case.result_id, verdict.epoch)

    def _note_epoch(self, result_id: bytes, epoch: int) -> None:
        if self._partitions:
            partition = partition_of(result_id, self._partitions)
            if epoch > self._epochs.get(partition, (-1, b""))[0]:
                self._epochs[partition] = (epoch, result_id)

    async def _look_again(self) -> None:
        """Read the suspects anew until each is clear, or is wrong and stands still."""
        suspects, self._suspects = self._suspects, {}
        self.looked_again += len(suspects)
        before: dict[bytes, tuple[Finding, ...]] = {}
        for look in range(1, LOOKS_MAX + 1):
            if not suspects:
                return
            self.report("suspects")
            if look > 1:
                await asyncio.sleep(self._moment_s)
            wrong: dict[bytes, tuple[Finding, ...]] = {}
            for case, verdict in await self._judge_anew(suspects):
                findings = tuple(verdict.findings)
                if not findings:
                    self._tally(case, verdict)
                elif before.get(case.result_id) == findings or look == LOOKS_MAX:
                    self._give_up(case, verdict)
                else:
                    wrong[case.result_id] = findings
            suspects = {result_id: suspects[result_id] for result_id in wrong}
            before = wrong

    def _give_up(self, case: Case, verdict: Judgement) -> None:
        self._tally(case, verdict)
        for rule, sentence in verdict.findings:
            self.findings.note(rule, sentence, result_id=case.result_id, client=verdict.client_id)

    async def _judge_anew(self, suspects: Mapping[bytes, Entries]) -> list[tuple[Case, Judgement]]:
        ids = list(suspects)
        judged: list[tuple[Case, Judgement]] = []
        for start in range(0, len(ids), AGAIN_AT_ONCE):
            cases = await self._read_anew(ids[start : start + AGAIN_AT_ONCE], suspects)
            terms = self._terms()
            judged += [(case, judge(case, terms)) for case in cases]
        return judged

    async def _read_anew(
        self, ids: Sequence[bytes], suspects: Mapping[bytes, Entries]
    ) -> list[Case]:
        """The result before its log, so that it is never ahead; content after the log."""
        results = await self._audit.by_id(RESULTS, ids)
        logs = await self._audit.events_of(ids)
        wanted = [set(map(_request_of, results.values())), ids, ids]
        requests, recipients, communications = await asyncio.gather(
            *(self._audit.by_id(name, some) for name, some in zip(KIN, wanted, strict=True))
        )
        cases = []
        for result_id in ids:
            result = results.get(result_id)
            cases.append(
                Case(
                    result_id=result_id,
                    events=logs[result_id],
                    result=result,
                    request=requests.get(_request_of(result)) if result else None,
                    recipient=recipients.get(result_id),
                    communication=communications.get(result_id),
                    ledger=suspects[result_id],
                )
            )
        return cases

    async def _settle_overdue(self) -> None:
        """Nothing is due and ownerless (V13). A long queue that moves is a backlog, not a loss."""
        now = self._clock.now()
        moves = self._newest is not None and self._newest >= now - 2 * self._lease
        if self.overdue > OVERDUE_KEPT and moves and not self._settled:
            return
        still = dict.fromkeys(self._overdue)
        self.overdue -= len(self._overdue)
        for case, verdict in await self._judge_anew(still):
            if verdict.overdue and case.result is not None:
                self.overdue += 1
                sentence = f"It is {case.result['status']}, due {case.result['due_at']}, unowned."
                self.findings.note(
                    "V13", sentence, result_id=case.result_id, client=verdict.client_id
                )

    async def _leases(self) -> None:
        """No event is from an epoch that has not begun (V10)."""
        leases = await self._audit.epochs()
        for partition, (epoch, result_id) in sorted(self._epochs.items()):
            known = leases.get(partition, 0)
            if epoch > known:
                sentence = f"It was queued in epoch {epoch}; partition {partition} is at {known}."
                self.findings.note("V10", sentence, result_id=result_id)


def _request_of(result: Document) -> bytes:
    request_id: bytes = result.get("request_id", b"")
    return request_id
