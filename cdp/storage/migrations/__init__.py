"""Migrations, in their order. Each is a module with `NUMBER` and `async def apply(database)`."""

from collections.abc import Awaitable, Callable
from typing import Final

from cdp.storage.database import Database
from cdp.storage.migrations import (
    m0001_first,
    m0002_configuration,
    m0003_channels,
    m0004_failures,
    m0005_campaigns,
    m0006_senders,
    m0007_budgets,
    m0008_files,
    m0009_sftp_accounts,
    m0010_file_turns,
    m0011_incoming_files,
    m0012_row_references,
)

MIGRATIONS: Final[list[tuple[int, Callable[[Database], Awaitable[None]]]]] = [
    (1, m0001_first.apply),
    (2, m0002_configuration.apply),
    (3, m0003_channels.apply),
    (4, m0004_failures.apply),
    (5, m0005_campaigns.apply),
    (6, m0006_senders.apply),
    (7, m0007_budgets.apply),
    (8, m0008_files.apply),
    (9, m0009_sftp_accounts.apply),
    (10, m0010_file_turns.apply),
    (11, m0011_incoming_files.apply),
    (12, m0012_row_references.apply),
]


async def migrate(database: Database) -> list[int]:
    """Apply what was not applied yet; the numbers of those. It may run twice without harm."""
    collection = database["migrations"]
    applied = {document["_id"] async for document in collection.find()}
    done = []
    for number, apply in MIGRATIONS:
        if number not in applied:
            await apply(database)
            await collection.update_one(
                {"_id": number}, {"$currentDate": {"applied_at": True}}, upsert=True
            )
            done.append(number)
    return done
