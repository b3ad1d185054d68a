"""Files of requests in the API's tests: kept, and worked on by hand."""

import os
import tempfile
from pathlib import Path

from cdp.http.call import ApiServices
from cdp.http.file_rows import HttpRowIntake
from cdp.object_stores.local import LocalObjectStore
from cdp.ports.clock import Clock
from cdp.ports.object_store import ObjectStore
from cdp.services.file_ingestion_service import FileIngestionService
from cdp.services.file_row_source import FileRows
from cdp.services.file_service import FileService
from cdp.services.file_upload_service import FileUploadService
from cdp.storage.batches import Batches
from cdp.storage.database import Database
from cdp.storage.request_files import RequestFiles


def folder_of(clock: Clock) -> ObjectStore:
    """Object storage of a test's own."""
    return LocalObjectStore(Path(tempfile.mkdtemp(prefix="cdp-test-objects-")), clock=clock)


def files_of(database: Database, clock: Clock, store: ObjectStore) -> FileService:
    """What the API keeps files by."""
    return FileService(
        files=RequestFiles(database), store=store, clock=clock, random_bytes=os.urandom
    )


def file_uploads_of(database: Database, clock: Clock, store: ObjectStore) -> FileUploadService:
    """Places for large files."""
    return FileUploadService(
        files=RequestFiles(database), store=store, clock=clock, random_bytes=os.urandom
    )


def file_ingestion_of(
    services: ApiServices, database: Database, store: ObjectStore
) -> FileIngestionService:
    """The File Ingestion Service beside an API."""
    return FileIngestionService(
        files=RequestFiles(database),
        batches=Batches(database),
        source=FileRows(store=store),
        intake=HttpRowIntake(services),
        store=store,
        clock=services.clock,
        worker="test",
    )
