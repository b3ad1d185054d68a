"""The routes of files of requests."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cdp.domain.request_file import FILE_BYTES_MAX, FileSource, FileState
from cdp.http.batch_results import CSV
from cdp.http.endpoint import Operation, Route
from cdp.http.file_models import FileOptionsIn, FileOut, FilePage
from cdp.http.file_preview import FROM_ROW_MOST, ROWS_DEFAULT, ROWS_MOST, preview_file
from cdp.http.file_preview_outputs import PreviewOut
from cdp.http.files import (
    BODIES,
    UPLOAD_S,
    cancel_file,
    get_file,
    get_rejects,
    get_results,
    list_files,
    post_file,
    start_file,
)
from cdp.http.multipart import FILE_FIELD, MULTIPART
from cdp.http.route_parts import LISTS, READS, WRITES, Parameter, paging, query_parameter

ID: Final[Parameter] = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of a file.",
    "schema": {"type": "string", "format": "uuid"},
}
_EXAMPLE: Final = "email,name,template\nada@example.org,Ada,welcome\n"
_OPTIONS: Final[Mapping[str, Any]] = FileOptionsIn.model_json_schema()["properties"]
_ROWS: Final = (
    query_parameter(
        "rows", "How many.", type="integer", minimum=1, maximum=ROWS_MOST, default=ROWS_DEFAULT
    ),
    query_parameter(
        "from_row", "The first one.", type="integer", minimum=1, maximum=FROM_ROW_MOST, default=1
    ),
)


def _option_parameters() -> tuple[Parameter, ...]:
    return tuple(
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema.get("description", "Of rows that name none."),
            "schema": {k: v for k, v in schema.items() if k not in ("description", "title")},
        }
        for name, schema in _OPTIONS.items()
    )


def _bodies() -> dict[str, Mapping[str, Any]]:
    binary: Mapping[str, Any] = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "schema": {
            "type": "object",
            "required": [FILE_FIELD],
            "properties": {FILE_FIELD: {"type": "string", "format": "binary"}},
            "additionalProperties": {"type": "string"},
        }
    }
    plain = {"schema": {"type": "string"}, "examples": {"one": {"value": _EXAMPLE}}}
    return {MULTIPART: form, **dict.fromkeys(BODIES, binary), CSV: plain}


FILES: Final[Sequence[Route]] = (
    Route(
        method="POST",
        path="/files",
        handler=post_file,
        deadline_s=UPLOAD_S,
        operation=Operation(
            id="sendFile",
            tag="Files",
            summary="Send a file of requests",
            description="CSV or NDJSON, plain, or one of them in gzip or zip; "
            f"{FILE_BYTES_MAX // 1024**3} GiB at most. As the body, with the options in the query, "
            f"or as the last field, `{FILE_FIELD}`, of a form whose other fields are the options. "
            "When this answers, the file is durable; its rows follow. Each right row becomes a "
            "communication, each wrong one is reported.",
            parameters=_option_parameters(),
            bodies=_bodies(),
            answers={202: FileOut},
            problems=(*WRITES, 403),
        ),
    ),
    Route(
        method="GET",
        path="/files",
        handler=list_files,
        operation=Operation(
            id="listFiles",
            tag="Files",
            summary="List files",
            parameters=(
                query_parameter("state", "Only those in this state.", enum=list(FileState)),
                query_parameter("source", "Only those that came so.", enum=list(FileSource)),
                *paging(),
            ),
            answers={200: FilePage},
            problems=LISTS,
        ),
    ),
    Route(
        method="GET",
        path="/files/{id}",
        handler=get_file,
        operation=Operation(
            id="getFile",
            tag="Files",
            summary="Look at a file",
            parameters=(ID,),
            answers={200: FileOut},
            problems=READS,
        ),
    ),
    Route(
        method="POST",
        path="/files/{id}/start",
        handler=start_file,
        operation=Operation(
            id="startFile",
            tag="Files",
            summary="Start a file that is held",
            description="One that is `awaited` is taken in at once, if all of it was put to its "
            "URL; else that is a 409.",
            parameters=(ID,),
            answers={200: FileOut},
            problems=(401, 403, 404, 409, 422, 429, 503),
        ),
    ),
    Route(
        method="POST",
        path="/files/{id}/preview",
        handler=preview_file,
        operation=Operation(
            id="previewFile",
            tag="Files",
            summary="Look at the first rows as they would be sent",
            description="How the file is read, and of each row why it would be rejected, or the "
            "content that it would become. Nothing is stored or sent. Links are not tracked in "
            "it, and the one to opt out leads nowhere. Of large rows fewer are shown: go on with "
            "`from_row`.",
            parameters=(ID, *_ROWS),
            answers={200: PreviewOut},
            problems=(401, 404, 409, 422, 429, 503),
        ),
    ),
    Route(
        method="POST",
        path="/files/{id}/cancel",
        handler=cancel_file,
        operation=Operation(
            id="cancelFile",
            tag="Files",
            summary="Take a file back",
            description="None of its rows is accepted any more. What was accepted before goes on; "
            "cancel that by its own.",
            parameters=(ID,),
            answers={200: FileOut},
            problems=(401, 404, 409, 422, 429, 503),
        ),
    ),
    Route(
        method="GET",
        path="/files/{id}/rejects",
        handler=get_rejects,
        operation=Operation(
            id="getFileRejects",
            tag="Files",
            summary="Fetch the rows that were rejected",
            description="CSV with row, column, code, reason and the row itself. Cells that a "
            "spreadsheet would take for a formula begin with a quote.",
            parameters=(ID,),
            texts=(CSV,),
            problems=READS,
        ),
    ),
    Route(
        method="GET",
        path="/files/{id}/results",
        handler=get_results,
        operation=Operation(
            id="getFileResults",
            tag="Files",
            summary="Fetch what became of each row",
            description="CSV with a line for each row so far: its state, attempts, times and what "
            "the provider said; `rejected` where it became no communication.",
            parameters=(ID,),
            texts=(CSV,),
            problems=READS,
        ),
    ),
)
