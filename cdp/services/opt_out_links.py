"""How a recipient is shown the way out: the URL, and the headers of an email that carry it.

The URL's token names the result; what it is about, and to whom, is looked up when somebody acts.
"""

from typing import Final

from cdp.domain.client import Client
from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.ids import ResultId
from cdp.domain.tracking_token import sign_unsubscribe

PATH: Final = "/u/"
"""Below the base of tracked URLs."""
VARIABLE: Final = "unsubscribe_url"
"""Under which a template sees the URL, unless its data has something else there."""
PREVIEW_URL: Final = "https://unsubscribe.invalid/"
"""In a preview, where there is no message yet that somebody could opt out of."""

_LIST: Final = "List-Unsubscribe"
_ONE_CLICK: Final = ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")

Headers = tuple[tuple[str, str], ...]


def unsubscribe_url(result_id: ResultId, *, base: str, key: bytes) -> str:
    """Where the recipient of this result opts out of its topic, or of its channel."""
    return f"{base}{PATH}{sign_unsubscribe(result_id, key=key)}"


def with_list_unsubscribe(request: CommunicationRequest, client: Client, *, url: str) -> Headers:
    """The headers of a request's email, with the way out by one click (RFC 8058, section 3.1).

    It is there for what has a topic, and for all emails of a client that wants it so. Headers of
    the request's own come before ours.
    """
    given = request.envelope.headers
    wanted = request.topic is not None or client.offers_unsubscribe
    if request.channel != "email" or not wanted:
        return given
    if any(name.lower() == _LIST.lower() for name, _ in given):
        return given
    return (*given, (_LIST, f"<{url}>"), _ONE_CLICK)
