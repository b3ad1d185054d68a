"""The same bytes twice within a day are a mistake, unless their sender insists (rule F3)."""

from datetime import datetime, timedelta
from typing import Final

from cdp.domain.request_file import SAME_FILE, RequestFile
from cdp.storage.request_files import RequestFiles

UNFINISHED: Final = timedelta(minutes=1)
"""So long a file may take from the note that it has come to its being there."""


async def same_as(
    files: RequestFiles, file: RequestFile, *, at: datetime, insist: bool
) -> bytes | None:
    """Note that a file's bytes have come now; the id of another that brought them within a day."""
    same = await files.note_digest(file, at=at, since=at - SAME_FILE, insist=insist)
    if same is None:
        return None
    same_id, came_at = same
    if at - came_at < UNFINISHED or await files.find(file.client_id, same_id) is not None:
        return same_id
    # Whoever brought them died before the file was there.
    await files.note_digest(file, at=at, since=at, insist=True)
    return None
