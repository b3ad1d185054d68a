"""`/files`: files of requests, sent in one call and worked on afterwards."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from cdp.domain.ids import text_of
from cdp.domain.request_file import (
    FILE_BYTES_MAX,
    FileSource,
    FileState,
    RequestFile,
    seconds_left,
)
from cdp.errors import Invalid, UnsupportedMediaType
from cdp.http.admission import require_live
from cdp.http.answer import Answer, StreamedAnswer, json_answer
from cdp.http.batch_results import CSV
from cdp.http.batches import NDJSON
from cdp.http.body import Body
from cdp.http.call import Call
from cdp.http.file_models import FileOptionsIn
from cdp.http.json_input import validate
from cdp.http.multipart import MULTIPART, FormWithFile
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import QueryReader, id_in_path, known_parameters
from cdp.services.file_service import NewFile

OCTETS: Final = "application/octet-stream"
GZIP: Final = "application/gzip"
ZIP: Final = "application/zip"
BODIES: Final = (CSV, NDJSON, GZIP, ZIP, OCTETS)
UPLOAD_S: Final = 3_600.0
"""How long a caller may be waited for in all."""

_OF_UPLOAD: Final = frozenset({"strict", "hold", "force", "name"})
_FLAGS: Final = ("strict", "hold", "force")


async def post_file(call: Call) -> Answer:
    """Store a file; when this answers 202 it is durable and its turn comes."""
    kind = call.headers.get(b"content-type", b"").decode("latin-1")
    essence = kind.partition(";")[0].strip().lower()
    body = Body(call.headers, call.receive, limit=FILE_BYTES_MAX, within_s=UPLOAD_S)
    if essence == MULTIPART:
        form = FormWithFile(kind, body.pieces())
        given = options_in({**call.query, **await form.up_to_the_file()})
        return await _take(call, given, form.content(), name=form.file_name, essence="")
    if essence not in BODIES:
        allowed = ", ".join((MULTIPART, *BODIES))
        raise UnsupportedMediaType(f"The content type must be one of {allowed}.")
    return await _take(call, options_in(call.query), body.pieces(), name=None, essence=essence)


async def _take(
    call: Call,
    given: FileOptionsIn,
    chunks: AsyncIterator[bytes],
    *,
    name: str | None,
    essence: str,
) -> Answer:
    if not given.hold:
        require_live(call.caller)
    new = new_file(given, name=given.name or name or "upload")
    if "format" not in new.options and essence in (CSV, NDJSON):
        options = {**new.options, "format": "csv" if essence == CSV else "ndjson"}
        new = replace(new, options=options)
    file = await call.services.files.take(call.caller.client.id, new, chunks)
    return json_answer(file_view(call, file), status=202)


def new_file(given: FileOptionsIn, *, name: str) -> NewFile:
    """A file that comes by the API, with these options."""
    return NewFile(
        name=name,
        source=FileSource.API,
        options=given.model_dump(mode="python", exclude_none=True, exclude=set(_OF_UPLOAD)),
        is_strict=given.strict,
        is_held=given.hold,
        insist=given.force,
    )


def options_in(given: Mapping[str, str]) -> FileOptionsIn:
    """The options in a query or form.

    Raises:
        Invalid: one is unknown or wrong.
    """
    values: dict[str, Any] = dict(given)
    for name in _FLAGS:
        if name in values:
            if values[name] not in ("true", "false"):
                raise Invalid.at(name, "invalid", "This is true or false.")
            values[name] = values[name] == "true"
    try:
        return validate(FileOptionsIn, values)
    except Invalid as error:
        raise Invalid(
            [replace(each, pointer=each.pointer.removeprefix("/")) for each in error.errors]
        ) from None


async def list_files(call: Call) -> Answer:
    """A page of files, the newest first."""
    known_parameters(call, frozenset({"state", "source", "limit", "cursor"}))
    reader = QueryReader(call.query)
    state = reader.read("state", FileState, f"One of: {', '.join(FileState)}.")
    source = reader.read("source", FileSource, f"One of: {', '.join(FileSource)}.")
    reader.require_valid()
    limit, scope = limit_of(call), f"files:{state}:{source}"
    page = await call.services.files.page(
        call.caller.client.id,
        state=state,
        source=source,
        before=cursor_of(call, scope),
        limit=limit + 1,
    )
    return json_answer(
        page_of(
            call,
            scope,
            page,
            limit=limit,
            position=lambda file: file.id,
            view=lambda file: file_view(call, file),
        )
    )


async def get_file(call: Call) -> Answer:
    """One file."""
    return json_answer(file_view(call, await file_in_path(call)))


async def start_file(call: Call) -> Answer:
    """Let a file go that was held, or have one taken in that was put to its URL."""
    known_parameters(call, frozenset())
    require_live(call.caller)
    file = await call.services.files.start(call.caller.client.id, id_in_path(call))
    return json_answer(file_view(call, file))


async def cancel_file(call: Call) -> Answer:
    """Take a file back."""
    known_parameters(call, frozenset())
    file = await call.services.files.cancel(call.caller.client.id, id_in_path(call))
    return json_answer(file_view(call, file))


async def get_rejects(call: Call) -> Answer:
    """The rows that were rejected so far, as CSV."""
    file = await file_in_path(call)
    return _csv(call.services.file_outputs.rejects(file), f"{plain_name(file)}.rejects.csv")


async def get_results(call: Call) -> Answer:
    """What became of each row, as CSV."""
    file = await file_in_path(call)
    return _csv(call.services.file_outputs.results(file), f"{plain_name(file)}.results.csv")


async def file_in_path(call: Call) -> RequestFile:
    """The file that the path names, for routes without parameters.

    Raises:
        Invalid: there are some.
        NotFound: it is none of this client.
    """
    known_parameters(call, frozenset())
    return await call.services.files.get(call.caller.client.id, id_in_path(call))


def plain_name(file: RequestFile) -> str:
    """A file's name as a header may hold it."""
    plain = "".join(c for c in file.name if c.isascii() and (c.isalnum() or c in "._- "))
    return plain.strip(". ") or "file"


def _csv(pieces: AsyncGenerator[bytes, None], name: str) -> Answer:
    return StreamedAnswer(
        status=200,
        body=b"",
        content_type=b"text/csv; charset=utf-8",
        headers=((b"content-disposition", f'attachment; filename="{name}"'.encode()),),
        pieces=pieces,
    )


def file_view(call: Call, file: RequestFile) -> dict[str, Any]:
    """A file as callers see it."""
    now = call.services.clock.now()
    checking = file.state is FileState.CHECKING and file.checked is not None
    checkpoint = file.checked if checking and file.checked else file.checkpoint
    done = (checkpoint.position or {}).get("source_offset")
    left_s = seconds_left(file, bytes_done=done, now=now)
    return {
        "id": text_of(file.id),
        "batch_id": text_of(file.id),
        "name": file.name,
        "source": file.source.value,
        "size": file.size,
        "sha256": file.digest.hex(),
        "state": file.state.value,
        "reason": file.reason,
        "detail": file.detail,
        "strict": file.is_strict,
        "options": dict(file.options),
        "rows": {
            "read": checkpoint.counts.rows,
            "accepted": 0 if checking else checkpoint.counts.accepted,
            "rejected": checkpoint.counts.rejected,
        },
        "progress": 1.0
        if file.state is FileState.DONE
        else None
        if done is None
        else min(1.0, done / file.size),
        "estimated_end_at": None if left_s is None else now + timedelta(seconds=int(left_s)),
        "created_at": file.created_at,
        "started_at": file.started_at,
        "ended_at": file.ended_at,
    }
