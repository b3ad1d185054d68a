"""What callers send and see of the suppression list."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from cdp.http.models import ChannelWord, Input, Label
from cdp.http.outputs import Id, Output, ProblemDocument

ENTRIES_MAX: Final = 1_000
ADDRESS_CHARS_MAX: Final = 4_096
NOTE_CHARS_MAX: Final = 500

ReasonWord = Literal["unsubscribe", "hard_bounce", "complaint", "manual", "import"]


class SuppressionIn(Input):
    """Somebody who must not be written to."""

    channel: ChannelWord
    recipient: Annotated[
        str,
        Field(
            min_length=1,
            max_length=ADDRESS_CHARS_MAX,
            description="An address, as the channel writes it. Case is of no matter in an email's.",
        ),
    ]
    topic: Annotated[Label | None, Field(description="Null: whatever it is about.")] = None
    reason: ReasonWord = "manual"
    note: Annotated[
        str,
        Field(
            max_length=NOTE_CHARS_MAX,
            pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$",
            description="For people, in one line.",
        ),
    ] = ""


class SuppressionRowIn(SuppressionIn):
    """A row of a file. What an export says besides is passed over: an entry is made anew."""

    reason: ReasonWord = "import"
    id: Any = None
    source: Any = None
    created_at: Any = None


class SuppressionsIn(Input):
    """Some who must not be written to."""

    entries: Annotated[list[SuppressionIn], Field(min_length=1, max_length=ENTRIES_MAX)]


class SuppressionOut(Output):
    """An entry of the list."""

    id: Id
    channel: str
    recipient: str
    topic: str | None
    reason: str
    source: Annotated[
        str, Field(description="`api`, `import`, `cli`, or the id of a communication.")
    ]
    note: str
    created_at: datetime


class SuppressionPage(Output):
    """A page. Hand `next_cursor` in to get the next one."""

    items: list[SuppressionOut]
    next_cursor: str | None


class SuppressedItemOut(Output):
    """What became of one entry: `id` where the status is 201, else `problem`."""

    index: int
    status: int
    id: Id | None
    problem: ProblemDocument | None


class SuppressedOut(Output):
    """The entries are kept, and what was on its way to them is stopped."""

    kept: int
    stopped: Annotated[int, Field(description="Communications that were stopped.")]
    items: list[SuppressedItemOut]


class RejectedRowOut(Output):
    """A row that is no entry."""

    row: Annotated[
        int, Field(description="From 1, counted without the head and without empty lines.")
    ]
    problem: ProblemDocument


class ImportedOut(Output):
    """What became of a file. Its good rows are kept, whatever the others are."""

    rows: int
    kept: int
    rejected: int
    stopped: Annotated[int, Field(description="Communications that were stopped.")]
    problems: Annotated[list[RejectedRowOut], Field(description="Of the first rejected rows.")]
