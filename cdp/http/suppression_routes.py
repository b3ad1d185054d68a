"""The routes of the suppression list."""

from collections.abc import Sequence
from typing import Final

from cdp.http import examples
from cdp.http.batch_results import CSV
from cdp.http.batches import NDJSON
from cdp.http.endpoint import BATCH_DEADLINE_S, Operation, Route
from cdp.http.route_parts import LISTS, READS, WRITES, Parameter, paging, query_parameter
from cdp.http.suppression_files import FORMATS, export_suppressions, import_suppressions
from cdp.http.suppression_models import (
    ENTRIES_MAX,
    ImportedOut,
    SuppressedOut,
    SuppressionOut,
    SuppressionPage,
    SuppressionsIn,
)
from cdp.http.suppressions import (
    delete_suppression,
    get_suppression,
    list_suppressions,
    post_suppressions,
)

ID: Final[Parameter] = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of an entry.",
    "schema": {"type": "string", "format": "uuid"},
}

SUPPRESSIONS: Final[Sequence[Route]] = (
    Route(
        method="POST",
        path="/suppressions",
        handler=post_suppressions,
        operation=Operation(
            id="suppress",
            tag="Suppressions",
            summary="Suppress recipients",
            description=f"Up to {ENTRIES_MAX:,} entries, each with its own answer. What is on its "
            "way to them ends as `suppressed`, and when this answers nothing more is sent to them "
            "but what a worker had already.",
            body=SuppressionsIn,
            examples={"two": examples.SUPPRESSIONS},
            answers={207: SuppressedOut},
            problems=WRITES,
        ),
    ),
    Route(
        method="GET",
        path="/suppressions",
        handler=list_suppressions,
        operation=Operation(
            id="listSuppressions",
            tag="Suppressions",
            summary="List suppressed recipients",
            parameters=(
                query_parameter("channel", "Only those on this channel."),
                query_parameter(
                    "recipient",
                    "Only this recipient: as an entry shows it; with `channel`, in any spelling.",
                ),
                query_parameter("topic", "Only those of this topic."),
                query_parameter("reason", "Only those for this reason."),
                *paging(),
            ),
            answers={200: SuppressionPage},
            problems=LISTS,
        ),
    ),
    Route(
        method="POST",
        path="/suppressions/import",
        handler=import_suppressions,
        deadline_s=BATCH_DEADLINE_S,
        operation=Operation(
            id="importSuppressions",
            tag="Suppressions",
            summary="Import a file of recipients",
            description="CSV whose first line names its columns, or NDJSON with the fields of an "
            "entry; 32 MiB at most, read as it comes. Good rows are kept, bad ones reported. A "
            "file that broke off may be sent again: entries that are there stay as they are. What "
            "an export says besides is passed over.",
            parameters=(
                query_parameter("channel", "Of rows that name none."),
                query_parameter("topic", "Of rows that name none."),
                query_parameter("reason", "Of rows that name none; left out, `import`."),
            ),
            bodies={
                CSV: {
                    "schema": {"type": "string"},
                    "examples": {"two": {"value": examples.SUPPRESSIONS_CSV}},
                },
                NDJSON: {
                    "schema": {"type": "string"},
                    "examples": {"two": {"value": examples.SUPPRESSIONS_NDJSON}},
                },
            },
            answers={200: ImportedOut},
            problems=WRITES,
        ),
    ),
    Route(
        method="GET",
        path="/suppressions/export",
        handler=export_suppressions,
        operation=Operation(
            id="exportSuppressions",
            tag="Suppressions",
            summary="Export the list",
            description="All entries that fit, as one file. In CSV, cells that a spreadsheet would "
            "take for a formula begin with a quote, phone numbers too; not so with `raw=1`, which "
            "is for machines. An import takes either.",
            parameters=(
                query_parameter("format", "How.", enum=list(FORMATS), default="csv"),
                query_parameter("raw", "1: leave cells as they are.", enum=["0", "1"], default="0"),
                query_parameter("channel", "Only those on this channel."),
                query_parameter("topic", "Only those of this topic."),
                query_parameter("reason", "Only those for this reason."),
            ),
            texts=(CSV, NDJSON),
            problems=LISTS,
        ),
    ),
    Route(
        method="GET",
        path="/suppressions/{id}",
        handler=get_suppression,
        operation=Operation(
            id="getSuppression",
            tag="Suppressions",
            summary="Show an entry",
            parameters=(ID,),
            answers={200: SuppressionOut},
            problems=READS,
        ),
    ),
    Route(
        method="DELETE",
        path="/suppressions/{id}",
        handler=delete_suppression,
        operation=Operation(
            id="unsuppress",
            tag="Suppressions",
            summary="Take an entry away",
            description="From then on the recipient is written to again. What it has stopped stays "
            "stopped.",
            parameters=(ID,),
            answers={204: None},
            problems=READS,
        ),
    ),
)
