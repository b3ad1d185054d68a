"""From a checked model to a request of the domain, and whether it may be taken in right now.

What a model alone can't say is said here: fields that exclude each other, times against the
clock, templates and senders that must exist, limits. What depends on the moment is kept apart
(`refusals`): a request that was accepted once is answered the same again, whatever changed since.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import Final

from cdp.channels.content import Parts
from cdp.channels.email import check_header
from cdp.channels.table import CHANNELS
from cdp.domain.client import Client
from cdp.domain.communication_request import (
    NO_ENVELOPE,
    NO_TRACKING,
    CommunicationRequest,
    Envelope,
    Tracking,
)
from cdp.domain.delivery_config import ConfigScope
from cdp.domain.ids import BatchId, ClientId, RequestId, result_ids
from cdp.domain.segment import assignment_key
from cdp.errors import CdpError, Conflict, FieldError, Forbidden, Invalid, pointer_of
from cdp.http.campaign_admission import campaigns_of, closed_to
from cdp.http.communication_models import AnyIn, EmailIn, MailboxIn, PushIn
from cdp.http.contents import content_faults, device_faults, parts_of, recipients_of
from cdp.http.intake_services import IntakeServices
from cdp.http.request_defaults import PRIORITIES
from cdp.http.template_admission import template_refusals
from cdp.services.access_service import Caller

Scope = tuple[str, str | None, str | None]
"""Channel, campaign and segment of a request."""
TEST_KEY: Final = "A test key can't send yet."


def request_of(
    given: AnyIn,
    *,
    request_id: RequestId,
    client: Client,
    id_key: bytes,
    at: datetime,
    batch_id: BatchId | None = None,
    idempotency_key: str | None = None,
    body_hash: bytes | None = None,
) -> CommunicationRequest:
    """The request that a caller describes.

    Raises:
        Invalid: fields of it do not fit together.
    """
    content = None if given.content is None else parts_of(given.content)
    errors = list(_contradictions(given, content))
    if errors:
        raise Invalid(errors)
    ids = result_ids(request_id, len(given.to), key=id_key)
    return CommunicationRequest(
        id=request_id,
        client_id=client.id,
        channel=given.channel,
        recipients=recipients_of(given, ids),
        template=given.template,
        content=content,
        campaign=given.campaign,
        segment=given.segment,
        topic=given.topic,
        data=given.data,
        priority=PRIORITIES[given.priority],
        names_priority="priority" in given.model_fields_set,
        send_at=given.send_at,
        expires_at=given.expires_at,
        reference=given.reference,
        metadata=given.metadata,
        tracking=_tracking(given) if isinstance(given, EmailIn) else NO_TRACKING,
        envelope=_envelope(given) if isinstance(given, EmailIn) else NO_ENVELOPE,
        batch_id=batch_id,
        idempotency_key=idempotency_key,
        body_hash=body_hash,
        requested_at=at,
    )


def _contradictions(given: AnyIn, content: Parts | None) -> Iterator[FieldError]:
    if given.template is None and given.content is None and given.segment is None:
        yield FieldError(
            pointer="/template",
            code="missing",
            detail="Give a template, content, or a segment that a template is assigned to.",
        )
    if given.template is not None and content is not None:
        yield FieldError(
            pointer="/content",
            code="excluded",
            detail="Give either a template or content, not both.",
        )
    if content is not None:
        yield from content_faults(given.channel, content)
    if given.send_at and given.expires_at and given.expires_at <= given.send_at:
        yield FieldError(
            pointer="/expires_at", code="too_early", detail="This must be later than send_at."
        )
    if isinstance(given, PushIn):
        yield from device_faults(given)
    if isinstance(given, EmailIn) and given.headers:
        yield from _header_faults(given.headers)


def _header_faults(headers: Mapping[str, str]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for name, value in headers.items():
        pointer = pointer_of(("headers", name))
        try:
            check_header(name, value)
        except ValueError as error:
            yield FieldError(pointer=pointer, code="header_unsafe", detail=f"{error}.")
        if name.lower() in seen:
            yield FieldError(pointer=pointer, code="header_twice", detail="Give a header once.")
        seen.add(name.lower())


def _tracking(given: EmailIn) -> Tracking:
    if given.tracking is None:
        return NO_TRACKING
    return Tracking(opens=given.tracking.opens, clicks=given.tracking.clicks)


def _envelope(given: EmailIn) -> Envelope:
    if not (given.cc or given.bcc or given.reply_to or given.headers):
        return NO_ENVELOPE
    return Envelope(
        cc=tuple(_pair(mailbox) for mailbox in given.cc),
        bcc=tuple(_pair(mailbox) for mailbox in given.bcc),
        reply_to=None if given.reply_to is None else _pair(given.reply_to),
        headers=tuple(given.headers.items()),
    )


def _pair(mailbox: MailboxIn) -> tuple[str, str]:
    return (mailbox.email, mailbox.name)


async def refusals(
    services: IntakeServices,
    caller: Caller,
    requests: Sequence[CommunicationRequest],
    *,
    now: datetime,
    takes_room: bool = True,
) -> list[CdpError | None]:
    """Why each of a client's requests can't be taken in as things are now.

    Those without a refusal count as backlog from here on, unless that is not asked for.
    """
    client_id = caller.client.id
    named = [(client_id, r.template) for r in requests if r.template is not None]
    unknown = await services.config.unknown_templates(named)
    campaigns = await campaigns_of(services, requests)
    keys = [assignment_key(request) for request in requests]
    unassigned = await services.config.unassigned(key for key in keys if key is not None)
    nameless = await _without_sender(services, requests)
    misfits = await template_refusals(services.config, requests, keys)
    return [
        _refusal(
            request,
            caller,
            now=now,
            unknown=unknown,
            is_unassigned=key in unassigned,
            has_sender=_scope_of(request) not in nameless,
        )
        or closed_to(request, campaigns)
        or misfit
        or (_no_room(services, caller, request) if takes_room else None)
        for request, key, misfit in zip(requests, keys, misfits, strict=True)
    ]


async def _without_sender(
    services: IntakeServices, requests: Sequence[CommunicationRequest]
) -> set[Scope]:
    """The scopes, of those whose channel needs a sender, that have none."""
    needing = {_scope_of(r): r.client_id for r in requests if CHANNELS[r.channel].needs_sender}
    keys = {
        scope: (client_id, ConfigScope(channel=scope[0], campaign=scope[1], segment=scope[2]))
        for scope, client_id in needing.items()
    }
    found = await services.config.senders(keys.values()) if keys else {}
    lacking = {scope: key for scope, key in keys.items() if key not in found}
    if lacking:
        found = await services.config.senders_now(lacking.values())
    return {scope for scope, key in lacking.items() if key not in found}


def _scope_of(request: CommunicationRequest) -> Scope:
    return (request.channel, request.campaign, request.segment)


def require_live(caller: Caller) -> None:
    """Refuse what would send, or let others send, under a test key.

    Raises:
        Forbidden: it is one.
    """
    if not caller.live:
        raise Forbidden(TEST_KEY)


def _refusal(
    request: CommunicationRequest,
    caller: Caller,
    *,
    now: datetime,
    unknown: Set[tuple[ClientId, str]],
    is_unassigned: bool,
    has_sender: bool,
) -> CdpError | None:
    if not caller.live:
        return Forbidden(TEST_KEY)
    if request.expires_at is not None and request.expires_at <= now:
        return Invalid.at("/expires_at", "past", "This time has passed.")
    if (request.client_id, request.template) in unknown:
        return Invalid.at("/template", "unknown", f"There is no template named {request.template}.")
    if is_unassigned:
        where = "" if request.campaign is None else f" in the campaign {request.campaign}"
        detail = f"No template is assigned to the segment {request.segment}{where}."
        return Invalid.at("/segment", "unassigned", detail)
    if not has_sender:
        return Conflict(f"No sender is set for this client on the channel {request.channel}.")
    return None


def _no_room(
    services: IntakeServices, caller: Caller, request: CommunicationRequest
) -> CdpError | None:
    try:
        services.backlog.admit(caller.client, len(request.recipients), request.priority)
    except CdpError as error:
        return error
    return None
