"""Files of requests in the API's tests: kept, and worked on by hand."""

import os
import tempfile
from pathlib import Path

from cdp.http.call import ApiServices
from cdp.http.file_rows import HttpRowIntake
from cdp.object_stores.local import LocalObjectStore
from cdp.ports.clock import Clock
from cdp.ports.object_store import ObjectStore
from cdp.services.client_config_service import ClientConfigService
from cdp.services.file_ingestion_service import FileIngestionService
from cdp.services.file_outputs import FileOutputs
from cdp.services.file_pass import FileTools
from cdp.services.file_preview import FilePreviews
from cdp.services.file_row_source import FileRows
from cdp.services.file_service import FileService
from cdp.services.file_upload_service import FileUploadService
from cdp.services.row_doubles import RowDoubles
from cdp.services.sftp_account_service import SftpAccountService
from cdp.services.template_service import TemplateService
from cdp.storage.batches import Batches
from cdp.storage.database import Database
from cdp.storage.delivery_results import DeliveryResults
from cdp.storage.file_turns import FileTurns
from cdp.storage.request_files import RequestFiles
from cdp.storage.row_references import RowReferences
from cdp.storage.sftp_accounts import SftpAccounts
from cdp.telemetry import Telemetry


def folder_of(clock: Clock) -> ObjectStore:
    """Object storage of a test's own."""
    return LocalObjectStore(Path(tempfile.mkdtemp(prefix="cdp-test-objects-")), clock=clock)


def files_of(database: Database, clock: Clock, store: ObjectStore) -> FileService:
    """What the API keeps files by."""
    return FileService(
        files=RequestFiles(database), store=store, clock=clock, random_bytes=os.urandom
    )


def previews_of(
    config: ClientConfigService, templates: TemplateService, clock: Clock, store: ObjectStore
) -> FilePreviews:
    """What the API looks into files by."""
    return FilePreviews(store=store, config=config, templates=templates, clock=clock)


def sftp_accounts_of(database: Database, clock: Clock) -> SftpAccountService:
    """What the API keeps accounts for SFTP by."""
    return SftpAccountService(accounts=SftpAccounts(database), clock=clock, random_bytes=os.urandom)


def file_outputs_of(database: Database, store: ObjectStore, *, id_key: bytes) -> FileOutputs:
    """What the API makes of files."""
    return FileOutputs(
        store=store, results=DeliveryResults(database), id_key=id_key, telemetry=Telemetry()
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
        tools=FileTools(
            files=RequestFiles(database),
            source=FileRows(store=store),
            intake=HttpRowIntake(
                services, RowDoubles(RowReferences(database), clock=services.clock)
            ),
            store=store,
            clock=services.clock,
            worker="test",
        ),
        turns=FileTurns(database),
        batches=Batches(database),
        telemetry=Telemetry(),
    )
