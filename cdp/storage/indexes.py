"""Every index, each with the query that it serves."""

from typing import Any, Final

from pymongo import ASCENDING, IndexModel

DEAD_LETTERS: Final = "dead_letters"
INBOX_KEPT_S: Final = 7 * 24 * 3600
"""For how long an entry is kept that is over. Longer than an attempt may be repeated, so that none
puts it anew."""
BUDGETS_KEPT_S: Final = 3600
DIGESTS_KEPT_S: Final = 2 * 24 * 3600
REFERENCES_KEPT_S: Final = 30 * 24 * 3600
"""Longer than anybody works on a file."""

_UNFINISHED: Final[dict[str, Any]] = {"due_at": {"$exists": True}}

INDEXES: Final[dict[str, list[IndexModel]]] = {
    "communication_requests": [
        # Who was first with an idempotency key.
        IndexModel(
            [("client_id", ASCENDING), ("idempotency_key", ASCENDING)],
            name="idempotency",
            unique=True,
            partialFilterExpression={"idempotency_key": {"$exists": True}},
        ),
    ],
    "delivery_results": [
        # A shard's pull: one client's due items of its partitions, and who has any.
        IndexModel(
            [
                ("partition", ASCENDING),
                ("lane", ASCENDING),
                ("priority", ASCENDING),
                ("client_id", ASCENDING),
                ("due_at", ASCENDING),
            ],
            name="work",
            partialFilterExpression=_UNFINISHED,
        ),
        # The Scheduler's look ahead.
        IndexModel(
            [("due_at", ASCENDING)],
            name="schedule",
            partialFilterExpression={"status": "scheduled"},
        ),
        # GET /v1/communications, the newest first, by state or not.
        IndexModel([("client_id", ASCENDING), ("_id", ASCENDING)], name="client"),
        # The same by the caller's own reference.
        IndexModel(
            [("client_id", ASCENDING), ("reference", ASCENDING), ("_id", ASCENDING)],
            name="reference",
            partialFilterExpression={"reference": {"$exists": True}},
        ),
        # GET /v1/batches/{id} and its results.
        IndexModel(
            [("client_id", ASCENDING), ("batch_id", ASCENDING), ("_id", ASCENDING)],
            name="batch",
            partialFilterExpression={"batch_id": {"$exists": True}},
        ),
        # Those to a recipient who is suppressed under another spelling.
        IndexModel(
            [("client_id", ASCENDING), ("suppressed_as", ASCENDING), ("_id", ASCENDING)],
            name="suppressed_as",
            partialFilterExpression={"suppressed_as": {"$exists": True}},
        ),
        # Communications by their recipient: search, and suppression.
        IndexModel(
            [("client_id", ASCENDING), ("recipient", ASCENDING), ("_id", ASCENDING)],
            name="recipient",
        ),
        # GET /v1/dead-letters, its summary, and the replay by filter: the newest failure first.
        # The other fields are in it so that a filter reads no document that does not fit, and a
        # count none at all.
        IndexModel(
            [
                ("client_id", ASCENDING),
                ("status", ASCENDING),
                ("updated_at", ASCENDING),
                ("_id", ASCENDING),
                ("failure.class", ASCENDING),
                ("failure.reason", ASCENDING),
                ("failure.provider", ASCENDING),
                ("campaign", ASCENDING),
                ("channel", ASCENDING),
            ],
            name=DEAD_LETTERS,
            partialFilterExpression={"status": "undeliverable"},
        ),
        # A campaign's books and whether anything of it is open; what is held of it, and what is to
        # be cancelled, in a shard's partitions.
        IndexModel(
            [
                ("client_id", ASCENDING),
                ("campaign", ASCENDING),
                ("status", ASCENDING),
                ("reason", ASCENDING),
                ("partition", ASCENDING),
            ],
            name="campaign",
            partialFilterExpression={"campaign": {"$exists": True}},
        ),
    ],
    "batches": [
        IndexModel(
            [("client_id", ASCENDING), ("idempotency_key", ASCENDING)],
            name="idempotency",
            unique=True,
            partialFilterExpression={"idempotency_key": {"$exists": True}},
        ),
    ],
    "clients": [IndexModel([("name", ASCENDING)], name="name", unique=True)],
    "api_keys": [IndexModel([("client_id", ASCENDING)], name="client")],
    "senders": [
        IndexModel([("client_id", ASCENDING), ("name", ASCENDING)], name="name", unique=True),
        # One default for each channel of a client.
        IndexModel(
            [("client_id", ASCENDING), ("channel", ASCENDING)],
            name="default",
            unique=True,
            partialFilterExpression={"is_default": True},
        ),
    ],
    "sftp_accounts": [
        # Who logs in.
        IndexModel([("name", ASCENDING)], name="name", unique=True),
        # GET /v1/sftp-accounts.
        IndexModel([("client_id", ASCENDING), ("name", ASCENDING)], name="client"),
    ],
    "templates": [
        IndexModel([("client_id", ASCENDING), ("name", ASCENDING)], name="name", unique=True)
    ],
    "template_versions": [
        IndexModel(
            [("client_id", ASCENDING), ("name", ASCENDING), ("version", ASCENDING)],
            name="version",
            unique=True,
        )
    ],
    "segments": [
        IndexModel([("client_id", ASCENDING), ("name", ASCENDING)], name="name", unique=True)
    ],
    "segment_assignments": [
        # The seed's rule: one template for a segment, by client, channel and campaign.
        IndexModel(
            [
                ("client_id", ASCENDING),
                ("segment", ASCENDING),
                ("channel", ASCENDING),
                ("campaign", ASCENDING),
            ],
            name="segment",
            unique=True,
        ),
        # Who uses a template.
        IndexModel([("client_id", ASCENDING), ("template", ASCENDING)], name="template"),
        # The permutations of a campaign.
        IndexModel(
            [
                ("client_id", ASCENDING),
                ("campaign", ASCENDING),
                ("segment", ASCENDING),
                ("channel", ASCENDING),
            ],
            name="campaign",
        ),
    ],
    "campaigns": [
        IndexModel([("client_id", ASCENDING), ("name", ASCENDING)], name="name", unique=True),
        # Who wins the number of a change, and what has changed since one.
        IndexModel([("epoch", ASCENDING)], name="epoch", unique=True),
        # What a process that starts has to know.
        IndexModel([("is_settled", ASCENDING), ("epoch", ASCENDING)], name="settled"),
    ],
    "delivery_configs": [
        # What is not named is null here, so that each scope is there once.
        IndexModel(
            [
                ("client_id", ASCENDING),
                ("channel", ASCENDING),
                ("campaign", ASCENDING),
                ("segment", ASCENDING),
            ],
            name="level",
            unique=True,
        ),
        IndexModel([("client_id", ASCENDING), ("_id", ASCENDING)], name="client"),
    ],
    "inbox": [
        # A user's entries, those that are archived or those that are not, by their arrival. The
        # last field lets those that are over be passed by without being read.
        IndexModel(
            [
                ("client_id", ASCENDING),
                ("user", ASCENDING),
                ("archived", ASCENDING),
                ("created_at", ASCENDING),
                ("_id", ASCENDING),
                ("visible_until", ASCENDING),
            ],
            name="arrival",
        ),
        # The unread ones, which are neither read nor archived, and how many they are.
        IndexModel(
            [
                ("client_id", ASCENDING),
                ("user", ASCENDING),
                ("unread", ASCENDING),
                ("created_at", ASCENDING),
                ("_id", ASCENDING),
                ("visible_until", ASCENDING),
            ],
            name="unread",
            partialFilterExpression={"unread": True},
        ),
        # What is over goes (D14: an entry is put when its message is sent, so none is unfinished).
        IndexModel(
            [("expires_at", ASCENDING)],
            name="expiry",
            expireAfterSeconds=INBOX_KEPT_S,
            partialFilterExpression={"expires_at": {"$exists": True}},
        ),
    ],
    "suppressions": [
        IndexModel([("client_id", ASCENDING), ("_id", ASCENDING)], name="client"),
        IndexModel(
            [("client_id", ASCENDING), ("recipient", ASCENDING), ("_id", ASCENDING)],
            name="recipient",
        ),
    ],
    "providers": [
        IndexModel([("client_id", ASCENDING), ("name", ASCENDING)], name="name", unique=True)
    ],
    "files": [
        # GET /v1/files, the newest first.
        IndexModel([("client_id", ASCENDING), ("_id", ASCENDING)], name="client"),
        # The same of one source; what an account of SFTP sees.
        IndexModel(
            [("client_id", ASCENDING), ("source", ASCENDING), ("_id", ASCENDING)], name="source"
        ),
        # Whose turn it is: by client, then by the last turn; who is held or rests is passed over.
        IndexModel(
            [("client_id", ASCENDING), ("turned_at", ASCENDING), ("lease_until", ASCENDING)],
            name="turn",
            partialFilterExpression={"state": {"$in": ["waiting", "checking", "ingesting"]}},
        ),
        # Those that ended early, whose batches are to be closed.
        IndexModel(
            [("lease_until", ASCENDING)],
            name="batch_open",
            partialFilterExpression={"batch_open": True},
        ),
        # How many somebody should work on.
        IndexModel(
            [("lease_until", ASCENDING)],
            name="waiting",
            partialFilterExpression={"state": {"$in": ["waiting", "checking", "ingesting"]}},
        ),
        # Those that somebody should take in, the longest waiting first.
        IndexModel(
            [("lease_until", ASCENDING), ("_id", ASCENDING)],
            name="receiving",
            partialFilterExpression={"state": "receiving"},
        ),
        # Those that never came, the earliest first.
        IndexModel(
            [("incoming.until", ASCENDING)],
            name="overdue",
            partialFilterExpression={"state": "awaited"},
        ),
        # How many a client has announced that have not come.
        IndexModel(
            [("client_id", ASCENDING)],
            name="awaited",
            partialFilterExpression={"state": "awaited"},
        ),
        # An object that somebody has put into the bucket is one file, however often it is told of.
        IndexModel(
            [
                ("client_id", ASCENDING),
                ("incoming.key", ASCENDING),
                ("incoming.version", ASCENDING),
            ],
            name="object",
            unique=True,
            partialFilterExpression={"incoming.version": {"$exists": True}},
        ),
    ],
    "file_digests": [
        # The same bytes are looked for a day long.
        IndexModel([("at", ASCENDING)], name="expiry", expireAfterSeconds=DIGESTS_KEPT_S)
    ],
    "row_references": [
        # Nobody asks for those of a file that is long over.
        IndexModel([("at", ASCENDING)], name="expiry", expireAfterSeconds=REFERENCES_KEPT_S)
    ],
    "budgets": [
        # A budget that nobody spends of is full again, as one that is not there.
        IndexModel([("spent_to", ASCENDING)], name="expiry", expireAfterSeconds=BUDGETS_KEPT_S)
    ],
}
