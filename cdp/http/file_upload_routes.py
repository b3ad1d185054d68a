"""The routes of large files: where to put one, and where to fetch it again."""

from collections.abc import Sequence
from typing import Final

from cdp.domain.request_file import FILE_BYTES_MAX
from cdp.http.endpoint import Operation, Route
from cdp.http.file_models import FileUploadIn, FileUploadOut
from cdp.http.file_routes import ID
from cdp.http.file_uploads import get_source, post_file_upload
from cdp.http.files import OCTETS
from cdp.http.route_parts import READS, WRITES

FILE_UPLOADS: Final[Sequence[Route]] = (
    Route(
        method="POST",
        path="/file-uploads",
        handler=post_file_upload,
        operation=Operation(
            id="beginFileUpload",
            tag="Files",
            summary="Get a URL to put a large file to",
            description="The file goes to object storage past the platform: whole, by one PUT to "
            f"the URL, {FILE_BYTES_MAX // 1024**3} GiB at most. It is `awaited` until it has come "
            "and `receiving` while it is taken in; then it goes on as one that was sent. That it "
            "has come is noticed, and at once if you start it. Where files are kept in a folder "
            "there are no URLs, which is a 409: send it by `POST /files`.",
            body=FileUploadIn,
            answers={201: FileUploadOut},
            problems=(*WRITES, 403),
        ),
    ),
    Route(
        method="GET",
        path="/files/{id}/source",
        handler=get_source,
        operation=Operation(
            id="getFileSource",
            tag="Files",
            summary="Fetch a file as it was sent",
            description="Where files are kept in S3, a redirection to a URL that is valid for "
            "five minutes and needs no key; else the bytes.",
            parameters=(ID,),
            answers={200: None, 303: None},
            texts=(OCTETS,),
            problems=READS,
        ),
    ),
)
