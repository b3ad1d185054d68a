"""Between the domain's dataclasses and MongoDB's documents, in this one place.

What is absent is left out: a document holds no nulls, and partial indexes go by existence.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cdp.domain.communication import Communication
from cdp.domain.communication_request import (
    NO_ENVELOPE,
    NO_TRACKING,
    CommunicationRequest,
    Envelope,
    Recipient,
    Tracking,
)
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import Status
from cdp.domain.failure import ErrorClass, Failure, given_up
from cdp.domain.lane import Priority
from cdp.storage.database import Document

Pair = tuple[str, str]


def present(**fields: Any) -> Document:
    """The fields that have something in them."""
    return {
        name: value
        for name, value in fields.items()
        if value or (value is not None and value not in _NOTHING)
    }


_NOTHING: Final[tuple[Any, ...]] = ({}, ())


def request_document(request: CommunicationRequest) -> Document:
    """For `communication_requests`."""
    # Made for every request, as are recipients and results: this takes half of what `present` does.
    said = (
        ("template", request.template),
        ("content", request.content),
        ("campaign", request.campaign),
        ("segment", request.segment),
        ("topic", request.topic),
        ("data", request.data),
        ("send_at", request.send_at),
        ("expires_at", request.expires_at),
        ("reference", request.reference),
        ("metadata", request.metadata),
        ("tracking", _tracking_document(request.tracking)),
        ("envelope", _envelope_document(request.envelope)),
        ("batch_id", request.batch_id),
        ("idempotency_key", request.idempotency_key),
        ("body_hash", request.body_hash),
    )
    return {
        "_id": request.id,
        "client_id": request.client_id,
        "channel": request.channel,
        "recipients": len(request.recipients),
        "priority": int(request.priority),
        "source": request.source,
        "created_at": request.requested_at,
    } | {name: value for name, value in said if value}


def _tracking_document(tracking: Tracking) -> Document:
    if tracking is NO_TRACKING:
        return {}
    return present(opens=tracking.opens, clicks=tracking.clicks)


def _envelope_document(envelope: Envelope) -> Document:
    if envelope is NO_ENVELOPE:
        return {}
    return present(
        cc=envelope.cc,
        bcc=envelope.bcc,
        reply_to=envelope.reply_to,
        headers=envelope.headers,
    )


def request_of(document: Document, recipients: Sequence[Recipient] = ()) -> CommunicationRequest:
    """From `communication_requests`, with those recipients that were read beside it."""
    tracking: Document = document.get("tracking", {})
    return CommunicationRequest(
        id=document["_id"],
        client_id=document["client_id"],
        channel=document["channel"],
        recipients=tuple(recipients),
        template=document.get("template"),
        content=document.get("content"),
        campaign=document.get("campaign"),
        segment=document.get("segment"),
        topic=document.get("topic"),
        data=document.get("data", {}),
        priority=Priority(document["priority"]),
        send_at=document.get("send_at"),
        expires_at=document.get("expires_at"),
        reference=document.get("reference"),
        metadata=document.get("metadata", {}),
        tracking=Tracking(opens=tracking.get("opens"), clicks=tracking.get("clicks")),
        envelope=_envelope(document.get("envelope", {})),
        source=document["source"],
        batch_id=document.get("batch_id"),
        idempotency_key=document.get("idempotency_key"),
        body_hash=document.get("body_hash"),
        requested_at=document["created_at"],
    )


def _envelope(document: Document) -> Envelope:
    return Envelope(
        cc=_pairs(document, "cc"),
        bcc=_pairs(document, "bcc"),
        reply_to=_pair(document.get("reply_to")),
        headers=_pairs(document, "headers"),
    )


def _pair(value: Sequence[str] | None) -> Pair | None:
    return (value[0], value[1]) if value else None


def _pairs(document: Document, name: str) -> tuple[Pair, ...]:
    return tuple((first, second) for first, second in document.get(name, ()))


def recipient_documents(request: CommunicationRequest) -> list[Document]:
    """For `recipients`."""
    return [_recipient_document(request, recipient) for recipient in request.recipients]


def _recipient_document(request: CommunicationRequest, recipient: Recipient) -> Document:
    said = (
        ("details", recipient.details),
        ("name", recipient.name),
        ("locale", recipient.locale),
        ("timezone", recipient.timezone),
        ("data", recipient.data),
    )
    return {
        "_id": recipient.result_id,
        "request_id": request.id,
        "client_id": request.client_id,
        "type": request.channel,
        "identifier": recipient.identifier,
        "created_at": request.requested_at,
    } | {name: value for name, value in said if value}


def recipient_of(document: Document) -> Recipient:
    """From `recipients`."""
    return Recipient(
        result_id=document["_id"],
        identifier=document["identifier"],
        details=document.get("details", {}),
        name=document.get("name", ""),
        locale=document.get("locale"),
        timezone=document.get("timezone"),
        data=document.get("data", {}),
    )


def communication_document(communication: Communication) -> Document:
    """For `communications`."""
    return present(
        _id=communication.result_id,
        request_id=communication.request_id,
        client_id=communication.client_id,
        channel=communication.channel,
        sender=communication.sender,
        to=communication.to,
        to_details=communication.to_details,
        content=communication.content,
        cc=communication.cc,
        bcc=communication.bcc,
        reply_to=communication.reply_to,
        dkim_domain=communication.dkim_domain,
        headers=communication.headers,
        template=communication.template,
        template_version=communication.template_version,
        locale=communication.locale,
        topic=communication.topic,
        created_at=communication.resolved_at,
    )


def communication_of(document: Document) -> Communication:
    """From `communications`."""
    sender, to = document["sender"], document["to"]
    return Communication(
        result_id=document["_id"],
        request_id=document["request_id"],
        client_id=document["client_id"],
        channel=document["channel"],
        sender=(sender[0], sender[1]),
        to=(to[0], to[1]),
        to_details=document.get("to_details", {}),
        content=document.get("content") or _content_before_channels(document),
        cc=_pairs(document, "cc"),
        bcc=_pairs(document, "bcc"),
        reply_to=_pair(document.get("reply_to")),
        dkim_domain=document.get("dkim_domain"),
        headers=_pairs(document, "headers"),
        template=document.get("template"),
        template_version=document.get("template_version"),
        locale=document.get("locale"),
        topic=document.get("topic"),
        resolved_at=document["created_at"],
    )


def _content_before_channels(document: Document) -> Document:
    """The parts of an email that was resolved when there was no other channel."""
    return {name: document[name] for name in ("subject", "html", "text") if name in document}


def failure_of(document: Mapping[str, Any]) -> Failure | None:
    """From `delivery_results`: what went wrong last with it."""
    said = document.get("failure")
    if said is None:
        # A version that did not write it may still run beside this one.
        is_dead = document.get("status") == Status.UNDELIVERABLE
        return given_up({"reason": document.get("reason")}, None) if is_dead else None
    return Failure(
        reason=said["reason"],
        error_class=ErrorClass(said["class"]),
        code=said.get("code"),
        provider=said.get("provider"),
    )


def item_of(document: Document) -> WorkItem:
    """From `delivery_results`: what the queue needs of it."""
    return WorkItem(
        result_id=document["_id"],
        request_id=document["request_id"],
        client_id=document["client_id"],
        channel=document["channel"],
        campaign=document.get("campaign"),
        segment=document.get("segment"),
        partition=document["partition"],
        lane=document["lane"],
        priority=Priority(document["priority"]),
        status=Status(document["status"]),
        seq=document["seq"],
        attempt=document["attempt"],
        lost=document.get("lost", 0),
        has_content=document.get("has_content", False),
        due_at=document.get("due_at") or document["updated_at"],
        send_at=document.get("send_at"),
        expires_at=document.get("expires_at"),
        reason=document.get("reason"),
        provider=document.get("provider"),
        failed_by=document.get("failed_by"),
        failure=failure_of(document),
        replayed_after=document.get("replayed_after", 0),
        timezone=document.get("timezone"),
    )
