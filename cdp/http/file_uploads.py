"""`/file-uploads`: places for large files, and `/files/{id}/source`: what was sent."""

from cdp.domain.ids import text_of
from cdp.http.admission import require_live
from cdp.http.answer import Answer, StreamedAnswer, json_answer
from cdp.http.call import Call
from cdp.http.file_models import FileUploadIn
from cdp.http.files import OCTETS, file_in_path, new_file, plain_name
from cdp.http.json_body import json_body
from cdp.http.parameters import known_parameters
from cdp.ports.object_store import SignedUrl


async def post_file_upload(call: Call) -> Answer:
    """A file that is awaited, and the URL to put it to."""
    known_parameters(call, frozenset())
    given = await json_body(call, FileUploadIn)
    if not given.hold:
        require_live(call.caller)
    upload = await call.services.file_uploads.begin(
        call.caller.client.id, new_file(given, name=given.name)
    )
    assert upload.file.incoming is not None
    return json_answer(
        {
            "id": text_of(upload.file.id),
            "method": "PUT",
            "url": upload.url.url,
            "expires_at": upload.url.expires_at,
            "awaited_until": upload.file.incoming.until,
        },
        status=201,
    )


async def get_source(call: Call) -> Answer:
    """A file as it was sent, or where to fetch it."""
    file = await file_in_path(call)
    source = await call.services.file_uploads.source(file)
    if isinstance(source, SignedUrl):
        return Answer(status=303, body=b"", headers=((b"location", source.url.encode()),))
    name = plain_name(file).encode()
    return StreamedAnswer(
        status=200,
        body=b"",
        content_type=OCTETS.encode(),
        headers=((b"content-disposition", b'attachment; filename="%s"' % name),),
        pieces=source,
    )
