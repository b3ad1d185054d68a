"""`templates` and `template_versions`: a name points to its newest version, which never changes."""

from collections.abc import Sequence
from datetime import datetime

from pymongo import ReturnDocument

from cdp.domain.ids import ClientId
from cdp.domain.template import TemplateHead, TemplateVersion
from cdp.domain.template_needs import Needs
from cdp.storage.database import Database, Document, insert_new, repository


@repository
class Templates:
    """Templates of one client at a time."""

    def __init__(self, database: Database) -> None:
        self._templates = database["templates"]
        self._versions = database["template_versions"]

    async def next_number(self, client_id: ClientId, name: str) -> int:
        """Reserve the number of the next version. A number that was never used leaves a gap."""
        document = await self._templates.find_one_and_update(
            {"client_id": client_id, "name": name},
            {"$inc": {"reserved": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert document is not None
        return int(document["reserved"])

    async def insert_version(self, version: TemplateVersion, *, is_draft: bool = False) -> None:
        """Store a version, then make it the current one if it is the newest and no draft."""
        await insert_new(self._versions, [_document(version)])
        newest = {"latest": version.version}
        if not is_draft:
            newest["version"] = version.version
        await self._templates.update_one(
            {"client_id": version.client_id, "name": version.name},
            {
                "$max": newest,
                "$set": {"updated_at": version.created_at},
                "$unset": {"deleted_at": ""},
            },
        )

    async def publish(self, version: TemplateVersion, at: datetime) -> None:
        """Make a stored version the current one, whatever was it before."""
        await self._templates.update_one(
            {"client_id": version.client_id, "name": version.name},
            {
                "$set": {"version": version.version, "updated_at": at},
                "$unset": {"deleted_at": ""},
            },
        )

    async def current(
        self, client_id: ClientId, names: Sequence[str]
    ) -> dict[str, TemplateVersion]:
        """The newest version of each name that there is."""
        query = {
            "client_id": client_id,
            "name": {"$in": list(names)},
            "deleted_at": {"$exists": False},
            "version": {"$exists": True},
        }
        heads = [document async for document in self._templates.find(query)]
        if not heads:
            return {}
        wanted = [{"name": head["name"], "version": head["version"]} for head in heads]
        cursor = self._versions.find({"client_id": client_id, "$or": wanted})
        return {d["name"]: _version(d) async for d in cursor}

    async def version(self, client_id: ClientId, name: str, number: int) -> TemplateVersion | None:
        """One version."""
        query = {"client_id": client_id, "name": name, "version": number}
        document = await self._versions.find_one(query)
        return None if document is None else _version(document)

    async def versions(self, client_id: ClientId, name: str) -> list[TemplateVersion]:
        """All versions of a template, the newest first."""
        cursor = self._versions.find({"client_id": client_id, "name": name}).sort("version", -1)
        return [_version(document) async for document in cursor]

    async def page(
        self, client_id: ClientId, *, after: str | None, limit: int
    ) -> list[TemplateHead]:
        """Templates that are in use or have drafts, by name."""
        query: Document = {
            "client_id": client_id,
            "deleted_at": {"$exists": False},
            "latest": {"$exists": True},
        }
        if after is not None:
            query["name"] = {"$gt": after}
        cursor = self._templates.find(query).sort("name", 1).limit(limit)
        return [
            TemplateHead(
                name=d["name"],
                version=d.get("version"),
                latest=d["latest"],
                updated_at=d["updated_at"],
            )
            async for d in cursor
        ]

    async def delete(self, client_id: ClientId, name: str, at: datetime) -> bool:
        """Take the name out of use; its versions stay for what was sent with them."""
        result = await self._templates.update_one(
            {"client_id": client_id, "name": name, "deleted_at": {"$exists": False}},
            {"$set": {"deleted_at": at}},
        )
        return result.matched_count == 1


def _document(version: TemplateVersion) -> Document:
    return {
        "_id": version.id,
        "client_id": version.client_id,
        "name": version.name,
        "version": version.version,
        "contents": version.contents,
        "needs": {
            channel: {locale: needs.paths() for locale, needs in by_locale.items()}
            for channel, by_locale in version.needs.items()
        },
        "created_at": version.created_at,
    }


def _version(document: Document) -> TemplateVersion:
    return TemplateVersion(
        id=document["_id"],
        client_id=document["client_id"],
        name=document["name"],
        version=document["version"],
        contents=document["contents"],
        needs={
            channel: {locale: Needs.of(paths) for locale, paths in by_locale.items()}
            for channel, by_locale in document.get("needs", {}).items()
        },
        created_at=document["created_at"],
    )
