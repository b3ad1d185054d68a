"""Makes the message that a provider sends out of the content that was resolved.

It is the same in every attempt: what differs is not sent (rule D7).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from cdp.domain.communication import Communication
from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import ResultId, text_of
from cdp.domain.lane import Priority
from cdp.ports.provider import (
    EmailAddress,
    EmailMessage,
    InAppMessage,
    Message,
    PushMessage,
    PushPlatform,
    SmsMessage,
    WebhookMessage,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composer:
    """Composes messages of every channel."""

    message_id_domain: str
    """What stands behind the @ of a Message-ID."""
    return_path: Callable[[ResultId], str] | None = None
    """Where bounces of a result go; None is to the sender."""

    def __call__(self, item: WorkItem, communication: Communication, deadline_s: float) -> Message:
        """The message; its send must begin within so many seconds."""
        return _COMPOSE[communication.channel](self, item, communication, deadline_s)

    def _email(
        self, item: WorkItem, communication: Communication, deadline_s: float
    ) -> EmailMessage:
        sender = _address(communication.sender)
        path = self.return_path(item.result_id) if self.return_path else sender.email
        content = communication.content
        return EmailMessage(
            result_id=item.result_id,
            attempt=item.attempt,
            deadline_s=deadline_s,
            sender=sender,
            to=_address(communication.to),
            subject=content.get("subject", ""),
            html=content.get("html"),
            text=content.get("text"),
            date=communication.resolved_at,
            message_id=f"{text_of(communication.result_id)}@{self.message_id_domain}",
            return_path=path,
            reply_to=_address(communication.reply_to) if communication.reply_to else None,
            dkim_domain=communication.dkim_domain,
            cc=tuple(_address(pair) for pair in communication.cc),
            bcc=tuple(_address(pair) for pair in communication.bcc),
            headers=communication.headers,
        )

    def _sms(self, item: WorkItem, communication: Communication, deadline_s: float) -> SmsMessage:
        return SmsMessage(
            result_id=item.result_id,
            attempt=item.attempt,
            deadline_s=deadline_s,
            sender=communication.sender[0],
            to=communication.to[0],
            text=communication.content["text"],
        )

    def _push(self, item: WorkItem, communication: Communication, deadline_s: float) -> PushMessage:
        content, details = communication.content, communication.to_details
        return PushMessage(
            result_id=item.result_id,
            attempt=item.attempt,
            deadline_s=deadline_s,
            platform=PushPlatform(details["platform"]),
            token=communication.to[0],
            p256dh=details.get("p256dh", ""),
            auth=details.get("auth", ""),
            title=content.get("title", ""),
            body=content.get("body", ""),
            data=orjson.loads(content["data"]) if "data" in content else {},
            collapse_key=content.get("collapse_key"),
            ttl_s=int(content["ttl_s"]) if "ttl_s" in content else None,
            is_urgent=item.priority is Priority.HIGH,
        )

    def _in_app(
        self, item: WorkItem, communication: Communication, deadline_s: float
    ) -> InAppMessage:
        content = communication.content
        return InAppMessage(
            result_id=item.result_id,
            attempt=item.attempt,
            deadline_s=deadline_s,
            client_id=communication.client_id,
            user=communication.to[0],
            title=content.get("title", ""),
            body=content.get("body", ""),
            action_url=content.get("action_url"),
            action_label=content.get("action_label"),
            data=orjson.loads(content["data"]) if "data" in content else {},
            expires_at=item.expires_at,
        )

    def _webhook(
        self, item: WorkItem, communication: Communication, deadline_s: float
    ) -> WebhookMessage:
        return WebhookMessage(
            result_id=item.result_id,
            attempt=item.attempt,
            deadline_s=deadline_s,
            url=communication.to[0],
            body=communication.content["payload"].encode(),
            date=communication.resolved_at,
        )


_COMPOSE: Final[Mapping[str, Callable[[Composer, WorkItem, Communication, float], Message]]] = {
    "email": Composer._email,
    "sms": Composer._sms,
    "push": Composer._push,
    "in_app": Composer._in_app,
    "webhook": Composer._webhook,
}


def _address(pair: tuple[str, str]) -> EmailAddress:
    return EmailAddress(email=pair[0], name=pair[1])
