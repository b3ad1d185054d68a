"""What callers send to have providers set up."""

from typing import Annotated, Any

from pydantic import Field

from cdp.domain.rate_budget import RATE_LEAST, RATE_MOST
from cdp.http.models import Input, TemplateName

ProviderSettingsIn = Annotated[
    dict[str, Any],
    Field(
        max_length=30,
        description="What the kind takes: `GET /provider-kinds` has the schemas. Credentials go in "
        "and never come out.",
    ),
]


class ProviderChangeIn(Input):
    """A provider's settings from now on. A credential that is left out stays as it is."""

    settings: ProviderSettingsIn
    enabled: bool = True
    rate_per_s: Annotated[
        float | None,
        Field(
            ge=RATE_LEAST,
            le=RATE_MOST,
            description="Messages a second that it is given at most; null: as many as there are. "
            "What is too much waits, and goes to no other provider.",
        ),
    ] = None


class ProviderIn(ProviderChangeIn):
    """A provider to set up."""

    name: TemplateName
    kind: Annotated[str, Field(min_length=1, max_length=100, examples=["sms.twilio"])]
