"""`/delivery-configs` and `/config/explain`: delivery and retries, level by level."""

import asyncio
from typing import Any, Final

from cdp.domain.delivery_config import FIELDS, ConfigScope, DeliveryConfig
from cdp.domain.segment import Assignment, AssignmentKey
from cdp.errors import Invalid
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call
from cdp.http.campaign_views import campaign_effect_view
from cdp.http.entity_tags import tagged_answer, versions_asked_for
from cdp.http.json_body import json_body
from cdp.http.models import DeliveryConfigIn, DeliveryFieldsIn, ExplainIn
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import id_in_path, known_parameters
from cdp.http.views import delivery_config_view, explained_view, routed_provider_view

_NAMED: Final = ("channel", "campaign", "segment")


async def post_delivery_config(call: Call) -> Answer:
    """Add a level."""
    given = await json_body(call, DeliveryConfigIn)
    config = config_in(given)
    level = await call.services.delivery_configs.create(
        call.caller.client.id, scope_in(given), config
    )
    return tagged_answer(delivery_config_view(level), level.version, status=201)


async def list_delivery_configs(call: Call) -> Answer:
    """A page of levels in the order in which they were made."""
    known_parameters(call, frozenset({*_NAMED, "limit", "cursor"}))
    limit = limit_of(call)
    named = ConfigScope(**{name: call.query[name] for name in _NAMED if name in call.query})
    listing = f"delivery-configs:{named.channel!r}:{named.campaign!r}:{named.segment!r}"
    page = await call.services.delivery_configs.page(
        call.caller.client.id, named=named, after=cursor_of(call, listing), limit=limit + 1
    )
    return json_answer(
        page_of(
            call, listing, page, limit=limit, position=lambda e: e.id, view=delivery_config_view
        )
    )


async def get_delivery_config(call: Call) -> Answer:
    """One level."""
    known_parameters(call, frozenset())
    level = await call.services.delivery_configs.get(call.caller.client.id, id_in_path(call))
    return tagged_answer(delivery_config_view(level), level.version)


async def put_delivery_config(call: Call) -> Answer:
    """Let a level say something else."""
    given = await json_body(call, DeliveryFieldsIn)
    config = config_in(given)
    level = await call.services.delivery_configs.replace(
        call.caller.client.id,
        id_in_path(call),
        config,
        seen=versions_asked_for(call.headers),
    )
    return tagged_answer(delivery_config_view(level), level.version)


async def delete_delivery_config(call: Call) -> Answer:
    """Take a level away."""
    await call.services.delivery_configs.delete(
        call.caller.client.id, id_in_path(call), seen=versions_asked_for(call.headers)
    )
    return Answer(status=204, body=b"")


async def explain(call: Call) -> Answer:
    """What counts for a communication, and where each of it comes from."""
    given = await json_body(call, ExplainIn)
    services, client_id = call.services, call.caller.client.id
    key = (client_id, given.campaign or "")
    senders, explained, template, campaigns, providers = await asyncio.gather(
        services.config.senders_now([(client_id, scope_in(given))]),
        services.delivery_configs.explain(client_id, scope_in(given)),
        _template(call, given),
        services.config.campaigns([key]),
        services.routing.of_scope(client_id, scope_in(given)),
    )
    sender = senders.get((client_id, scope_in(given)))
    view = explained_view(explained, sender=sender, template=template)
    return json_answer(
        view
        | {
            "campaign": campaign_effect_view(campaigns.get(key)),
            "providers": [routed_provider_view(account) for account in providers],
        }
    )


async def _template(call: Call, given: ExplainIn) -> Assignment | None:
    if given.segment is None:
        return None
    return await call.services.segments.assignment_for(
        AssignmentKey(
            client_id=call.caller.client.id,
            segment=given.segment,
            channel=given.channel,
            campaign=given.campaign,
        )
    )


def scope_in(given: DeliveryConfigIn | ExplainIn) -> ConfigScope:
    """What is named."""
    return ConfigScope(channel=given.channel, campaign=given.campaign, segment=given.segment)


def config_in(given: DeliveryFieldsIn) -> DeliveryConfig:
    """What is said.

    Raises:
        Invalid: nothing is.
    """
    said: dict[str, Any] = {name: getattr(given, name) for name in FIELDS}
    if all(value is None for value in said.values()):
        raise Invalid.at("", "missing", f"Give at least one of {', '.join(FIELDS)}.")
    for name in ("retry_on", "providers"):
        if said[name] is not None:
            said[name] = tuple(dict.fromkeys(said[name]))
    return DeliveryConfig(**said)
