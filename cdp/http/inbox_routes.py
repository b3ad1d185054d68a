"""Routes of inboxes. All but the one for tokens are for recipients."""

from collections.abc import Sequence
from typing import Final

from cdp.domain.inbox import Mark
from cdp.http import examples, inbox, inbox_stream
from cdp.http.endpoint import Operation, Route
from cdp.http.inbox_models import (
    InboxMarkedOut,
    InboxMarkIn,
    InboxPage,
    InboxTokenIn,
    InboxTokenOut,
    UnreadOut,
)
from cdp.http.route_parts import LISTS, READS, WRITES, Parameter, paging, query_parameter
from cdp.services.inbox_streams import STREAM_S

USER: Final[Parameter] = query_parameter(
    "user", "Whose inbox, where an API key is used instead of that user's token."
)

ENTRY_ID: Final[Parameter] = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of an entry.",
    "schema": {"type": "string", "format": "uuid"},
}
LAST_EVENT_ID: Final[Parameter] = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The last `id` that came, where a stream is opened anew.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,14}$"},
}


def _marks_one(verb: str, mark: Mark, summary: str) -> Route:
    return Route(
        method="POST",
        path=f"/inbox/{{id}}/{verb}",
        handler=inbox.marking(mark),
        for_recipients=True,
        operation=Operation(
            id=f"{verb}InboxEntry",
            tag="Inbox",
            summary=summary,
            parameters=(ENTRY_ID, USER),
            answers={200: InboxMarkedOut},
            problems=READS,
        ),
    )


INBOX: Final[Sequence[Route]] = (
    Route(
        method="POST",
        path="/inbox/tokens",
        handler=inbox.mint_token,
        operation=Operation(
            id="createInboxToken",
            tag="Inbox",
            summary="Make a token for a user",
            description="Hand it to your app: it opens this user's inbox and nothing else.",
            body=InboxTokenIn,
            examples={"user": examples.INBOX_TOKEN},
            answers={201: InboxTokenOut},
            problems=WRITES,
        ),
    ),
    Route(
        method="GET",
        path="/inbox",
        handler=inbox.list_entries,
        for_recipients=True,
        operation=Operation(
            id="listInbox",
            tag="Inbox",
            summary="List a user's entries",
            description="The newest first, by their arrival, without those that are archived or "
            "have expired.",
            parameters=(
                USER,
                query_parameter("unread", "Only unread ones.", type="boolean", default=False),
                query_parameter("archived", "The archived ones.", type="boolean", default=False),
                *paging(),
            ),
            answers={200: InboxPage},
            problems=LISTS,
        ),
    ),
    Route(
        method="GET",
        path="/inbox/unread-count",
        handler=inbox.count_unread,
        for_recipients=True,
        operation=Operation(
            id="countUnread",
            tag="Inbox",
            summary="Count a user's unread entries",
            parameters=(USER,),
            answers={200: UnreadOut},
            problems=LISTS,
        ),
    ),
    Route(
        method="POST",
        path="/inbox/mark",
        handler=inbox.mark_entries,
        for_recipients=True,
        operation=Operation(
            id="markInbox",
            tag="Inbox",
            summary="Mark entries as seen, read or archived",
            description="Seen and read are events of the communication, `OPENED` and `READ`.",
            parameters=(USER,),
            body=InboxMarkIn,
            examples={"read": examples.INBOX_MARK, "all": examples.INBOX_MARK_ALL},
            answers={200: InboxMarkedOut},
            problems=(*WRITES, 404),
        ),
    ),
    *(
        _marks_one(verb, mark, summary)
        for verb, mark, summary in (
            ("seen", Mark.SEEN, "Note that an entry was seen"),
            ("read", Mark.READ, "Note that an entry was read"),
            ("archive", Mark.ARCHIVED, "Archive an entry"),
            ("unarchive", Mark.UNARCHIVED, "Bring an archived entry back"),
        )
    ),
    Route(
        method="GET",
        path="/inbox/stream",
        handler=inbox_stream.stream,
        for_recipients=True,
        operation=Operation(
            id="streamInbox",
            tag="Inbox",
            summary="Follow a user's inbox",
            description="Server-Sent Events: `entry` with a new entry, `unread` with the count, "
            "and `behind` if more was missed than is told one by one. A stream ends after "
            f"{STREAM_S:.0f} seconds; open it anew with the last `id` that came as "
            "`Last-Event-ID`, and it begins with what has come since. What came right before "
            "may be told twice.",
            parameters=(USER, LAST_EVENT_ID),
            texts=("text/event-stream",),
            problems=READS,
        ),
    ),
)
