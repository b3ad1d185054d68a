"""Routes of providers, with the shapes of their answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field

from cdp.http import examples, providers
from cdp.http.configuration_routes import IF_MATCH
from cdp.http.endpoint import Operation, Route
from cdp.http.outputs import Output
from cdp.http.provider_models import ProviderChangeIn, ProviderIn
from cdp.http.route_parts import LISTS, READS, WRITES, Parameter, paging
from cdp.http.template_routes import NAME

PROVIDER_NAME: Final[Parameter] = {**NAME, "description": "The name of a provider."}


class ProviderOut(Output):
    """A provider."""

    name: str
    kind: str
    channel: str
    settings: Annotated[dict[str, Any], Field(description="Without the credentials.")]
    credentials: Annotated[
        dict[str, datetime | None],
        Field(
            description="When each was set; null if it is not. Of several under one setting the "
            "name stands behind a slash."
        ),
    ]
    enabled: bool
    rate_per_s: float | None
    version: int
    created_at: datetime
    updated_at: datetime


class ProviderPage(Output):
    """A page. Hand `next_cursor` in to get the next one."""

    items: list[ProviderOut]
    next_cursor: str | None


class ProviderKindOut(Output):
    """A kind of provider."""

    kind: str
    channel: str
    settings: Annotated[dict[str, Any], Field(description="A JSON schema.")]
    credentials: Annotated[list[str], Field(description="The settings that never come out.")]


class ProviderKindList(Output):
    """The kinds that can be set up."""

    items: list[ProviderKindOut]


PROVIDERS: Final[Sequence[Route]] = (
    Route(
        method="GET",
        path="/provider-kinds",
        handler=providers.list_kinds,
        operation=Operation(
            id="listProviderKinds",
            tag="Providers",
            summary="List the kinds of providers",
            answers={200: ProviderKindList},
            problems=READS,
        ),
    ),
    Route(
        method="POST",
        path="/providers",
        handler=providers.create_provider,
        operation=Operation(
            id="createProvider",
            tag="Providers",
            summary="Set up a provider",
            description="It is used where a delivery configuration names it, and for all of its "
            "channel's messages where none names any. If there is one of this name, the answer is "
            "409.",
            body=ProviderIn,
            examples=examples.PROVIDERS,
            answers={201: ProviderOut},
            problems=WRITES,
        ),
    ),
    Route(
        method="GET",
        path="/providers",
        handler=providers.list_providers,
        operation=Operation(
            id="listProviders",
            tag="Providers",
            summary="List providers",
            parameters=paging(),
            answers={200: ProviderPage},
            problems=LISTS,
        ),
    ),
    Route(
        method="GET",
        path="/providers/{name}",
        handler=providers.get_provider,
        operation=Operation(
            id="getProvider",
            tag="Providers",
            summary="Read a provider",
            parameters=(PROVIDER_NAME,),
            answers={200: ProviderOut},
            problems=READS,
        ),
    ),
    Route(
        method="PUT",
        path="/providers/{name}",
        handler=providers.put_provider,
        operation=Operation(
            id="putProvider",
            tag="Providers",
            summary="Change a provider",
            description="What is left out of the settings goes back to its default, but for "
            "credentials: those stay, and null takes one away. In force within two seconds.",
            parameters=(PROVIDER_NAME, IF_MATCH),
            body=ProviderChangeIn,
            examples={"rotated": examples.PROVIDER_CHANGE},
            answers={200: ProviderOut},
            problems=(*WRITES, 404, 412),
        ),
    ),
    Route(
        method="DELETE",
        path="/providers/{name}",
        handler=providers.delete_provider,
        operation=Operation(
            id="deleteProvider",
            tag="Providers",
            summary="Take a provider away",
            description="While a delivery configuration names it the answer is 409.",
            parameters=(PROVIDER_NAME, IF_MATCH),
            answers={204: None},
            problems=(*READS, 409, 412),
        ),
    ),
)
