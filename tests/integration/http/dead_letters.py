"""Makes dead letters, as a worker and a shard would."""

from collections.abc import Sequence
from typing import Any

from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName
from cdp.domain.ids import ResultId, id_from_text, text_of
from cdp.services.communication_service import Move
from tests.integration.http.conftest import Tenant, email
from tests.integration.http.services import Api

E = EventName
LATER, NOBODY = ("transient", "451 4.3.0"), ("address", "550 5.1.1")


async def accepted(api: Api, tenant: Tenant, count: int, **fields: Any) -> list[WorkItem]:
    """So many communications that nothing has happened to."""
    answer = await tenant.post("/communications/batch", [email(**fields) for _ in range(count)])
    ids = [ResultId(id_from_text(item["id"])) for item in answer.json["items"]]
    found = await api.services.dead_letters.items(tenant.client.id, ids)
    return [found[i] for i in ids]


async def happens(api: Api, items: Sequence[WorkItem], name: E, **said: Any) -> list[WorkItem]:
    """The same thing to all of them."""
    after = await api.communications.advance(
        [Move(item=item, name=name, metadata=said) for item in items]
    )
    return [item for item in after if item is not None]


async def failed(
    api: Api, items: Sequence[WorkItem], *, why: tuple[str, str] = LATER, provider: str = "smtp"
) -> list[WorkItem]:
    """They were attempted in vain."""
    reason, code = why
    for name, said in (
        (E.CONTENT_RESOLVED, {}),
        (E.QUEUED, {"queue": "email.default", "epoch": 1}),
        (E.DELIVERY_ATTEMPTED, {"attempt": 1, "provider": provider}),
        (E.DELIVERY_FAILED, {"reason": reason, "code": code, "answer": f"{code} it said"}),
    ):
        items = await happens(api, items, name, **said)
    return list(items)


async def dead(
    api: Api, tenant: Tenant, count: int, *, reason: str = "", **how: Any
) -> list[WorkItem]:
    """So many that were given up after an attempt."""
    request = {k: how.pop(k) for k in ("campaign", "reference") if k in how}
    items = await failed(api, await accepted(api, tenant, count, **request), **how)
    reason = reason or how.get("why", LATER)[0]
    return await happens(api, items, E.UNDELIVERABLE, reason=reason, attempts=1)


async def without_content(api: Api, tenant: Tenant, count: int) -> list[WorkItem]:
    """So many whose template was gone."""
    items = await accepted(api, tenant, count)
    said = {"reason": "template_missing", "detail": "welcome"}
    return await happens(api, items, E.UNDELIVERABLE, **said)


def ids_of(items: Sequence[WorkItem]) -> list[str]:
    return sorted(text_of(item.result_id) for item in items)


async def listed(tenant: Tenant, query: str = "") -> list[str]:
    answer = await tenant.get(f"/dead-letters?{query}")
    assert answer.status == 200, answer.body
    return sorted(item["id"] for item in answer.json["items"])
