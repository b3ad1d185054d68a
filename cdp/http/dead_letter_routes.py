"""Routes of dead letters."""

from collections.abc import Sequence
from typing import Final

from cdp.domain.dead_letter import REPLAY_MAX
from cdp.domain.failure import ErrorClass
from cdp.http import dead_letter_outputs, dead_letters, examples
from cdp.http.dead_letter_models import ReplayIn
from cdp.http.endpoint import Operation, Route
from cdp.http.route_parts import LISTS, WRITES, Parameter, paging, query_parameter

FILTERS: Final[Sequence[Parameter]] = (
    query_parameter(
        "class", "Only failures of this class.", enum=[each.value for each in ErrorClass]
    ),
    query_parameter("reason", "Only those that were given up for this reason."),
    query_parameter("provider", "Only those whose last attempt was this provider's."),
    query_parameter("campaign", "Only those of this campaign."),
    query_parameter("channel", "Only those on this channel."),
    query_parameter(
        "created_from", "Only those accepted at this time or later.", format="date-time"
    ),
    query_parameter("created_to", "Only those accepted before this time.", format="date-time"),
    query_parameter(
        "failed_from", "Only those given up at this time or later.", format="date-time"
    ),
    query_parameter("failed_to", "Only those given up before this time.", format="date-time"),
)

DEAD_LETTERS: Final[Sequence[Route]] = (
    Route(
        method="GET",
        path="/dead-letters",
        handler=dead_letters.list_dead_letters,
        operation=Operation(
            id="listDeadLetters",
            tag="Dead letters",
            summary="List what was given up",
            description="Every communication that is `undeliverable`, with the class, the reason, "
            "the provider and its answer; the newest failure first.",
            parameters=(*FILTERS, *paging()),
            answers={200: dead_letter_outputs.DeadLetterPage},
            problems=LISTS,
        ),
    ),
    Route(
        method="GET",
        path="/dead-letters/summary",
        handler=dead_letters.summarise_dead_letters,
        operation=Operation(
            id="summariseDeadLetters",
            tag="Dead letters",
            summary="Count what was given up, by reason",
            parameters=FILTERS,
            answers={200: dead_letter_outputs.DeadLetterSummaryOut},
            problems=(401, 422, 429, 503),
        ),
    ),
    Route(
        method="POST",
        path="/dead-letters/replay",
        handler=dead_letters.replay_dead_letters,
        operation=Operation(
            id="replayDeadLetters",
            tag="Dead letters",
            summary="Send what was given up once more",
            description=f"Up to {REPLAY_MAX:,} at once, by their ids or the oldest that a filter "
            "fits; repeat it while `more` is true. Each gets the event `REPLAYED` and goes through "
            "the queue again as the same communication: its ids, its content and its Message-ID "
            "stay. The retry policy counts its attempts anew. Where there was no content, it is "
            "made anew; what has expired meanwhile ends as `expired`. To repeat a request is "
            "harmless: what is open already is told as such.",
            body=ReplayIn,
            examples=examples.REPLAYS,
            answers={200: dead_letter_outputs.ReplayOut},
            problems=(*WRITES, 403),
        ),
    ),
)
