"""Who asks: the API key of the `Authorization` header."""

import hmac

from cdp.errors import Unauthenticated
from cdp.http.call import Call


async def authenticate(call: Call) -> None:
    """Note on the call whose key came with it.

    Raises:
        Unauthenticated: none that is valid did.
    """
    header = call.headers.get(b"authorization")
    call.signed_in = await call.services.access.authenticate(
        None if header is None else header.decode("latin-1")
    )


def require_metrics_token(call: Call) -> None:
    """Let only those scrape who know the token, where one is set.

    Raises:
        Unauthenticated: the token is missing or another.
    """
    token = call.services.metrics_token
    if token is None:
        return
    given = call.headers.get(b"authorization", b"")
    if not hmac.compare_digest(given, b"Bearer " + token.encode()):
        raise Unauthenticated("The metrics need their token.")
