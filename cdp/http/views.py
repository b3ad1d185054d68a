"""What callers get to see, as plain values for JSON, and the schemas of it for OpenAPI."""

from collections.abc import Mapping, Sequence
from typing import Any

from cdp.channels.table import CHANNELS
from cdp.domain.communication import Communication
from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.delivery_config import ALL, FIELDS, ConfigLevel
from cdp.domain.event import Event
from cdp.domain.failure import Failure
from cdp.domain.failure_report import FailureReport
from cdp.domain.ids import number_of, result_of, text_of
from cdp.domain.segment import Assignment
from cdp.domain.sender import Sender
from cdp.services.communication_reading import BatchView, Books, RequestView, ResultView
from cdp.services.delivery_config_service import ExplainedField
from cdp.services.provider_roster import INSTALLED, Account
from cdp.services.segment_service import SegmentView


def accepted_view(request: CommunicationRequest) -> dict[str, Any]:
    """The answer to a request that is durable. A repeat gives the very same bytes."""
    return {
        "id": text_of(request.id),
        "status": "accepted",
        "recipients": [
            {"id": text_of(recipient.result_id), "to": recipient.identifier}
            for recipient in request.recipients
        ],
        "created_at": request.requested_at,
    }


def books_view(books: Books) -> dict[str, Any]:
    """`accepted` is the sum of what follows it; `pending` the sum of `pending_by`."""
    return {
        "accepted": books.accepted,
        **books.by_state,
        "pending": books.pending,
        "pending_by": dict(books.pending_by),
    }


def recipient_view(result: ResultView) -> dict[str, Any]:
    """One recipient's state."""
    return {
        "id": text_of(result.id),
        "to": result.to,
        "status": result.status.value,
        "reason": result.reason,
        "failure": failure_view(result.failure),
        "attempts": result.attempts,
        "priority": result.priority.word,
        "send_at": result.send_at,
        "expires_at": result.expires_at,
        "updated_at": result.updated_at,
        "delivered_at": result.delivered_at,
        "opened_at": result.opened_at,
        "read_at": result.read_at,
        "clicked_at": result.clicked_at,
        "machine_opened_at": result.machine_opened_at,
        "machine_clicked_at": result.machine_clicked_at,
    }


def failure_view(failure: Failure | None) -> dict[str, Any] | None:
    """What went wrong last, if anything has."""
    if failure is None:
        return None
    return {
        "class": failure.error_class.value,
        "reason": failure.reason,
        "code": failure.code,
        "provider": failure.provider,
    }


def failure_report_view(report: FailureReport | None) -> dict[str, Any] | None:
    """The same with the provider's words, for those who look into it."""
    if report is None:
        return None
    return {**(failure_view(report.failure) or {}), "detail": report.detail}


def result_view(result: ResultView) -> dict[str, Any]:
    """The same as an entry of a list, with what it belongs to."""
    return {
        **recipient_view(result),
        "communication_id": text_of(result.request_id),
        "channel": result.channel,
        "campaign": result.campaign,
        "segment": result.segment,
        "reference": result.reference,
        "batch_id": None if result.batch_id is None else text_of(result.batch_id),
        "created_at": result.created_at,
    }


def request_view(view: RequestView) -> dict[str, Any]:
    """A request with all recipients."""
    request = view.request
    return {
        "id": text_of(request.id),
        "status": view.status,
        "channel": request.channel,
        "template": request.template,
        "campaign": request.campaign,
        "segment": request.segment,
        "reference": request.reference,
        "metadata": dict(request.metadata),
        "priority": view.results[0].priority.word,
        "send_at": view.results[0].send_at,
        "expires_at": view.results[0].expires_at,
        "batch_id": None if request.batch_id is None else text_of(request.batch_id),
        "created_at": request.requested_at,
        "counts": books_view(view.books),
        "recipients": [{**recipient_view(r), "name": r.name} for r in view.results],
    }


def event_view(event: Event, failure: FailureReport | None) -> dict[str, Any]:
    """One event. `number` is null for engagement and receipts, which move nothing."""
    return {
        "recipient_id": text_of(result_of(event.id)),
        "number": number_of(event.id),
        "event": event.name.value,
        "at": event.at,
        "failure": failure_report_view(failure),
        "details": {name: _plain(value) for name, value in event.metadata.items()},
    }


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def content_view(content: Communication) -> dict[str, Any]:
    """The finished content, as it is sent."""
    return {
        "recipient_id": text_of(content.result_id),
        "channel": content.channel,
        "from": sender_pair_view(content.sender),
        "to": {"address": content.to[0], "name": content.to[1]},
        "cc": [_mailbox(pair) for pair in content.cc],
        "bcc": [_mailbox(pair) for pair in content.bcc],
        "reply_to": None if content.reply_to is None else _mailbox(content.reply_to),
        "headers": dict(content.headers),
        "content": content_parts_view(content.channel, content.content),
        "template": content.template,
        "template_version": content.template_version,
        "locale": content.locale,
        "resolved_at": content.resolved_at,
    }


def content_parts_view(channel: str, parts: Mapping[str, str]) -> dict[str, str | None]:
    """All parts that content of a channel may have; null for what is not there."""
    return {name: parts.get(name) for name in CHANNELS[channel].parts}


def sender_pair_view(pair: tuple[str, str]) -> dict[str, str] | None:
    """Who it is from; null on a channel that needs nobody."""
    return {"address": pair[0], "name": pair[1]} if pair[0] else None


def _mailbox(pair: tuple[str, str]) -> dict[str, str]:
    return {"email": pair[0], "name": pair[1]}


def batch_view(view: BatchView) -> dict[str, Any]:
    """A batch with its books. Requests are counted apart from their recipients' results."""
    batch = view.batch
    return {
        "id": text_of(batch.id),
        "status": "open" if batch.accepted is None else "complete",
        "created_at": batch.created_at,
        "requests": {"accepted": batch.accepted, "rejected": batch.rejected},
        "results": batch.results,
        "counts": books_view(view.books),
    }


def segment_view(view: SegmentView) -> dict[str, Any]:
    """A segment with its assignments."""
    segment = view.segment
    return {
        "name": segment.name,
        "description": segment.description,
        "assignments": [
            {
                "channel": assignment.key.channel,
                "campaign": assignment.key.campaign,
                "template": assignment.template,
                "assigned_at": assignment.assigned_at,
            }
            for assignment in view.assignments
        ],
        "version": segment.version,
        "created_at": segment.created_at,
        "updated_at": segment.updated_at,
    }


def delivery_config_view(level: ConfigLevel) -> dict[str, Any]:
    """A level with all of its fields; those that it does not name are null."""
    return {
        "id": text_of(level.id),
        "channel": level.scope.channel,
        "campaign": level.scope.campaign,
        "segment": level.scope.segment,
        **{name: getattr(level.config, name) for name in FIELDS},
        "version": level.version,
        "created_at": level.created_at,
        "updated_at": level.updated_at,
    }


def sender_view(sender: Sender) -> dict[str, Any]:
    """A sender; what its channel has no use for is null."""
    identity = sender.identity
    return {
        "id": text_of(sender.id),
        "name": sender.name,
        "channel": sender.channel,
        "email": identity.address if sender.channel == "email" else None,
        "display_name": identity.display_name if sender.channel == "email" else None,
        "reply_to": identity.reply_to,
        "dkim_domain": identity.dkim_domain,
        "originator": identity.address if sender.channel == "sms" else None,
        "is_default": sender.is_default,
        "version": sender.version,
        "created_at": sender.created_at,
        "updated_at": sender.updated_at,
    }


def explained_view(
    fields: Sequence[ExplainedField], *, sender: Sender | None, template: Assignment | None
) -> dict[str, Any]:
    """What counts, and where each of it comes from."""
    return {
        "template": None
        if template is None
        else {
            "name": template.template,
            "segment": template.key.segment,
            "campaign": template.key.campaign,
        },
        "sender": None if sender is None else sender_view(sender),
        "delivery": [
            {"field": each.name, "value": each.value, "origin": _origin(each.level)}
            for each in fields
        ],
    }


def routed_provider_view(account: Account) -> dict[str, Any]:
    """A provider that would be tried, and who has set it up."""
    installed = account.key.startswith(INSTALLED)
    owner = "client" if account.is_clients else "installation" if installed else "platform"
    return {"name": account.name, "kind": account.kind, "owner": owner}


def _origin(level: ConfigLevel | None) -> dict[str, Any]:
    scope = ALL if level is None else level.scope
    owner = "default" if level is None else "platform" if level.client_id is None else "client"
    return {
        "level": owner,
        # The platform's can't be asked for by a client.
        "id": text_of(level.id) if level is not None and owner == "client" else None,
        "channel": scope.channel,
        "campaign": scope.campaign,
        "segment": scope.segment,
    }
