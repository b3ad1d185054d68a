"""Budgets, for messages whose rate is limited."""

from cdp.storage.database import Database
from cdp.storage.indexes import INDEXES


async def apply(database: Database) -> None:
    """Let those go that nobody spends of any more."""
    await database["budgets"].create_indexes(INDEXES["budgets"])
