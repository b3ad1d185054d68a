"""`/providers`: accounts with vendors. Credentials only go in."""

from datetime import datetime
from typing import Any, Final

from cdp.domain.provider_account import ProviderAccount
from cdp.errors import Invalid
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call
from cdp.http.entity_tags import tagged_answer, versions_asked_for
from cdp.http.json_body import json_body
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import known_parameters, name_in_path
from cdp.http.provider_models import ProviderChangeIn, ProviderIn
from cdp.services.provider_kinds import kind_of, kinds

_SCOPE: Final = "providers"


async def list_kinds(call: Call) -> Answer:
    """What kinds there are, and what each takes."""
    return json_answer(
        {
            "items": [
                {
                    "kind": each.kind,
                    "channel": each.kind.partition(".")[0],
                    "settings": each.model.model_json_schema(),
                    "credentials": list(each.secrets),
                }
                for each in kinds()
            ]
        }
    )


async def create_provider(call: Call) -> Answer:
    """Set up a provider."""
    given = await json_body(call, ProviderIn)
    account = await call.services.providers.create(
        call.caller.client.id,
        name=given.name,
        kind=given.kind,
        settings=given.settings,
        is_enabled=given.enabled,
        rate_per_s=given.rate_per_s,
    )
    return tagged_answer(provider_view(account), account.version, status=201)


async def list_providers(call: Call) -> Answer:
    """A page of providers in the order of their names."""
    known_parameters(call, frozenset({"limit", "cursor"}))
    limit = limit_of(call)
    after = cursor_of(call, _SCOPE)
    page = await call.services.providers.page(
        call.caller.client.id, after=None if after is None else after.decode(), limit=limit + 1
    )
    return json_answer(
        page_of(
            call,
            _SCOPE,
            page,
            limit=limit,
            position=lambda account: account.name.encode(),
            view=provider_view,
        )
    )


async def get_provider(call: Call) -> Answer:
    """One provider."""
    account = await call.services.providers.get(call.caller.client.id, name_in_path(call))
    return tagged_answer(provider_view(account), account.version)


async def put_provider(call: Call) -> Answer:
    """Change a provider."""
    name = name_in_path(call)
    given = await json_body(call, ProviderChangeIn)
    account = await call.services.providers.replace(
        call.caller.client.id,
        name,
        settings=given.settings,
        is_enabled=given.enabled,
        rate_per_s=given.rate_per_s,
        seen=versions_asked_for(call.headers),
    )
    return tagged_answer(provider_view(account), account.version)


async def delete_provider(call: Call) -> Answer:
    """Take a provider away."""
    await call.services.providers.delete(
        call.caller.client.id, name_in_path(call), seen=versions_asked_for(call.headers)
    )
    return Answer(status=204, body=b"")


def provider_view(account: ProviderAccount) -> dict[str, Any]:
    """A provider; of a credential no more than whether, and when, it was set."""
    return {
        "name": account.name,
        "kind": account.kind,
        "channel": account.channel,
        "settings": dict(account.settings),
        "credentials": _credentials(account),
        "enabled": account.is_enabled,
        "rate_per_s": account.rate_per_s,
        "version": account.version,
        "created_at": account.created_at,
        "updated_at": account.updated_at,
    }


def _credentials(account: ProviderAccount) -> dict[str, datetime | None]:
    try:
        kind = kind_of(account.kind)
    except Invalid:
        # Its package is gone, or can't be used: it is still shown, and can be taken away.
        unset = {}
    else:
        unset = dict.fromkeys(name for name in kind.secrets if name not in kind.maps)
    # One from before the times were kept was set when its account was.
    given = {p: account.secrets_set_at.get(p, account.created_at) for p in account.secrets}
    return {**unset, **given}
