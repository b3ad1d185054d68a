"""What is sent to have inboxes read, and the shapes of the answers."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from cdp.domain.inbox import MARK_MAX
from cdp.http.communication_models import User
from cdp.http.models import Input
from cdp.http.outputs import Id, Output

LIFE_S_DEFAULT: Final = 3_600
LIFE_S_MAX: Final = 7 * 86_400


class InboxTokenIn(Input):
    """For whom a token is."""

    user: User
    life_s: Annotated[
        int, Field(ge=60, le=LIFE_S_MAX, description="Seconds for which the token is good.")
    ] = LIFE_S_DEFAULT


class InboxMarkIn(Input):
    """What is noted of which entries: either of those in `ids`, or of all up to one."""

    ids: list[Annotated[str, Field(max_length=36)]] = Field(
        default_factory=list, max_length=MARK_MAX, description="The entries."
    )
    up_to: Annotated[
        str | None,
        Field(
            max_length=36,
            description="The newest of the entries: it and all that had arrived before it. For "
            "entries that are not archived; `seen` and `read` are for unread ones.",
        ),
    ] = None
    mark: Literal["seen", "read", "archived", "unarchived"]


class InboxTokenOut(Output):
    """A token for one user's inbox."""

    token: str
    user: str
    expires_at: datetime


class InboxEntryOut(Output):
    """An entry of an inbox. Its id is that of the communication."""

    id: Id
    title: str
    body: str
    action_url: str | None
    action_label: str | None
    data: dict[str, Any]
    created_at: datetime
    expires_at: datetime | None
    seen_at: datetime | None
    read_at: datetime | None
    archived_at: datetime | None


class InboxPage(Output):
    """A page. Hand `next_cursor` in to get the next one."""

    items: list[InboxEntryOut]
    next_cursor: str | None


class UnreadOut(Output):
    """How many entries are neither read nor archived, up to 1,000."""

    unread: int


class InboxMarkedOut(Output):
    """Which entries there were, and how many are unread now."""

    marked: list[Id]
    has_more: Annotated[
        bool,
        Field(
            description=f"With `up_to`: whether more than {MARK_MAX} were to be marked. Then ask "
            "once more."
        ),
    ]
    unread: int
