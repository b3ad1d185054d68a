-- The same records and events as the platform keeps, as a team at home in PostgreSQL would lay
-- them out. Keys are UUIDs of version 7, so that inserts stay at the right edge of each index.
-- Foreign keys are left out: the platform has none either, and they cost a lookup per row.

CREATE TABLE clients (
    id           text PRIMARY KEY,
    api_key_hash bytea NOT NULL UNIQUE
);

CREATE TABLE templates (
    client_id text NOT NULL,
    name      text NOT NULL,
    version   integer NOT NULL,
    subject   text NOT NULL,
    html      text NOT NULL,
    body_text text NOT NULL,
    PRIMARY KEY (client_id, name, version)
);

CREATE TABLE communication_requests (
    id               uuid PRIMARY KEY,
    client_id        text NOT NULL,
    batch_id         uuid,
    channel          text NOT NULL,
    template_name    text NOT NULL,
    template_version integer NOT NULL,
    campaign         text,
    segment          text,
    priority         text NOT NULL,
    reference        text,
    idempotency_key  text,
    tags             jsonb NOT NULL,
    metadata         jsonb NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX ON communication_requests (client_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX ON communication_requests (batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX ON communication_requests (client_id, campaign, created_at);

CREATE TABLE recipients (
    id           uuid PRIMARY KEY,
    request_id   uuid NOT NULL,
    address      text NOT NULL,
    name         text,
    recipient_id text,
    locale       text,
    timezone     text,
    data         jsonb NOT NULL
);
CREATE INDEX ON recipients (request_id);

-- One for each recipient, under the recipient's id.
CREATE TABLE communications (
    id         uuid PRIMARY KEY,
    request_id uuid NOT NULL,
    sender     text NOT NULL,
    message_id text NOT NULL,
    subject    text NOT NULL,
    html       text NOT NULL,
    body_text  text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON communications (request_id);

-- One row for each event. The attempt is part of the key: no event can be there twice.
CREATE TABLE communication_logs (
    communication_id uuid NOT NULL,
    attempt          smallint NOT NULL,
    event            text NOT NULL,
    at               timestamptz NOT NULL DEFAULT clock_timestamp(),
    metadata         jsonb,
    PRIMARY KEY (communication_id, attempt, event)
);

-- The only table that is updated: room is left on each page and no column that changes is indexed,
-- so every update is heap-only and touches no index.
CREATE TABLE delivery_results (
    id         uuid PRIMARY KEY,
    request_id uuid NOT NULL,
    client_id  text NOT NULL,
    status     text NOT NULL,
    attempt    smallint NOT NULL DEFAULT 0,
    answer     text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE INDEX ON delivery_results (request_id);
-- For the sweep that finds what was committed but never reached the queue. Not partial by status:
-- then no update would be heap-only, and the planner would walk it to find one row by its id.
CREATE INDEX ON delivery_results (created_at);
