"""Routes of inboxes. All but the one for tokens are for recipients."""

from collections.abc import Sequence
from typing import Final

from cdp.http import examples, inbox
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

USER: Final[Parameter] = query_parameter(
    "user", "Whose inbox, where an API key is used instead of that user's token."
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
            description="The newest first, without those that are archived or have expired.",
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
            examples={"read": examples.INBOX_MARK},
            answers={200: InboxMarkedOut},
            problems=(*WRITES, 404),
        ),
    ),
    Route(
        method="GET",
        path="/inbox/stream",
        handler=inbox.stream,
        for_recipients=True,
        operation=Operation(
            id="streamInbox",
            tag="Inbox",
            summary="Follow a user's inbox",
            description="Server-Sent Events: `entry` with a new entry, `unread` with the count. "
            "`Last-Event-ID` brings what came since.",
            parameters=(USER,),
            texts=("text/event-stream",),
            problems=READS,
        ),
    ),
)
