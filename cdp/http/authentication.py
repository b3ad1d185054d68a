"""Who asks: the API key of the `Authorization` header."""

import hmac

from cdp.channels.in_app import normalise_user
from cdp.domain.inbox import InboxUser
from cdp.errors import FieldError, Invalid, Unauthenticated
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


async def authenticate_recipient(call: Call) -> None:
    """Note on the call whose inbox it is for: by a recipient's token, or by an API key of the
    client's backend together with the parameter `user`.

    Raises:
        Unauthenticated: neither came.
        Invalid: a key came without a user.
    """
    header = call.headers.get(b"authorization", b"").decode("latin-1")
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer" and token.count(".") == 2:
        call.signed_recipient = call.services.inbox_tokens.read(token)
        return
    await authenticate(call)
    user = call.query.get("user", "")
    try:
        normalise_user(user)
    except ValueError as error:
        raise Invalid(
            [FieldError(pointer="user", code="user_invalid", detail=f"{error}.")]
        ) from None
    call.signed_recipient = InboxUser(client_id=call.caller.client.id, user=user)


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
