"""What a request does not say itself, and its campaign or the configuration says for it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from cdp.domain.campaign import Campaign
from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.delivery_config import DeliveryConfig
from cdp.domain.ids import RequestId
from cdp.domain.lane import Priority
from cdp.http.campaign_admission import campaigns_of
from cdp.http.intake_services import IntakeServices
from cdp.services.client_config_service import scope_of

PRIORITIES = {priority.word: priority for priority in Priority}


async def with_defaults(
    services: IntakeServices, requests: Sequence[CommunicationRequest]
) -> list[CommunicationRequest]:
    """The requests with a priority and an expiry.

    The priority is the campaign's, or else the configuration's, where a request names none.
    """
    campaigns = await campaigns_of(services, requests)
    keys = [(request.client_id, scope_of(request)) for request in requests]
    configs = await services.config.delivery_configs_of(keys)
    return [
        _with_defaults(
            request, campaigns.get((request.client_id, request.campaign or "")), configs[key]
        )
        for request, key in zip(requests, keys, strict=True)
    ]


def _with_defaults(
    request: CommunicationRequest, campaign: Campaign | None, config: DeliveryConfig
) -> CommunicationRequest:
    if not request.names_priority:
        named = None if campaign is None else campaign.settings.priority
        if named is None and config.priority is not None:
            named = PRIORITIES[config.priority]
        if named is not None:
            request = replace(request, priority=named)
    if request.expires_at is None and config.expires_after_s is not None:
        begins = max(request.requested_at, request.send_at or request.requested_at)
        lasts = timedelta(milliseconds=int(config.expires_after_s * 1_000))
        request = replace(request, expires_at=begins + lasts)
    return request


def as_first_stored(
    requests: Sequence[CommunicationRequest], first: Mapping[RequestId, CommunicationRequest]
) -> list[CommunicationRequest]:
    """The requests, of which those that were stored before have what they got at that time."""
    return [
        replace(r, priority=first[r.id].priority, expires_at=first[r.id].expires_at)
        if r.id in first
        else r
        for r in requests
    ]
