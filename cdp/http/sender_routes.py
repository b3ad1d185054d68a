"""Routes of senders."""

from collections.abc import Sequence
from typing import Final

from cdp.http import examples, senders
from cdp.http.configuration_routes import IF_MATCH
from cdp.http.endpoint import Operation, Route
from cdp.http.route_parts import LISTS, READS, WRITES, Parameter, paging, query_parameter
from cdp.http.sender_models import SenderIn, SenderOut, SenderPage
from cdp.http.template_routes import NAME

SENDER_NAME: Final[Parameter] = {**NAME, "description": "The name of a sender."}

SENDERS: Final[Sequence[Route]] = (
    Route(
        method="GET",
        path="/senders",
        handler=senders.list_senders,
        operation=Operation(
            id="listSenders",
            tag="Configuration",
            summary="List senders",
            parameters=(query_parameter("channel", "Only those on this channel."), *paging()),
            answers={200: SenderPage},
            problems=LISTS,
        ),
    ),
    Route(
        method="PUT",
        path="/senders/{name}",
        handler=senders.put_sender,
        operation=Operation(
            id="putSender",
            tag="Configuration",
            summary="Set a sender",
            description="Who communications come from. On a channel the default counts, unless a "
            "delivery configuration names another. A new one is answered with 201; the channel of "
            "one that is there stays, else the answer is 409. It is in force within two seconds.",
            parameters=(SENDER_NAME, IF_MATCH),
            body=SenderIn,
            examples=examples.SENDERS,
            answers={200: SenderOut, 201: SenderOut},
            problems=(*WRITES, 412),
        ),
    ),
    Route(
        method="GET",
        path="/senders/{name}",
        handler=senders.get_sender,
        operation=Operation(
            id="getSender",
            tag="Configuration",
            summary="Read a sender",
            parameters=(SENDER_NAME,),
            answers={200: SenderOut},
            problems=READS,
        ),
    ),
    Route(
        method="DELETE",
        path="/senders/{name}",
        handler=senders.delete_sender,
        operation=Operation(
            id="deleteSender",
            tag="Configuration",
            summary="Take a sender away",
            description="While a delivery configuration names it the answer is 409.",
            parameters=(SENDER_NAME, IF_MATCH),
            answers={204: None},
            problems=(*READS, 409, 412),
        ),
    ),
)
