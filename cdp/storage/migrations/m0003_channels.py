"""There is more than email: templates hold content by channel, and each channel has its lanes."""

from cdp.storage.database import Database
from cdp.storage.indexes import INDEXES


async def apply(database: Database) -> None:
    """Put what there is under the channel that it is for."""
    for lane in ("high", "default"):
        await database["delivery_results"].update_many(
            {"lane": lane}, {"$set": {"lane": f"email.{lane}"}}
        )
    await database["template_versions"].update_many(
        {"contents": {"$exists": False}},
        [
            {
                "$set": {
                    "contents": {
                        "$arrayToObject": [[{"k": "$channel", "v": {"*": "$parts"}}]],
                    }
                }
            },
            {"$unset": ["channel", "parts"]},
        ],
    )
    for name in ("providers", "inbox", "suppressions", "delivery_results"):
        await database[name].create_indexes(INDEXES[name])
    await database["templates"].update_many(
        {"version": {"$exists": True}, "latest": {"$exists": False}},
        [{"$set": {"latest": "$version"}}, {"$unset": ["channel"]}],
    )
