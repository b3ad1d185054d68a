"""Routes of accounts for SFTP."""

from collections.abc import Sequence
from typing import Final

from cdp.http import examples, sftp_accounts
from cdp.http.configuration_routes import IF_MATCH
from cdp.http.endpoint import Operation, Route
from cdp.http.route_parts import LISTS, READS, WRITES, Parameter, paging
from cdp.http.sftp_account_models import SftpAccountIn, SftpAccountOut, SftpAccountPage
from cdp.http.template_routes import NAME

LOGIN: Final[Parameter] = {
    **NAME,
    "description": "The login: small letters, digits, dash and underline, a letter first.",
    "schema": {"type": "string", "pattern": "^[a-z][a-z0-9_-]{2,31}$"},
}

SFTP_ACCOUNTS: Final[Sequence[Route]] = (
    Route(
        method="GET",
        path="/sftp-accounts",
        handler=sftp_accounts.list_sftp_accounts,
        operation=Operation(
            id="listSftpAccounts",
            tag="Configuration",
            summary="List accounts for SFTP",
            parameters=paging(),
            answers={200: SftpAccountPage},
            problems=LISTS,
        ),
    ),
    Route(
        method="PUT",
        path="/sftp-accounts/{name}",
        handler=sftp_accounts.put_sftp_account,
        operation=Operation(
            id="putSftpAccount",
            tag="Configuration",
            summary="Set an account for SFTP",
            description="Who may drop files by SFTP, with which keys, and what rows of these files "
            "may leave out. A new one is answered with 201; a login that anybody has, with 409. It "
            "is in force within two seconds; a session whose account is disabled, or whose key is "
            "gone, ends.",
            parameters=(LOGIN, IF_MATCH),
            body=SftpAccountIn,
            examples=examples.SFTP_ACCOUNTS,
            answers={200: SftpAccountOut, 201: SftpAccountOut},
            problems=(*WRITES, 403, 412),
        ),
    ),
    Route(
        method="GET",
        path="/sftp-accounts/{name}",
        handler=sftp_accounts.get_sftp_account,
        operation=Operation(
            id="getSftpAccount",
            tag="Configuration",
            summary="Read an account for SFTP",
            parameters=(LOGIN,),
            answers={200: SftpAccountOut},
            problems=READS,
        ),
    ),
    Route(
        method="DELETE",
        path="/sftp-accounts/{name}",
        handler=sftp_accounts.delete_sftp_account,
        operation=Operation(
            id="deleteSftpAccount",
            tag="Configuration",
            summary="Take an account for SFTP away",
            description="Its sessions end within two seconds. What is complete goes on.",
            parameters=(LOGIN, IF_MATCH),
            answers={204: None},
            problems=(*READS, 412),
        ),
    ),
)
