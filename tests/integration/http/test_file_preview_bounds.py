"""How far a preview looks into a file, and what it says of one that can't be read, or well."""

import gzip
import io
import json
import zipfile
from typing import Any

import pytest

from cdp.domain.ids import fresh_id
from cdp.domain.request_file import FileSource, FileState, RequestFile
from cdp.errors import StorageUnavailable
from cdp.ports.object_store import StoreUnavailable
from cdp.services import file_preview
from cdp.services.file_preview import FilePreviews
from tests.integration.http.conftest import Tenant
from tests.integration.http.test_file_preview import held, preview, put_template


def zipped(*names: str) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        for name in names:
            archive.writestr(name, "email\na@b.example\n")
    return into.getvalue()


BOMB = gzip.compress(b"email\r\n" + b"\n" * 64 * 1024 * 1024)
A_ROW = b"a@b.example,hi\r\n"


@pytest.mark.parametrize(
    ("content", "query", "reason", "rows"),
    [
        (b"name\r\nAda\r\n", "&channel=email", "address_missing", 0),
        (b"email\r\na@b.example\r\n", "", "channel_missing", 0),
        (b"email,E-Mail\r\na@b.example,\r\n", "&channel=email", "column_twice", 0),
        (b"email\r\n", "&channel=email", "no_rows", 0),
        (b"\n\n", "&channel=email", "empty", 0),
        (b"email,x\r\n" + A_ROW + b'a@b.example,"hi\r\n', "&channel=email", "quote_open", 1),
        (b"email,x\r\n" + A_ROW + b"a@b.example,\xff\r\n", "&channel=email", "encoding_invalid", 1),
        (b"email,x\r\n" + A_ROW + b"a" * 70_000, "&channel=email", "row_too_long", 1),
        (BOMB, "&channel=email", "archive_ratio", 0),
        (gzip.compress(b"email\r\n" * 999)[:-20], "&channel=email", "archive_invalid", 0),
        (zipped("a.csv", "b.csv"), "&channel=email", "archive_members", 0),
        (zipped("xl/workbook.xml"), "&channel=email", "archive_unsupported", 0),
        (b'{"a":"' + b"x" * (33 * 1024 * 1024), "&format=ndjson", "preview_too_long", 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_file_that_can_not_be_read_says_why(tenant: Tenant, content, query, reason, rows):
    kind = "application/octet-stream"
    file_id = await held(tenant, content, f"&template=hello&force=true{query}", kind=kind)

    seen = await preview(tenant, file_id)

    assert seen["trouble"]["reason"] == reason, seen
    assert seen["trouble"]["detail"].endswith((".", ")"))
    assert (len(seen["rows"]), seen["has_more"]) == (rows, False)


async def test_a_file_that_takes_its_time_is_not_read_for_ever(tenant: Tenant, monkeypatch):
    monkeypatch.setattr(file_preview, "LOOK_S", 0.0)
    file_id = await held(tenant, b"\n" * 100_000, "&format=ndjson&force=true")

    assert (await preview(tenant, file_id))["trouble"]["reason"] == "preview_too_long"


@pytest.mark.parametrize(
    ("content", "query", "codes"),
    [
        (b"email\r\na@b.example\r\n", "&channel=email", {"format_assumed"}),
        (b"email\r\na@b.example\r\n", "&channel=email&name=p.txt", set()),
        (b"email\r\na@b.example\r\n", "&channel=email&format=csv", set()),
        (b'{"channel":"email"}\n', "&format=ndjson&delimiter=%3B", {"option_unused"}),
        (b"\xef\xbb\xbfemail\r\na@b.example\r\n",
         "&channel=email&format=csv&encoding=iso-8859-1", {"encoding_overruled"}),
        (b"email;city\r\na@b.example;Ulm\r\n", "&channel=email&format=csv&delimiter=,",
         {"delimiter_in_name"}),
        (b"a@b.example,Ulm\r\nb@b.example,Lyon\r\n", "&channel=email&format=csv",
         {"header_like_data"}),
    ],
)  # fmt: skip
async def test_what_may_be_a_mistake_is_a_warning(tenant: Tenant, content, query, codes):
    kind = "application/octet-stream"
    file_id = await held(tenant, content, f"&template=hello&force=true{query}", kind=kind)

    assert {w["code"] for w in (await preview(tenant, file_id))["warnings"]} == codes


async def test_large_contents_are_shown_a_few_at_a_time_and_none_is_lost(tenant: Tenant):
    line = {"channel": "email", "to": [{"email": "a@b.example"}], "content": {
        "subject": "Hi", "text": "x" * 900_000}}  # fmt: skip
    body = (json.dumps(line) + "\n").encode() * 8
    file_id = await held(tenant, body, "&force=true", kind="application/x-ndjson")

    shown: list[int] = []
    more = True
    while more:
        seen = await preview(tenant, file_id, f"?rows=20&from_row={len(shown) + 1}")
        shown += [row["row"] for row in seen["rows"]]
        more = seen["has_more"]
        assert len(seen["rows"]) <= 5

    assert shown == list(range(1, 9))


async def test_after_some_seconds_of_rendering_the_rest_is_left_for_the_next_look(
    tenant: Tenant, monkeypatch
):
    monkeypatch.setattr(file_preview, "RENDER_S", 0.0)
    await put_template(tenant)
    content = b"email,first,city\r\nnobody,,\r\n" + b"a@b.example,Ada,Ulm\r\n" * 3
    file_id = await held(tenant, content, "&channel=email&template=hello&force=true")

    seen = await preview(tenant, file_id)

    assert ([row["row"] for row in seen["rows"]], seen["has_more"]) == ([1, 2], True)


class AwayStore:
    """Object storage that can't be reached."""

    async def read(self, key: str, *, offset: int = 0):
        raise StoreUnavailable
        yield b""


async def test_storage_that_can_not_be_reached_is_a_reason_to_come_again(tenant: Tenant, api):
    now = api.services.clock.now()
    file = RequestFile(
        id=fresh_id(now, bytes), client_id=tenant.client.id, name="a.csv", source=FileSource.API,
        size=10, digest=b"", state=FileState.HELD, created_at=now, updated_at=now,
    )  # fmt: skip
    away: Any = AwayStore()
    previews = FilePreviews(
        store=away,
        config=api.services.config,
        templates=api.services.templates,
        clock=api.services.clock,
    )

    with pytest.raises(StorageUnavailable) as caught:
        await previews.head(file, first=1, count=5)
    assert caught.value.retry_after_s > 0
