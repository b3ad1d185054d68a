"""Every route that does something, with what the documentation says of it."""

from collections.abc import Sequence
from typing import Final

from cdp.domain.event import Status
from cdp.http import (
    batch_results,
    batches,
    communications,
    examples,
    operations,
    outputs,
)
from cdp.http.campaign_routes import CAMPAIGNS
from cdp.http.communication_models import CommunicationIn
from cdp.http.configuration_routes import DELIVERY_CONFIGS, SEGMENTS
from cdp.http.dead_letter_routes import DEAD_LETTERS
from cdp.http.endpoint import BATCH_DEADLINE_S, Operation, Route
from cdp.http.engagement import ENGAGEMENT
from cdp.http.file_routes import FILES
from cdp.http.file_upload_routes import FILE_UPLOADS
from cdp.http.inbox_routes import INBOX
from cdp.http.items import ITEMS_MAX
from cdp.http.models import ChangeIn
from cdp.http.provider_routes import PROVIDERS
from cdp.http.route_parts import LISTS, READS, WRITES, Parameter, paging, query_parameter
from cdp.http.sender_routes import SENDERS
from cdp.http.sftp_account_routes import SFTP_ACCOUNTS
from cdp.http.suppression_routes import SUPPRESSIONS
from cdp.http.template_routes import TEMPLATES

ID: Final[Parameter] = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of a request, or of one of its recipients.",
    "schema": {"type": "string", "format": "uuid"},
}
BATCH_ID: Final[Parameter] = {**ID, "description": "The id of a batch."}
IDEMPOTENCY_KEY: Final[Parameter] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and body get the same answer again, with the header "
    "`Idempotent-Replayed: true`. Another body is refused.",
    "schema": {"type": "string", "pattern": "^[ -~]{1,255}$"},
}
STATUSES: Final = [status.value for status in Status]
FILTERS: Final[Sequence[Parameter]] = (
    query_parameter("status", "Only those in this status.", enum=STATUSES),
    query_parameter("campaign", "Only those of this campaign."),
    query_parameter("reference", "Only those with this reference."),
    query_parameter("recipient", "Only those to this address, as its channel writes it."),
    query_parameter("batch_id", "Only those of this batch.", format="uuid"),
    query_parameter("channel", "Only those on this channel."),
    query_parameter(
        "created_from", "Only those accepted at this time or later.", format="date-time"
    ),
    query_parameter("created_to", "Only those accepted before this time.", format="date-time"),
)

COMMUNICATIONS: Final[Sequence[Route]] = (
    Route(
        method="POST",
        path="/communications",
        handler=communications.post_communication,
        operation=Operation(
            id="sendCommunication",
            tag="Communications",
            summary="Send a communication",
            description="What is answered with 202 is stored durably and will reach exactly one "
            "final state. Each recipient gets a communication of its own. A 503 means that the "
            "outcome is not known: repeat it with the same `Idempotency-Key`.",
            parameters=(IDEMPOTENCY_KEY,),
            body=CommunicationIn,
            examples=examples.COMMUNICATIONS,
            answers={202: outputs.AcceptedOut},
            problems=(*WRITES, 403),
        ),
    ),
    Route(
        method="GET",
        path="/communications",
        handler=communications.list_communications,
        operation=Operation(
            id="listCommunications",
            tag="Communications",
            summary="List communications",
            description="One entry for each recipient, the newest first.",
            parameters=(*FILTERS, *paging()),
            answers={200: outputs.ResultPage},
            problems=LISTS,
        ),
    ),
    Route(
        method="POST",
        path="/communications/batch",
        handler=batches.post_batch,
        deadline_s=BATCH_DEADLINE_S,
        operation=Operation(
            id="sendBatch",
            tag="Communications",
            summary="Send many communications",
            description=f"Up to {ITEMS_MAX} requests and 32 MiB, as a JSON array or as NDJSON. The "
            "answer is always 207 once items were read, also if all of them are bad: each item "
            "has its own status by index. A repeat with the same `Idempotency-Key` completes what "
            "is missing. NDJSON without a key is taken in while it arrives; where it breaks off, "
            "the last entry says so.",
            parameters=(IDEMPOTENCY_KEY,),
            bodies={
                "application/json": {
                    "schema": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": ITEMS_MAX,
                        "items": {"$ref": "#/components/schemas/CommunicationIn"},
                    },
                    "examples": {"two": {"value": examples.BATCH}},
                },
                "application/x-ndjson": {
                    "schema": {"type": "string"},
                    "examples": {"two": {"value": examples.BATCH_LINES}},
                },
            },
            answers={207: outputs.BatchAcceptedOut},
            problems=WRITES,
        ),
    ),
    Route(
        method="GET",
        path="/communications/{id}",
        handler=communications.get_communication,
        operation=Operation(
            id="getCommunication",
            tag="Communications",
            summary="See what became of a communication",
            parameters=(ID,),
            answers={200: outputs.CommunicationOut},
            problems=READS,
        ),
    ),
    Route(
        method="PATCH",
        path="/communications/{id}",
        handler=communications.patch_communication,
        operation=Operation(
            id="changeCommunication",
            tag="Communications",
            summary="Change times or priority",
            description="Of all recipients that are not being sent to and not finished. Null takes "
            "a time away. If there is no such recipient, the answer is 409.",
            parameters=(ID,),
            body=ChangeIn,
            examples={"later": examples.CHANGE},
            answers={200: outputs.ChangedOut},
            problems=(*WRITES, 404),
        ),
    ),
    Route(
        method="GET",
        path="/communications/{id}/events",
        handler=communications.get_events,
        operation=Operation(
            id="getEvents",
            tag="Communications",
            summary="Read the log of a communication",
            parameters=(ID,),
            answers={200: outputs.EventList},
            problems=READS,
        ),
    ),
    Route(
        method="GET",
        path="/communications/{id}/content",
        handler=communications.get_content,
        operation=Operation(
            id="getContent",
            tag="Communications",
            summary="Read the finished content",
            description="For one recipient. It is there once it was rendered. With the id of a "
            "request that has several recipients the answer is 409.",
            parameters=(ID,),
            answers={200: outputs.ContentOut},
            problems=(*READS, 409),
        ),
    ),
    Route(
        method="POST",
        path="/communications/{id}/cancel",
        handler=communications.cancel_communication,
        operation=Operation(
            id="cancelCommunication",
            tag="Communications",
            summary="Cancel what is not sent yet",
            description="Of all recipients that are not being sent to and not finished. If there "
            "is no such recipient, the answer is 409.",
            parameters=(ID,),
            answers={200: outputs.ChangedOut},
            problems=(*READS, 409),
        ),
    ),
)

BATCHES: Final[Sequence[Route]] = (
    Route(
        method="GET",
        path="/batches/{id}",
        handler=batches.get_batch,
        operation=Operation(
            id="getBatch",
            tag="Batches",
            summary="See what became of a batch",
            parameters=(BATCH_ID,),
            answers={200: outputs.BatchOut},
            problems=READS,
        ),
    ),
    Route(
        method="GET",
        path="/batches/{id}/results",
        handler=batch_results.get_batch_results,
        operation=Operation(
            id="getBatchResults",
            tag="Batches",
            summary="List the results of a batch",
            description="As JSON, CSV or NDJSON, by `format` or by `Accept`. In CSV and NDJSON the "
            "cursor of the next page is in the header `Next-Cursor`. CSV cells that a spreadsheet "
            "would run as formulas begin with an apostrophe, unless `raw=1`.",
            parameters=(
                BATCH_ID,
                query_parameter("format", "Instead of `Accept`.", enum=list(batch_results.FORMATS)),
                query_parameter("raw", "Leave CSV cells as they are.", enum=["0", "1"]),
                *paging(default=batch_results.JSON_PAGE, most=batch_results.PAGE_MAX),
            ),
            answers={200: outputs.ResultPage},
            texts=(batch_results.CSV, batches.NDJSON),
            problems=(400, *READS),
        ),
    ),
)

OPERATIONS: Final[Sequence[Route]] = (
    Route(
        method="GET",
        path="/healthz",
        handler=operations.healthz,
        open=True,
        operation=Operation(
            id="getHealth",
            tag="Operations",
            summary="Is the process alive?",
            answers={200: outputs.HealthOut},
        ),
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=operations.readyz,
        open=True,
        operation=Operation(
            id="getReadiness",
            tag="Operations",
            summary="Can it do its work?",
            answers={200: outputs.ReadyOut, 503: outputs.ReadyOut},
        ),
    ),
    Route(
        method="GET",
        path="/metrics",
        handler=operations.metrics,
        open=True,
        operation=Operation(
            id="getMetrics",
            tag="Operations",
            summary="Metrics for Prometheus",
            texts=("text/plain",),
            problems=(401, 503),
        ),
    ),
)

ROUTES: Final[Sequence[Route]] = (
    *COMMUNICATIONS,
    *BATCHES,
    *DEAD_LETTERS,
    *SENDERS,
    *SFTP_ACCOUNTS,
    *TEMPLATES,
    *SEGMENTS,
    *DELIVERY_CONFIGS,
    *PROVIDERS,
    *INBOX,
    *FILES,
    *FILE_UPLOADS,
    *SUPPRESSIONS,
    *ENGAGEMENT,
    *CAMPAIGNS,
    *OPERATIONS,
)
