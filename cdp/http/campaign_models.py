"""What callers say of a campaign."""

import re
import unicodedata
from typing import Annotated, Final

from pydantic import Field

from cdp.http.models import Input, PriorityWord, Time

CAMPAIGN_NAME: Final = r"^(?!\.{1,2}$)[^/\x00-\x1f\x7f-\x9f\u2028\u2029]{1,100}$"
"""What a request may name as its campaign, but for what a path can't name."""
DESCRIPTION_CHARS_MAX: Final = 500
SPREAD_S_MAX: Final = 31 * 86_400
RATE_PER_S: Final = (0.01, 100_000)
CAP_MESSAGES_MAX: Final = 1_000
CAP_WINDOW_S: Final = (60, 366 * 86_400)
RESULTS_MIN: Final = (1, 1_000_000)

_NAME: Final = re.compile(CAMPAIGN_NAME)


def campaign_name(text: str) -> str | None:
    """A campaign's name in its one form; None if it can be none."""
    name = unicodedata.normalize("NFC", text)
    return name if _NAME.fullmatch(name) else None


Rate = Annotated[float, Field(gt=0, le=1)]


class FrequencyCapIn(Input):
    """How often one recipient may be written to."""

    messages: Annotated[int, Field(ge=1, le=CAP_MESSAGES_MAX)]
    window_s: Annotated[int, Field(ge=CAP_WINDOW_S[0], le=CAP_WINDOW_S[1])]


class AutomaticPauseIn(Input):
    """When the platform pauses it by itself."""

    bounce_rate: Annotated[
        Rate | None,
        Field(description="Of all results the share whose address does not exist."),
    ] = None
    complaint_rate: Annotated[
        Rate | None, Field(description="Of all results the share that was called spam.")
    ] = None
    results_min: Annotated[
        int,
        Field(
            ge=RESULTS_MIN[0],
            le=RESULTS_MIN[1],
            description="With fewer results, delivered or bounced, it is not paused.",
        ),
    ] = 100


class CampaignIn(Input):
    """A campaign's settings, all of them: what is left out is not set."""

    description: Annotated[
        str,
        Field(
            max_length=DESCRIPTION_CHARS_MAX,
            pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$",
        ),
    ] = ""
    priority: Annotated[
        PriorityWord | None, Field(description="Of its requests that name none.")
    ] = None
    start_at: Annotated[Time, Field(description="When it begins, once it was started.")] = None
    spread_s: Annotated[
        int | None,
        Field(
            ge=1,
            le=SPREAD_S_MAX,
            description="Over so many seconds from its start its messages are spread evenly.",
        ),
    ] = None
    rate_per_s: Annotated[
        float | None,
        Field(
            ge=RATE_PER_S[0],
            le=RATE_PER_S[1],
            description="Messages a second at most, on each channel. The others wait.",
        ),
    ] = None
    frequency_cap: FrequencyCapIn | None = None
    automatic_pause: AutomaticPauseIn | None = None
