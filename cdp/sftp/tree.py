"""What an account sees: folders that are made of what the platform knows, and of no folder."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from asyncssh import SFTPFailure, SFTPNoSuchFile

from cdp.domain.ids import text_of
from cdp.domain.request_file import ENDED, FileState, RequestFile
from cdp.domain.sftp_account import SftpAccount
from cdp.ports.object_store import ObjectMissing, StoreUnavailable
from cdp.sftp.handles import ReadHandle
from cdp.sftp.names import Folder, Place, each_named
from cdp.sftp.outputs import ClientFiles, FileReaders, Made, Outputs
from cdp.sftp.spool import Spool
from cdp.sftp.upload import Refusal, Upload

Read = Callable[[], AsyncIterator[bytes]]

RESULTS: Final = ".results.csv"
REJECTS: Final = ".rejects.csv"
REASON: Final = ".reason.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file in a folder."""

    name: str
    at: float
    size: int | None
    """None: nobody knows before it is made."""
    key: str = ""
    """Names what it holds."""
    read: Read | None = None
    upload: Upload | None = None


class Tree:
    """One account's folders."""

    def __init__(
        self,
        account: SftpAccount,
        *,
        spool: Spool,
        files: ClientFiles,
        readers: FileReaders,
        outputs: Outputs,
    ) -> None:
        self._account = account
        self._spool = spool
        self._files = files
        self._readers = readers
        self._outputs = outputs

    async def entries(self, folder: Folder) -> list[Entry]:
        """What is in a folder, the newest first; bounded by what is kept of uploads and files."""
        if folder is Folder.INBOX:
            return list(self._inbox())
        files = await self._files.newest(self._account.client_id)
        if folder is Folder.PROCESSED:
            return [self._processed(name, file) for name, file in each_named(files)]
        if folder is Folder.RESULTS:
            named = each_named(files)
            return [self._results(name, file) for name, file in named if _has_results(file)]
        return [*self._rejects(files), *self._reasons(files)]

    async def entry(self, place: Place) -> Entry:
        """One file.

        Raises:
            SFTPError: there is none.
        """
        assert place.folder is not None
        for entry in await self.entries(place.folder):
            if entry.name == place.name:
                return entry
        raise SFTPNoSuchFile("There is no such file.")

    async def made(self, entry: Entry) -> Made:
        """A file's bytes, ready to be fetched.

        Raises:
            SFTPError: there is no room to make them, or nothing to make them of.
        """
        assert entry.read is not None
        account = self._account
        try:
            return await self._outputs.make(
                account.id, entry.key, entry.read, bytes_max=account.quota_bytes
            )
        except ObjectMissing:
            raise SFTPNoSuchFile("This is not kept any more.") from None
        except StoreUnavailable:
            raise SFTPFailure("Files can't be fetched now.") from None

    async def opened(self, entry: Entry) -> ReadHandle:
        """A file, to be read.

        Raises:
            SFTPError: there is no room to make it.
        """
        if entry.upload is not None:
            return ReadHandle(self._spool.data(entry.upload))
        return self._outputs.read(self._account.id, await self.made(entry))

    def _inbox(self) -> Iterator[Entry]:
        taken: set[str] = set()
        uploads = self._spool.uploads(self._account.id)
        # One that is complete has lost its name to whatever is sent under it next.
        for upload in sorted(uploads, key=lambda each: each.is_complete):
            if upload.name not in taken:
                taken.add(upload.name)
                at, size = upload.shown_at, upload.size
                yield Entry(name=upload.name, at=at, size=size, upload=upload)

    def _processed(self, name: str, file: RequestFile) -> Entry:
        return self._entry(name, file, "source", lambda: self._readers.source(file), size=file.size)

    def _results(self, name: str, file: RequestFile) -> Entry:
        return self._entry(name + RESULTS, file, "results", lambda: self._readers.results(file))

    def _rejects(self, files: Iterable[RequestFile]) -> Iterator[Entry]:
        for name, file in each_named(files):
            if _has_rejects(file):
                yield self._one_rejects(name, file)

    def _one_rejects(self, name: str, file: RequestFile) -> Entry:
        return self._entry(name + REJECTS, file, "rejects", lambda: self._readers.rejects(file))

    def _reasons(self, files: Iterable[RequestFile]) -> Iterator[Entry]:
        refused = self._spool.refusals(self._account.id)
        failed = [
            Refusal(id=file.id, name=file.name, text=file.detail or "", at=file.ended_at)
            for file in files
            if file.state is FileState.FAILED and file.ended_at is not None
        ]
        every = sorted((*refused, *failed), key=lambda each: each.at, reverse=True)
        for name, refusal in each_named(every):
            text = f"{refusal.text}\n".encode()
            yield Entry(
                name=name + REASON,
                at=refusal.at.timestamp(),
                size=len(text),
                key=f"{text_of(refusal.id)}:reason",
                read=_once(text),
            )

    def _entry(
        self, name: str, file: RequestFile, kind: str, read: Read, *, size: int | None = None
    ) -> Entry:
        key = f"{text_of(file.id)}:{kind}"
        made = self._outputs.known(self._account.id, key)
        return Entry(
            name=name,
            at=(file.created_at if kind == "source" else file.updated_at).timestamp(),
            size=size if made is None else made.size,
            key=key,
            read=read,
        )


def _has_results(file: RequestFile) -> bool:
    return file.state in ENDED or file.checkpoint.counts.rows > 0


def _has_rejects(file: RequestFile) -> bool:
    checked = file.checked is not None and file.checked.counts.rejected > 0
    return checked or file.checkpoint.counts.rejected > 0


def _once(text: bytes) -> Read:
    async def read() -> AsyncIterator[bytes]:
        yield text

    return read
