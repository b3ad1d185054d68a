"""The first rows of a stored file, as they would be sent: nothing is stored, sent or counted.

What a row is, and what is wrong with it, is decided where an ingestion decides it. Here is what
only a look needs: how little of the file is read, and what is rendered of it.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from cdp.channels.content import Parts
from cdp.channels.table import CHANNELS
from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.request_file import Checkpoint, RequestFile
from cdp.domain.sender import Sender
from cdp.domain.template import TemplateVersion
from cdp.errors import Conflict, FieldError, Invalid, StorageUnavailable
from cdp.file_formats.columns import ColumnPlaces
from cdp.file_formats.faults import FileRefused
from cdp.file_formats.reading import (
    FileKind,
    Packing,
    RowReader,
    batches,
    packing_of,
    plain_bytes,
)
from cdp.file_formats.warnings import FileWarning, warnings_of
from cdp.ports.clock import Clock
from cdp.ports.object_store import ObjectMissing, ObjectStore, StoreUnavailable
from cdp.ports.row_intake import FileRow, FileUnreadable
from cdp.services.client_config_service import ClientConfigService, scope_of
from cdp.services.file_row_source import (
    PLAIN_BYTES_MAX,
    CsvFile,
    NdjsonFile,
    StoredBytes,
    opened_rows,
    unreadable,
)
from cdp.services.file_service import STORE_RETRY_S
from cdp.services.message_service import context_of, templates_of
from cdp.services.opt_out_links import PREVIEW_URL
from cdp.services.template_service import TemplateService

LOOK_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of the decompressed file that is read: room for the longest rows that may be asked for."""
LOOK_S: Final = 5.0
"""So long is read at most: millions of blank lines take their time."""
CONTENT_BYTES_MAX: Final = 4 * 1024 * 1024
RENDER_S: Final = 10.0
"""So long, and so many bytes of content: then no further row is rendered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHead:
    """What the beginning of a file says, and the rows that were asked for."""

    kind: FileKind
    packing: Packing | None = None
    encoding: str | None = None
    """Of a CSV only once its header was read; so are the next two."""
    delimiter: str | None = None
    columns: Sequence[ColumnPlaces] = ()
    warnings: Sequence[FileWarning] = ()
    rows: Sequence[FileRow] = ()
    has_more: bool = False
    """Whether it is known that there are rows behind these."""
    trouble: FileUnreadable | None = None
    """Why what comes behind these rows can't be read, where that was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """What a row would become."""

    request: CommunicationRequest
    sender: Sender | None
    version: TemplateVersion | None
    """None where the row has its content with it."""
    locale: str | None
    """Of the template's variant."""
    parts: Parts | None
    """None where it can't be rendered: it would be accepted, and then be undeliverable."""
    errors: Sequence[FieldError] = ()
    """Why it can't be."""


@dataclass(slots=True, kw_only=True)
class _Look:
    """A file that is being looked at."""

    rows: CsvFile | NdjsonFile
    clock: Clock
    first: int
    count: int
    taken: list[Any] = field(default_factory=list)
    packing: Packing | None = None
    trouble: FileUnreadable | None = None

    async def read(self, source: StoredBytes) -> None:
        """Read until there is one row more than was asked for, or no more can be read."""
        reader: RowReader[Any] = self.rows.reader
        try:
            self.packing = await packing_of(source)
            pieces = _bounded(plain_bytes(source, bytes_max=PLAIN_BYTES_MAX), self.clock)
            async with aclosing(batches(pieces, reader)) as read:
                async for some in read:
                    self.taken += [each for each in some if each.number >= self.first]
                    if len(self.taken) > self.count:
                        return
        except FileRefused as refused:
            self.trouble = unreadable(refused)
        except FileUnreadable as trouble:
            self.trouble = trouble

    def columns(self) -> list[ColumnPlaces]:
        """What a CSV's columns mean, if its header could be read."""
        if not isinstance(self.rows, CsvFile) or self.rows.reader.layout is None:
            return []
        try:
            return self.rows.columns.places()
        except FileRefused as refused:
            # An ingestion comes to that with the first row.
            if self.trouble is None or self.rows.reader.position.rows:
                self.trouble = unreadable(refused)
            self.taken.clear()
            return [ColumnPlaces(name=name, pointers={}) for name in self.rows.reader.layout.header]


class FilePreviews:
    """Looks into files, and renders what is found there."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        config: ClientConfigService,
        templates: TemplateService,
        clock: Clock,
    ) -> None:
        self._store = store
        self._config = config
        self._templates = templates
        self._clock = clock

    async def head(self, file: RequestFile, *, first: int, count: int) -> FileHead:
        """The rows of a file from number `first` on, `count` at most, and how they are read.

        Raises:
            Conflict: what was stored is not there: not yet, or no longer.
            StorageUnavailable: object storage can't be reached.
        """
        try:
            rows = opened_rows(file, Checkpoint())
        except FileUnreadable as trouble:
            return FileHead(kind=FileKind.CSV, trouble=trouble)
        look = _Look(rows=rows, clock=self._clock, first=first, count=count)
        try:
            await look.read(StoredBytes(self._store, file))
        except ObjectMissing:
            raise Conflict("What was stored of the file is not there.") from None
        except StoreUnavailable:
            raise StorageUnavailable(
                "Files can't be read now.", retry_after_s=STORE_RETRY_S
            ) from None
        return _head(file, look)

    async def compositions(self, requests: Sequence[CommunicationRequest]) -> list[Composition]:
        """What each request, of one recipient, would become.

        Those behind are left out once rendering has taken `RENDER_S`, or has given
        `CONTENT_BYTES_MAX`; the first is always there.

        Raises:
            Overloaded: the Message Service can't be asked.
        """
        names = await templates_of(self._config, requests)
        # Who has just changed a template looks at that one.
        versions = await self._config.templates_now(
            (request.client_id, names[request.id]) for request in requests if request.id in names
        )
        senders = await self._config.senders_now((r.client_id, scope_of(r)) for r in requests)
        until, room = self._clock.monotonic() + RENDER_S, CONTENT_BYTES_MAX
        made: list[Composition] = []
        for request in requests:
            version = versions.get((request.client_id, names.get(request.id, "")))
            sender = senders.get((request.client_id, scope_of(request)))
            made.append(await self._composed(request, version, sender))
            room -= sum(len(text.encode()) for text in (made[-1].parts or {}).values())
            if room <= 0 or self._clock.monotonic() >= until:
                break
        return made

    async def _composed(
        self,
        request: CommunicationRequest,
        version: TemplateVersion | None,
        sender: Sender | None,
    ) -> Composition:
        locale: str | None = None
        parts: Parts | None = None
        errors: Sequence[FieldError] = ()
        try:
            if request.content is not None:
                parts = CHANNELS[request.channel].finish(request.content)
            elif version is not None:
                rendering = await self._templates.render_version(
                    version,
                    channel=request.channel,
                    locale=request.recipients[0].locale,
                    context=context_of(request, request.recipients[0], opt_out_url=PREVIEW_URL),
                )
                locale, parts = rendering.locale, rendering.parts
            else:
                # It was there when the row was checked.
                raise Invalid.at("/template", "unknown", "The template has just gone.")
        except Invalid as error:
            errors = error.errors
        return Composition(
            request=request,
            sender=sender,
            version=version,
            locale=locale,
            parts=parts,
            errors=errors,
        )


def _head(file: RequestFile, look: _Look) -> FileHead:
    columns = look.columns()
    if isinstance(look.rows, CsvFile):
        kind, layout = FileKind.CSV, look.rows.reader.layout
        encoding = None if layout is None else layout.encoding
    else:
        kind, layout, encoding = FileKind.NDJSON, None, "utf-8"
    return FileHead(
        kind=kind,
        packing=look.packing,
        encoding=encoding,
        delimiter=None if layout is None else layout.delimiter,
        columns=columns,
        warnings=warnings_of(file.name, file.options, kind, layout),
        rows=[look.rows.row(each) for each in look.taken[: look.count]],
        has_more=len(look.taken) > look.count,
        trouble=look.trouble,
    )


async def _bounded(
    pieces: AsyncGenerator[bytes, None], clock: Clock
) -> AsyncGenerator[bytes, None]:
    read, until = 0, clock.monotonic() + LOOK_S
    async with aclosing(pieces):
        async for piece in pieces:
            read += len(piece)
            if read > LOOK_BYTES_MAX or clock.monotonic() > until:
                detail = (
                    f"For a preview no more than {LOOK_BYTES_MAX // 1024**2} MiB of a file are "
                    f"read, and for {LOOK_S:g} s at most."
                )
                raise FileUnreadable("preview_too_long", detail)
            yield piece
