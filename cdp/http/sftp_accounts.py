"""`/sftp-accounts`: who may drop files for a client by SFTP."""

from typing import Any

from cdp.domain.ids import text_of
from cdp.domain.sftp_account import SftpAccount
from cdp.http.admission import require_live
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call
from cdp.http.entity_tags import tagged_answer, versions_asked_for
from cdp.http.json_body import json_body
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import known_parameters, name_in_path
from cdp.http.sftp_account_models import SftpAccountIn
from cdp.services.sftp_account_service import DEFAULTS, NewSftpAccount, public_keys

LISTING = "sftp-accounts"


async def put_sftp_account(call: Call) -> Answer:
    """Make an account, or let it be this."""
    require_live(call.caller)
    given = await json_body(call, SftpAccountIn)
    account, is_new = await call.services.sftp_accounts.put(
        call.caller.client.id,
        call.path("name"),
        new_account_in(given),
        seen=versions_asked_for(call.headers),
    )
    return _answer(account, status=201 if is_new else 200)


async def list_sftp_accounts(call: Call) -> Answer:
    """A page of accounts in the order of their names."""
    known_parameters(call, frozenset({"limit", "cursor"}))
    limit, after = limit_of(call), cursor_of(call, LISTING)
    page = await call.services.sftp_accounts.page(
        call.caller.client.id, after=None if after is None else after.decode(), limit=limit + 1
    )
    return json_answer(
        page_of(
            call,
            LISTING,
            page,
            limit=limit,
            position=lambda account: account.name.encode(),
            view=account_view,
        )
    )


async def get_sftp_account(call: Call) -> Answer:
    """One account."""
    known_parameters(call, frozenset())
    return _answer(await call.services.sftp_accounts.get(call.caller.client.id, name_in_path(call)))


async def delete_sftp_account(call: Call) -> Answer:
    """Take an account away."""
    await call.services.sftp_accounts.delete(
        call.caller.client.id, name_in_path(call), seen=versions_asked_for(call.headers)
    )
    return Answer(status=204, body=b"")


def new_account_in(given: SftpAccountIn) -> NewSftpAccount:
    """What is said of an account.

    Raises:
        Invalid: a key is none.
    """
    return NewSftpAccount(
        keys=public_keys(given.keys),
        defaults=given.model_dump(include=set(DEFAULTS), exclude_none=True),
        is_enabled=given.enabled,
    )


def account_view(account: SftpAccount) -> dict[str, Any]:
    """An account as callers see it."""
    return {
        "id": text_of(account.id),
        "name": account.name,
        "keys": [
            {"algorithm": key.algorithm, "fingerprint": key.fingerprint, "key": key.text}
            for key in account.keys
        ],
        **{name: account.defaults.get(name) for name in DEFAULTS},
        "enabled": account.is_enabled,
        "quota_bytes": account.quota_bytes,
        "quota_files": account.quota_files,
        "version": account.version,
        "created_at": account.created_at,
        "updated_at": account.updated_at,
    }


def _answer(account: SftpAccount, *, status: int = 200) -> Answer:
    return tagged_answer(account_view(account), account.version, status=status)
