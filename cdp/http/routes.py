"""Every route that does something, with what the documentation says of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cdp.domain.event import Status
from cdp.http import (
    batch_results,
    batches,
    communications,
    examples,
    operations,
    outputs,
    templates,
)
from cdp.http.endpoint import BATCH_DEADLINE_S, Operation, Route
from cdp.http.items import ITEMS_MAX
from cdp.http.models import ChangeIn, CommunicationIn, RenderIn, TemplateIn
from cdp.http.pagination import LIMIT_DEFAULT, LIMIT_MAX

Parameter = Mapping[str, Any]

READS: Final = (401, 404, 422, 429, 503)
WRITES: Final = (400, 401, 408, 409, 413, 415, 422, 429, 503)


def _query(name: str, description: str, **schema: Any) -> Parameter:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def _paging(*, default: int = LIMIT_DEFAULT, most: int = LIMIT_MAX) -> tuple[Parameter, ...]:
    limit = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return (
        _query("limit", "Entries of a page.", **limit),
        _query("cursor", "The `next_cursor` of the page before.", maxLength=400),
    )


ID: Final[Parameter] = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of a request, or of one of its recipients.",
    "schema": {"type": "string", "format": "uuid"},
}
BATCH_ID: Final[Parameter] = {**ID, "description": "The id of a batch."}
NAME: Final[Parameter] = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "The name of a template.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"},
}
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
    _query("status", "Only those in this status.", enum=STATUSES),
    _query("campaign", "Only those of this campaign."),
    _query("reference", "Only those with this reference."),
    _query("recipient", "Only those to this address.", format="email"),
    _query("batch_id", "Only those of this batch.", format="uuid"),
    _query("channel", "Only those on this channel."),
    _query("created_from", "Only those accepted at this time or later.", format="date-time"),
    _query("created_to", "Only those accepted before this time.", format="date-time"),
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
            parameters=(*FILTERS, *_paging()),
            answers={200: outputs.ResultPage},
            problems=(400, 401, 422, 429, 503),
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
                _query("format", "Instead of `Accept`.", enum=list(batch_results.FORMATS)),
                _query("raw", "Leave CSV cells as they are.", enum=["0", "1"]),
                *_paging(default=batch_results.JSON_PAGE, most=batch_results.PAGE_MAX),
            ),
            answers={200: outputs.ResultPage},
            texts=(batch_results.CSV, batches.NDJSON),
            problems=(400, *READS),
        ),
    ),
)

TEMPLATES: Final[Sequence[Route]] = (
    Route(
        method="GET",
        path="/templates",
        handler=templates.list_templates,
        operation=Operation(
            id="listTemplates",
            tag="Templates",
            summary="List templates",
            parameters=_paging(),
            answers={200: outputs.TemplatePage},
            problems=(400, 401, 422, 429, 503),
        ),
    ),
    Route(
        method="PUT",
        path="/templates/{name}",
        handler=templates.put_template,
        operation=Operation(
            id="putTemplate",
            tag="Templates",
            summary="Save a template",
            description="Makes a new version (201), unless the current one is the same (200). "
            "A communication stays with the version that it was rendered with.",
            parameters=(NAME,),
            body=TemplateIn,
            examples={"welcome": examples.TEMPLATE},
            answers={200: outputs.TemplateOut, 201: outputs.TemplateOut},
            problems=WRITES,
        ),
    ),
    Route(
        method="GET",
        path="/templates/{name}",
        handler=templates.get_template,
        operation=Operation(
            id="getTemplate",
            tag="Templates",
            summary="Read a template",
            parameters=(
                NAME,
                _query(
                    "version",
                    "Not the current one.",
                    type="integer",
                    minimum=1,
                    maximum=999_999_999,
                ),
            ),
            answers={200: outputs.TemplateOut},
            problems=READS,
        ),
    ),
    Route(
        method="DELETE",
        path="/templates/{name}",
        handler=templates.delete_template,
        operation=Operation(
            id="deleteTemplate",
            tag="Templates",
            summary="Take a template out of use",
            parameters=(NAME,),
            answers={204: None},
            problems=READS,
        ),
    ),
    Route(
        method="GET",
        path="/templates/{name}/versions",
        handler=templates.list_versions,
        operation=Operation(
            id="listTemplateVersions",
            tag="Templates",
            summary="List the versions of a template",
            parameters=(NAME,),
            answers={200: outputs.VersionList},
            problems=READS,
        ),
    ),
    Route(
        method="POST",
        path="/templates/{name}/render",
        handler=templates.render_template,
        operation=Operation(
            id="renderTemplate",
            tag="Templates",
            summary="Try a template",
            description="Renders it with this data. Nothing is stored or sent; a missing variable "
            "is an error.",
            parameters=(NAME,),
            body=RenderIn,
            examples={"ada": examples.RENDER},
            answers={200: outputs.RenderedOut},
            problems=(*WRITES, 404),
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

ROUTES: Final[Sequence[Route]] = (*COMMUNICATIONS, *BATCHES, *TEMPLATES, *OPERATIONS)
