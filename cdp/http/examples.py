"""Examples for the documentation. Each is a request that is accepted as it stands."""

import json
from typing import Any, Final

COMMUNICATIONS: Final[dict[str, Any]] = {
    "content": {
        "channel": "email",
        "to": [{"email": "ada@example.org", "name": "Ada Lovelace"}],
        "content": {
            "subject": "Your new password",
            "text": "Follow this link: https://example.com/reset",
        },
        "priority": "high",
        "reference": "reset-4711",
    },
    "template": {
        "channel": "email",
        "to": [
            {"email": "ada@example.org", "locale": "en", "data": {"name": "Ada"}},
            {"email": "emmy@example.org", "locale": "de", "data": {"name": "Emmy"}},
        ],
        "template": "welcome",
        "campaign": "spring",
        "data": {"shop": "Example"},
        "send_at": "2030-03-01T09:00:00+01:00",
        "metadata": {"order": "12345"},
        "tracking": {"opens": True, "clicks": False},
    },
    "sms": {
        "channel": "sms",
        "to": [{"phone": "+4915112345678"}],
        "content": {"text": "Your code is 4711."},
    },
    "push": {
        "channel": "push",
        "to": [{"device_token": "d" * 64, "platform": "fcm"}],
        "content": {"title": "Your order", "body": "It is on its way.", "data": {"order": "7"}},
    },
    "in_app": {
        "channel": "in_app",
        "to": [{"user": "user-4711"}],
        "content": {"title": "Welcome", "body": "Look around.", "action_url": "/tour"},
    },
    "webhook": {
        "channel": "webhook",
        "to": [{"url": "https://hooks.example.com/orders"}],
        "content": {"payload": {"order": 7, "state": "sent"}},
    },
}
BATCH: Final[list[Any]] = [
    {
        "channel": "email",
        "to": [{"email": f"{name}@example.org"}],
        "content": {"subject": "Hello", "text": f"Hello {name}"},
    }
    for name in ("ada", "emmy")
]
BATCH_LINES: Final = "\n".join(json.dumps(item) for item in BATCH)
CHANGE: Final[dict[str, Any]] = {"send_at": "2030-03-02T09:00:00+01:00", "priority": "high"}
TEMPLATES: Final[dict[str, Any]] = {
    "email": {
        "email": {
            "subject": "Welcome, {{ name }}",
            "html": "<p>Welcome to {{ shop }}, {{ name }}.</p>",
            "text": "Welcome to {{ shop }}, {{ name }}.",
        }
    },
    "channels and languages": {
        "email": {"subject": "Your order", "text": "Order {{ order }} is on its way."},
        "sms": {"text": "Order {{ order }} is on its way."},
        "push": {"title": "Your order", "body": "It is on its way."},
        "in_app": {"title": "Your order", "body": "It is on its way.", "action_url": "/orders"},
        "webhook": {"payload": '{"order": {{ order | tojson }}, "state": "sent"}'},
        "locales": {"de": {"sms": {"text": "Bestellung {{ order }} ist unterwegs."}}},
    },
}
PUBLISH: Final[dict[str, Any]] = {"version": 1}
RENDER: Final[dict[str, Any]] = {
    "data": {"shop": "Example", "name": "Ada"},
    "recipient": {"email": "ada@example.org"},
}
SEGMENT: Final[dict[str, Any]] = {"description": "Customers since the first year"}
ASSIGNMENTS: Final[dict[str, Any]] = {
    "campaign": {"channel": "email", "campaign": "spring", "template": "welcome"},
    "all": {"channel": "email", "template": "welcome"},
}
DELIVERY_CONFIGS: Final[dict[str, Any]] = {
    "all": {"attempts_max": 8, "backoff_initial_s": 30},
    "campaign": {
        "channel": "email",
        "campaign": "spring",
        "segment": "vip",
        "attempts_max": 20,
        "retry_on": ["transient", "throttled", "config", "mailbox_full", "policy"],
    },
}
DELIVERY_FIELDS: Final[dict[str, Any]] = {"attempts_max": 30, "backoff_cap_s": 43_200}
PROVIDERS: Final[dict[str, Any]] = {
    "twilio": {
        "name": "twilio",
        "kind": "sms.twilio",
        "settings": {
            "account_sid": "AC00000000000000000000000000000000",
            "auth_token": "your token",
            "from_number": "+15005550006",
        },
    },
    "smtp": {
        "name": "mail",
        "kind": "email.smtp",
        "settings": {"host": "smtp.example.com", "username": "shop", "password": "your password"},
    },
}
PROVIDER_CHANGE: Final[dict[str, Any]] = {
    "settings": {
        "account_sid": "AC00000000000000000000000000000000",
        "auth_token": "your new token",
    },
    "enabled": True,
}
INBOX_TOKEN: Final[dict[str, Any]] = {"user": "user-4711", "life_s": 3_600}
INBOX_MARK: Final[dict[str, Any]] = {
    "ids": ["01900000-0000-7000-8000-000000000000"],
    "mark": "read",
}
INBOX_MARK_ALL: Final[dict[str, Any]] = {
    "up_to": "01900000-0000-7000-8000-000000000000",
    "mark": "read",
}
ENGAGEMENT: Final[dict[str, Any]] = {
    "events": [
        {
            "id": "01900000-0000-7000-8000-000000000000",
            "event": "clicked",
            "url": "https://shop.example/orders/7",
        }
    ]
}
SUPPRESSIONS: Final[dict[str, Any]] = {
    "entries": [
        {"channel": "email", "recipient": "ada@example.org", "reason": "complaint"},
        {"channel": "sms", "recipient": "+4915112345678", "topic": "offers"},
    ]
}
SENDERS: Final[dict[str, Any]] = {
    "email": {
        "channel": "email",
        "email": "news@example.com",
        "display_name": "Example News",
        "reply_to": "hello@example.com",
        "dkim_domain": "example.com",
        "is_default": True,
    },
    "sms": {"channel": "sms", "originator": "EXAMPLE"},
}
SFTP_ACCOUNTS: Final[dict[str, Any]] = {
    "partner": {
        "keys": [
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
        ],
        "template": "welcome",
        "campaign": "spring",
    },
}
REPLAYS: Final[dict[str, Any]] = {
    "filter": {
        "filter": {"class": "config", "campaign": "spring", "failed_to": "2030-03-01T10:00:00Z"},
        "limit": 500,
    },
    "ids": {"ids": ["01900000-0000-7000-8000-000000000000"]},
}
SUPPRESSIONS_CSV: Final = """channel,recipient,topic,reason
email,ada@example.org,,complaint
sms,+4915112345678,offers,
"""
SUPPRESSIONS_NDJSON: Final = """{"channel": "email", "recipient": "ada@example.org"}
{"channel": "sms", "recipient": "+4915112345678", "topic": "offers"}
"""
EXPLAIN: Final[dict[str, Any]] = {"channel": "email", "campaign": "spring", "segment": "vip"}
