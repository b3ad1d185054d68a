"""Campaigns: the states of one, what may follow, and what each means for its communications.

A campaign is a thing of its client's under a name that requests carry. While it has not begun or is
paused, its communications are held; once it is cancelled, they are. A name without a campaign holds
nothing.

Pure: `CampaignService` stores what `after` says, `QueueingService` and the workers ask a
`CampaignRoster` at every decision.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import ClientId, ResultId
from cdp.domain.lane import Priority
from cdp.errors import Conflict

CAMPAIGNS_MAX: Final = 1_000
"""Campaigns that a client may have."""
PERMUTATIONS_MAX: Final = 1_000
"""Of the assignments of one campaign those that are shown."""
HELD_UNTIL: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""When what is held is due: beyond every scan, so that it costs the others nothing."""

HELD: Final = "campaign_held"
STARTED: Final = "campaign_started"
RESUMED: Final = "campaign_resumed"
DELETED: Final = "campaign_deleted"
SPREAD: Final = "spread"
CANCELLED: Final = "campaign_cancelled"
OVER_CAP: Final = "frequency_cap"

CampaignKey = tuple[ClientId, str]
"""Whose, and its name."""


class CampaignState(StrEnum):
    """Where a campaign is."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"


class CampaignAct(StrEnum):
    """What may be done with a campaign: the last two by the platform alone."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CLOSE = "close"
    CANCEL = "cancel"
    BEGIN = "begin"
    """Its time to start has come."""
    FINISH = "finish"
    """It is closed, and nothing of it is unfinished."""


S, A = CampaignState, CampaignAct
OPEN: Final = frozenset({S.DRAFT, S.SCHEDULED, S.RUNNING, S.PAUSED})
ENDED: Final = frozenset(S) - OPEN

TRANSITIONS: Final[Mapping[CampaignAct, Mapping[CampaignState, frozenset[CampaignState]]]] = {
    A.START: {S.DRAFT: frozenset({S.SCHEDULED, S.RUNNING})},
    A.BEGIN: {S.SCHEDULED: frozenset({S.RUNNING})},
    A.PAUSE: {S.SCHEDULED: frozenset({S.PAUSED}), S.RUNNING: frozenset({S.PAUSED})},
    A.RESUME: {S.PAUSED: frozenset({S.SCHEDULED, S.RUNNING})},
    A.CLOSE: {state: frozenset({state}) for state in OPEN},
    A.CANCEL: {state: frozenset({S.CANCELLED}) for state in OPEN},
    A.FINISH: {state: frozenset({S.FINISHED}) for state in OPEN - {S.DRAFT}},
}
"""The states that each act may lead to, by the state before. Where there are two, `start_at`
decides between them."""

DONE_ALREADY: Final[Mapping[CampaignAct, frozenset[CampaignState]]] = {
    A.START: frozenset({S.SCHEDULED, S.RUNNING}),
    A.BEGIN: frozenset({S.RUNNING}),
    A.PAUSE: frozenset({S.PAUSED}),
    A.RESUME: frozenset({S.SCHEDULED, S.RUNNING}),
    A.CLOSE: frozenset({S.FINISHED}),
    A.CANCEL: frozenset({S.CANCELLED}),
    A.FINISH: frozenset({S.FINISHED}),
}
"""The states in which an act changes nothing, so that it may be repeated."""


class Standing(StrEnum):
    """What its campaign means for a communication that would go now."""

    GO = "go"
    HELD = "held"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyCap:
    """To one recipient at most so many messages of campaigns in so many seconds."""

    messages: int
    window_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomaticPause:
    """At which rates a running campaign is paused by the platform; None looks at none."""

    bounce_rate: float | None = None
    complaint_rate: float | None = None
    results_min: int = 100
    """With fewer results a rate says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What came back of a campaign's messages so far."""

    delivered: int = 0
    bounced: int = 0
    """The recipient's server knows no such address."""
    complained: int = 0

    def since(self, before: "Reached") -> "Reached":
        """What came back after `before` was counted."""
        return Reached(
            delivered=max(0, self.delivered - before.delivered),
            bounced=max(0, self.bounced - before.bounced),
            complained=max(0, self.complained - before.complained),
        )


NOTHING_REACHED: Final = Reached()


def reason_to_pause(rule: AutomaticPause, reached: Reached) -> str | None:
    """The rate that is too high, if there are enough results to say so."""
    results = reached.delivered + reached.bounced
    if results < rule.results_min:
        return None
    for reason, limit, count in (
        ("bounce_rate", rule.bounce_rate, reached.bounced),
        ("complaint_rate", rule.complaint_rate, reached.complained),
    ):
        if limit is not None and count >= limit * results:
            return reason
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignSettings:
    """What a client says of a campaign."""

    description: str = ""
    priority: Priority | None = None
    """Of its requests that name none."""
    start_at: datetime | None = None
    spread_s: int | None = None
    """Over so many seconds from its start on the messages are spread evenly."""
    rate_per_s: float | None = None
    frequency_cap: FrequencyCap | None = None
    automatic_pause: AutomaticPause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """One campaign of a client, as it stands."""

    client_id: ClientId
    name: str
    settings: CampaignSettings = CampaignSettings()
    state: CampaignState = CampaignState.DRAFT
    is_closed: bool = False
    """No more requests are taken in for it."""
    pause_reason: str | None = None
    """Why it is paused: `api`, or the rate that was too high."""
    judged_from: Reached = NOTHING_REACHED
    """What had come back when it was last paused for a rate: judged is what comes after."""
    started_at: datetime | None = None
    spread_from: datetime | None = None
    """When the spreading began, later by all the time in which it was paused since."""
    paused_at: datetime | None = None
    resumed_at: datetime | None = None
    closed_at: datetime | None = None
    ended_at: datetime | None = None
    is_deleted: bool = False
    """It is there only to say that it is gone: what it held goes on."""
    is_settled: bool = False
    """It is over and nothing of it is unfinished: nobody need know of it any more."""
    version: int = 1
    """Rises with each change, from 1."""
    epoch: int = 0
    """Rises with each change of any campaign: who has applied it knows all changes up to it."""
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> CampaignKey:
        """What communications are of it."""
        return self.client_id, self.name

    @property
    def standing(self) -> Standing:
        """What it means for its communications."""
        if self.is_deleted:
            return Standing.GO
        if self.state is S.CANCELLED:
            return Standing.CANCELLED
        return Standing.GO if self.state in (S.RUNNING, S.FINISHED) else Standing.HELD

    @property
    def takes_requests(self) -> bool:
        """Whether more may be taken in for it."""
        return self.is_deleted or (self.state in OPEN and not self.is_closed)

    @property
    def closing_word(self) -> str:
        """Why no more is taken in, as a reader would say it."""
        return self.state.value if self.state in ENDED else "closed"


def after(
    campaign: Campaign, act: CampaignAct, *, at: datetime, reason: str = "api"
) -> Campaign | None:
    """The campaign after an act; None where that changes nothing.

    Args:
        campaign: as it stands.
        act: what is done.
        at: when.
        reason: of a pause.

    Raises:
        Conflict: its state does not allow this.
    """
    if campaign.state in DONE_ALREADY[act] or (
        act is A.CLOSE and campaign.is_closed and campaign.state in OPEN
    ):
        return None
    possible = TRANSITIONS[act].get(campaign.state)
    if possible is None or (act is A.FINISH and not campaign.is_closed):
        raise Conflict(f"The campaign is {campaign.state}{_hint(campaign, act)}.")
    state = _chosen(possible, campaign, at)
    changed = replace(campaign, state=state, version=campaign.version + 1, updated_at=at)
    if act is A.CLOSE:
        return replace(changed, is_closed=True, closed_at=at)
    if act is A.PAUSE:
        return replace(changed, paused_at=at, pause_reason=reason)
    if act is A.RESUME:
        changed = replace(changed, paused_at=None, pause_reason=None, resumed_at=at)
    if state is S.RUNNING:
        return _running(changed, campaign.paused_at, at)
    if state in ENDED:
        settled = state is S.FINISHED
        return replace(changed, ended_at=at, is_settled=settled, pause_reason=None, paused_at=None)
    return changed


def _chosen(possible: frozenset[CampaignState], campaign: Campaign, at: datetime) -> CampaignState:
    if len(possible) == 1:
        return next(iter(possible))
    start_at = campaign.settings.start_at
    is_early = campaign.started_at is None and start_at is not None and start_at > at
    return S.SCHEDULED if is_early else S.RUNNING


def _running(campaign: Campaign, paused_at: datetime | None, at: datetime) -> Campaign:
    if campaign.started_at is None or campaign.spread_from is None:
        return replace(campaign, started_at=at, spread_from=at)
    paused_for = at - paused_at if paused_at is not None else timedelta()
    return replace(campaign, spread_from=campaign.spread_from + max(paused_for, timedelta()))


def _hint(campaign: Campaign, act: CampaignAct) -> str:
    if act is A.START and campaign.state is S.PAUSED:
        return ": resume it"
    if act in (A.PAUSE, A.RESUME) and campaign.state is S.DRAFT:
        return ": start it"
    return ""


def share_of(result_id: ResultId) -> float:
    """Where in a window from 0 to 1 a result has its place: evenly spread, and always the same."""
    digest = blake2b(result_id, digest_size=8, person=b"cdp-spread").digest()
    return int.from_bytes(digest, "big") / 2.0**64


def slot_of(campaign: Campaign, item: WorkItem, now: datetime) -> datetime | None:
    """When an item is to go that the campaign spreads; None when nothing keeps it.

    Only first attempts are spread. What would expire before its place comes goes at once.
    """
    spread_s, begun = campaign.settings.spread_s, campaign.spread_from
    if spread_s is None or begun is None or item.attempt:
        return None
    slot = begun + timedelta(milliseconds=int(share_of(item.result_id) * spread_s * 1_000))
    if slot <= now or (item.expires_at is not None and item.expires_at <= slot):
        return None
    return slot


def held_until(item: WorkItem) -> datetime:
    """When an item that is held is looked at again: at its expiry, else not by itself."""
    return HELD_UNTIL if item.expires_at is None else min(item.expires_at, HELD_UNTIL)


def released(campaign: Campaign, item: WorkItem, now: datetime) -> tuple[str, datetime]:
    """Why and until when an item waits that the campaign holds no longer."""
    slot = slot_of(campaign, item, now)
    due_at = max(slot or now, item.send_at or now, now)
    if campaign.is_deleted:
        return DELETED, due_at
    return STARTED if campaign.resumed_at is None else RESUMED, due_at


@dataclass(slots=True)
class CampaignRoster:
    """The campaigns that a process knows of: those that are not over."""

    _known: dict[CampaignKey, Campaign] = field(default_factory=dict)
    _missed: set[CampaignKey] = field(default_factory=set)

    def take(self, campaigns: Iterable[Campaign]) -> None:
        """Take in campaigns as they are now."""
        for campaign in campaigns:
            if campaign.is_settled:
                self._known.pop(campaign.key, None)
            else:
                self._known[campaign.key] = campaign

    def all(self) -> list[Campaign]:
        """Every one."""
        return list(self._known.values())

    def of(self, item: WorkItem) -> Campaign | None:
        """The campaign that an item belongs to, unless its campaign is a mere name or over."""
        return None if item.campaign is None else self.named((item.client_id, item.campaign))

    def named(self, key: CampaignKey) -> Campaign | None:
        """The campaign of this name, unless the name is a mere one or it is over."""
        return self._known.get(key)

    def standing(self, item: WorkItem) -> Standing:
        """What its campaign means for an item."""
        campaign = self.of(item)
        return Standing.GO if campaign is None else campaign.standing

    def slot(self, item: WorkItem, now: datetime) -> datetime | None:
        """When its campaign lets an item go, if not now."""
        campaign = self.of(item)
        return None if campaign is None else slot_of(campaign, item, now)

    def note_held(self, items: Iterable[WorkItem]) -> None:
        """These have just been held; of a campaign that goes on meanwhile they were missed."""
        self._missed |= {
            campaign.key
            for item in items
            if (campaign := self.of(item)) is not None and campaign.standing is not Standing.HELD
        }

    def take_missed(self) -> set[CampaignKey]:
        """The campaigns of which some were missed, this once."""
        missed, self._missed = self._missed, set()
        return missed


def not_yet_applied(reports: Iterable[Mapping[str, object]], epoch: int) -> list[str]:
    """The components that decide on communications and have not applied this epoch yet.

    Args:
        reports: the last heartbeat of each component.
        epoch: that all are to know.
    """
    return [
        str(report["name"])
        for report in reports
        if isinstance(applied := report.get("campaign_epoch"), int) and applied < epoch
    ]
