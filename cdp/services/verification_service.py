"""The audit: reads the whole log and proves the books, rules V1 to V13.

A product feature, `cdp verify`, and the end of every fault test. It can run beside a platform at
work; what only moves is no violation. With `settled` nothing may be in motion.

It is right for a platform whose log is kept whole: what retention removed it can't know of.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cdp.domain.books import Balance, Violation
from cdp.domain.ids import text_of
from cdp.ports.clock import Clock
from cdp.services.verification_ledgers import ProviderLedger, callers_ids
from cdp.services.verification_run import Findings, Progress, VerificationRun
from cdp.storage.audit import AuditReads

BATCHES_AT_ONCE: Final = 200
DOUBLED_KEYS_MAX: Final = 1_000

__all__ = ["ClientBalance", "Progress", "Verification", "VerificationService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientBalance:
    """One client's books."""

    client: str
    """Its id, as people see it."""
    name: str
    """Empty when there is no such client any more."""
    balance: Balance


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What an audit came to."""

    began_at: datetime
    duration_s: float
    settled: bool
    events: int
    results: int
    batches: int
    """Finished batches whose counts were checked."""
    callers: int
    """Entries of the callers' ledger."""
    taken: int
    """Entries of the provider's ledger."""
    balances: tuple[ClientBalance, ...]
    violations: tuple[Violation, ...]
    """The first of them; `by_rule` counts all."""
    by_rule: Mapping[str, int]
    unknown_outcomes: int
    """Attempts of which nobody knows whether the provider took the message."""
    doubles: int
    """Messages that the provider took once more, by its ledger."""
    looked_again: int
    """Results that were moving, or looked wrong at first."""
    late: int
    """Results that were behind their logs at the end, and will be repaired when they are met."""
    overdue: int
    """Results that were due for long; on a platform with a backlog they are no violation."""
    never_accepted: int
    """Logs that a crash left behind before anybody was told that it was accepted."""

    @property
    def violations_total(self) -> int:
        """How many violations there are."""
        return sum(self.by_rule.values())

    @property
    def total(self) -> Balance:
        """The books of all clients together."""
        return sum((entry.balance for entry in self.balances), Balance())

    @property
    def is_clean(self) -> bool:
        """Whether every rule holds."""
        return not self.by_rule


def _silent(_: Progress) -> None:
    pass


class VerificationService:
    """Proves the books. It only reads."""

    def __init__(
        self, *, audit: AuditReads, clock: Clock, lease_s: float = 60.0, moment_s: float = 1.0
    ) -> None:
        """Set the measures of patience.

        Args:
            audit: where it reads.
            clock: for the times of what is due.
            lease_s: how long a worker owns an attempt.
            moment_s: how long to wait before a suspect is looked at again.
        """
        self._audit = audit
        self._clock = clock
        self._lease = timedelta(seconds=lease_s)
        self._moment_s = moment_s

    async def verify(
        self,
        *,
        settled: bool = False,
        callers_ledger: Path | None = None,
        provider_ledger: Path | None = None,
        ledger_until: datetime | None = None,
        progress: Callable[[Progress], None] = _silent,
    ) -> Verification:
        """Hold everything that is stored against the rules.

        Args:
            settled: nothing may be in motion any more.
            callers_ledger: NDJSON of what was answered 202: `{"id": ...}`.
            provider_ledger: NDJSON of what a provider took: `{"message_id": ..., "recipient":
                ...}`, the recipient optional.
            ledger_until: what was delivered from then on need not be in the provider's ledger;
                None is the time at which its file was last written, or never when all is settled.
            progress: is told how far it is, some times a second.

        Raises:
            OutcomeUnknown: MongoDB could not be asked.
            OSError: a ledger can't be read.
        """
        began_at, began = self._clock.now(), self._clock.monotonic()
        if ledger_until is None and provider_ledger is not None and not settled:
            ledger_until = _written_at(provider_ledger)
        run, taken = await self._results(settled, provider_ledger, ledger_until, progress)
        run.report("batches")
        batches = await self._batches(run.findings)
        await self._keys(run.findings)
        callers = 0
        if callers_ledger is not None:
            run.report("callers")
            callers = await self._callers(callers_ledger, run.findings)
        balances = await self._balances(run)
        return Verification(
            began_at=began_at,
            duration_s=self._clock.monotonic() - began,
            settled=settled,
            events=run.events,
            results=run.results,
            batches=batches,
            callers=callers,
            taken=taken,
            balances=balances,
            violations=tuple(run.findings.kept),
            by_rule=dict(sorted(run.findings.by_rule.items())),
            unknown_outcomes=run.unknown,
            doubles=run.doubles,
            looked_again=run.looked_again,
            late=run.late,
            overdue=run.overdue,
            never_accepted=run.never_accepted,
        )

    async def discrepancies(self) -> list[Violation]:
        """The violations alone: for tests, whose last line this is."""
        return list((await self.verify()).violations)

    async def _results(
        self,
        settled: bool,
        provider_ledger: Path | None,
        ledger_until: datetime | None,
        progress: Callable[[Progress], None],
    ) -> tuple[VerificationRun, int]:
        """Every result, with the provider's ledger beside it; how much that holds."""
        with ExitStack() as stack:
            ledger = None
            if provider_ledger is not None:
                ledger = ProviderLedger(provider_ledger)
                await asyncio.to_thread(stack.enter_context, ledger)
            run = VerificationRun(
                audit=self._audit,
                clock=self._clock,
                lease=self._lease,
                moment_s=self._moment_s,
                settled=settled,
                ledger=ledger,
                ledger_until=ledger_until,
                progress=progress,
            )
            await run.run()
        return run, _foreign(ledger, run.findings)

    async def _balances(self, run: VerificationRun) -> tuple[ClientBalance, ...]:
        names = await self._audit.names()
        balances = [
            ClientBalance(client=text_of(c), name=names.get(c, ""), balance=balance)
            for c, balance in run.books.by_client().items()
        ]
        return tuple(sorted(balances, key=lambda entry: (entry.name, entry.client)))

    async def _batches(self, findings: Findings) -> int:
        """A finished batch has brought what it says (V5)."""
        checked, after = 0, b""
        while True:
            page = await self._audit.page(
                "batches", after=after, before=None, limit=BATCHES_AT_ONCE
            )
            if not page:
                return checked
            after = page[-1]["_id"]
            finished = [batch for batch in page if "accepted" in batch]
            counts = await self._audit.results_of_batches(finished) if finished else {}
            checked += len(finished)
            for batch in finished:
                results, requests = counts.get(batch["_id"], (0, 0))
                said, says = batch["accepted"], batch.get("results", results)
                if (said, says) != (requests, results):
                    sentence = (
                        f"Batch {text_of(batch['_id'])} says {said} requests with {says} results; "
                        f"there are {requests} with {results}."
                    )
                    findings.note("V5", sentence, client=batch["client_id"])

    async def _keys(self, findings: Findings) -> None:
        """No idempotency key stands twice (V11): where the index says so, it is so."""
        for name in await self._audit.unguarded_keys():
            findings.note("V11", f"No unique index keeps the idempotency keys of {name} apart.")
            for client_id, document_id in await self._audit.doubled_keys(name, DOUBLED_KEYS_MAX):
                sentence = f"Its idempotency key stands twice in {name}."
                findings.note("V11", sentence, result_id=document_id, client=client_id)

    async def _callers(self, path: Path, findings: Findings) -> int:
        """Everything that was answered 202 exists, every recipient's result (V1)."""
        entries = 0
        for chunk in callers_ids(path):
            entries += len(chunk)
            ids: list[bytes] = []
            for number, request_id in chunk:
                if request_id is None:
                    sentence = f"Line {number} of the callers' ledger has no id."
                    findings.note("V1", sentence)
                else:
                    ids.append(request_id)
            await self._accepted(ids, findings)
        return entries

    async def _accepted(self, ids: list[bytes], findings: Findings) -> None:
        requests = await self._audit.by_id("communication_requests", ids)
        results = await self._audit.by_id("delivery_results", ids)
        shared = [r for r, request in requests.items() if request["recipients"] > 1]
        there = await self._audit.results_of_requests(shared)
        for request_id in ids:
            request = requests.get(request_id)
            if request is None:
                sentence = "It was answered 202, but there is no such request."
                findings.note("V1", sentence, result_id=request_id)
                continue
            wanted, found = request["recipients"], there.get(request_id, request_id in results)
            if found != wanted:
                sentence = f"It was answered 202 for {wanted} recipients; {found:d} have a result."
                findings.note("V1", sentence, result_id=request_id, client=request["client_id"])


def _written_at(path: Path) -> datetime:
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    # Events have whole milliseconds: in the last one we cannot tell what came first.
    return written.replace(microsecond=written.microsecond // 1000 * 1000)


def _foreign(ledger: ProviderLedger | None, findings: Findings) -> int:
    """What the provider took that bears no id of ours (V7)."""
    if ledger is None:
        return 0
    for message_id in ledger.foreign:
        findings.note("V7", f"The provider took {message_id or 'a message without an id'}.")
    findings.by_rule["V7"] += ledger.foreign_total - len(ledger.foreign)
    if not findings.by_rule["V7"]:
        del findings.by_rule["V7"]
    return ledger.entries
