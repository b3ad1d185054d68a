"""Accounts of the SFTP gateway."""

from cdp.storage.database import Database
from cdp.storage.indexes import INDEXES


async def apply(database: Database) -> None:
    """A login is one over all clients."""
    await database["sftp_accounts"].create_indexes(INDEXES["sftp_accounts"])
