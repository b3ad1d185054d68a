"""The peer's SQL, each whole step one statement: one round trip, one durable commit.

Connections are in autocommit, so a statement with data-modifying parts (`WITH ... INSERT`) is its
own transaction: cheaper than BEGIN, four statements and COMMIT, and just as atomic. psycopg
prepares each after a few uses. Everything is in arrays, so one item and a batch are the same code;
`= ANY(ids)` beside a join by id looks doubled, but keeps the planner on the index.
"""

import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

INTAKE: Final = """
WITH new AS (
    SELECT * FROM unnest(
        %(request_ids)s::uuid[], %(templates)s::text[], %(versions)s::int[], %(channels)s::text[],
        %(campaigns)s::text[], %(segments)s::text[], %(priorities)s::text[], %(references)s::text[],
        %(tags)s::jsonb[], %(metadata)s::jsonb[]
    ) AS row(id, template, version, channel, campaign, segment, priority, reference, tags, metadata)
), people AS (
    SELECT * FROM unnest(
        %(ids)s::uuid[], %(owners)s::uuid[], %(addresses)s::text[], %(names)s::text[],
        %(recipient_ids)s::text[], %(locales)s::text[], %(timezones)s::text[], %(data)s::jsonb[]
    ) AS row(id, request_id, address, name, recipient_id, locale, timezone, data)
), requests AS (
    INSERT INTO communication_requests (id, client_id, batch_id, channel, template_name,
        template_version, campaign, segment, priority, reference, idempotency_key, tags, metadata)
    SELECT id, %(client)s, %(batch_id)s::uuid, channel, template, version, campaign, segment,
        priority, reference, %(idempotency_key)s::text, tags, metadata FROM new
), recipients AS (
    INSERT INTO recipients (id, request_id, address, name, recipient_id, locale, timezone, data)
    SELECT * FROM people
), logs AS (
    INSERT INTO communication_logs (communication_id, attempt, event)
    SELECT id, 0, 'CREATED' FROM people
)
INSERT INTO delivery_results (id, request_id, client_id, status)
SELECT id, request_id, %(client)s, 'CREATED' FROM people
"""

READ: Final = """
SELECT result.id, result.request_id, result.client_id, result.attempt, recipient.address,
    recipient.name, recipient.locale, recipient.data, request.template_name,
    request.template_version
FROM delivery_results AS result
JOIN recipients AS recipient ON recipient.id = result.id
JOIN communication_requests AS request ON request.id = result.request_id
WHERE result.id = ANY(%(ids)s::uuid[]) AND result.status IN ('CREATED', 'ATTEMPTED', 'FAILED')
"""

# The update is the gate: who finds another attempt than the one it has read gets no row back.
CLAIM: Final = """
WITH made AS (
    SELECT * FROM unnest(
        %(ids)s::uuid[], %(attempts)s::smallint[], %(senders)s::text[], %(message_ids)s::text[],
        %(subjects)s::text[], %(htmls)s::text[], %(texts)s::text[]
    ) AS row(id, attempt, sender, message_id, subject, html, body_text)
), won AS (
    UPDATE delivery_results AS result
    SET status = 'ATTEMPTED', attempt = made.attempt + 1, updated_at = now()
    FROM made
    WHERE result.id = made.id AND result.id = ANY(%(ids)s::uuid[])
        AND result.attempt = made.attempt
        AND result.status IN ('CREATED', 'ATTEMPTED', 'FAILED')
    RETURNING result.id, result.request_id, result.attempt
), contents AS (
    INSERT INTO communications (id, request_id, sender, message_id, subject, html, body_text)
    SELECT won.id, won.request_id, sender, message_id, subject, html, body_text
    FROM won JOIN made ON made.id = won.id
    ON CONFLICT (id) DO NOTHING
), logs AS (
    INSERT INTO communication_logs (communication_id, attempt, event, metadata)
    SELECT won.id, won.attempt, event, metadata::jsonb
    FROM won CROSS JOIN (VALUES
        ('CONTENT_RESOLVED', NULL), ('QUEUED', '{"queue": "email"}'), ('DELIVERY_ATTEMPTED', NULL)
    ) AS event(event, metadata)
    WHERE won.attempt = 1 OR event <> 'CONTENT_RESOLVED'
)
SELECT id, attempt FROM won
"""

OUTCOME: Final = """
WITH made AS (
    SELECT * FROM unnest(
        %(ids)s::uuid[], %(attempts)s::smallint[], %(statuses)s::text[], %(answers)s::text[]
    ) AS row(id, attempt, status, answer)
), logs AS (
    INSERT INTO communication_logs (communication_id, attempt, event, metadata)
    SELECT id, attempt, 'DELIVERY_' || status, jsonb_build_object('answer', answer) FROM made
)
UPDATE delivery_results AS result
SET status = made.status, answer = made.answer, updated_at = now()
FROM made WHERE result.id = made.id AND result.id = ANY(%(ids)s::uuid[])
"""

TEMPLATE: Final = """
SELECT subject, html, body_text FROM templates
WHERE client_id = %(client)s AND name = %(name)s AND version = %(version)s
"""

CLIENT_OF_KEY: Final = "SELECT id FROM clients WHERE api_key_hash = %(hash)s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one attempt."""

    id: uuid.UUID
    attempt: int
    status: str
    answer: str


def uuid7() -> uuid.UUID:
    """A UUID of version 7: milliseconds, then randomness. Python 3.11 has none of its own."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def record_outcomes(connection: Any, outcomes: Sequence[Outcome]) -> None:
    """Write the events and the results of these attempts, durably."""
    connection.execute(
        OUTCOME,
        {
            "ids": [each.id for each in outcomes],
            "attempts": [each.attempt for each in outcomes],
            "statuses": [each.status for each in outcomes],
            "answers": [each.answer for each in outcomes],
        },
    )
