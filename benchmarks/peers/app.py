"""The peer's HTTP side: accept, commit, enqueue, 202.

Tuned: pydantic parses the raw bytes; one statement writes request, recipient, event and result,
so a POST costs one round trip and one disk flush; the pool has a connection for every thread; the
client of an API key is remembered for a minute; Celery publishes over kept connections, and a
batch through one producer. If the process dies between commit and publish, the sweep over open
results (an index in `schema.sql` is there for it) would find it; the sweep itself is not built.
"""

import hashlib
import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import orjson
from celery import Celery
from flask import Flask, Response, request
from psycopg.types.json import Jsonb, set_json_dumps  # type: ignore[import-not-found]
from psycopg_pool import ConnectionPool  # type: ignore[import-not-found]
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from benchmarks.peers import records
from benchmarks.peers.broker import TASK, make_celery
from benchmarks.peers.settings import PeerSettings

set_json_dumps(orjson.dumps)

_KEY_TTL_S: Final = 60.0
_BATCH_LIMIT: Final = 10_000
_Short = Annotated[str, Field(max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecipientIn(_Strict):
    """One person to write to."""

    address: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=320)]
    name: _Short | None = None
    recipient_id: _Short | None = None
    locale: _Short | None = None
    timezone: _Short | None = None
    data: dict[str, Any] = {}


class TemplateIn(_Strict):
    """Which stored template."""

    name: _Short
    version: int


class CommunicationIn(_Strict):
    """The body of POST /v1/communications."""

    channel: Literal["email"]
    to: Annotated[list[RecipientIn], Field(min_length=1, max_length=100)]
    template: TemplateIn
    campaign: _Short | None = None
    segment: _Short | None = None
    priority: Literal["low", "normal", "high"] = "normal"
    reference: _Short | None = None
    tags: Annotated[list[_Short], Field(max_length=20)] = []
    metadata: dict[str, Any] = {}


_ONE: Final = TypeAdapter(CommunicationIn)
_MANY: Final = TypeAdapter(
    Annotated[list[CommunicationIn], Field(min_length=1, max_length=_BATCH_LIMIT)]
)


class Intake:
    """The two routes. One instance in each gunicorn worker, shared by its threads."""

    def __init__(self, settings: PeerSettings, pool: ConnectionPool, celery: Celery) -> None:
        self._chunk = settings.chunk
        self._pool = pool
        self._celery = celery
        self._clients: dict[bytes, tuple[str, float]] = {}

    def post_one(self) -> Response:
        """POST /v1/communications."""
        client = self._client()
        if client is None:
            return _problem(401, "unauthenticated")
        try:
            item = _ONE.validate_json(request.get_data(cache=False))
        except ValidationError as refusal:
            return _problem(400, str(refusal.errors(include_url=False, include_input=False)))
        request_id = records.uuid7()
        ids = self._store(client, [item], [request_id], batch_id=None)
        self._publish(ids)
        return Response(
            b'{"id":"%b","status":"CREATED"}' % str(request_id).encode(),
            status=202,
            mimetype="application/json",
        )

    def post_batch(self) -> Response:
        """POST /v1/communications/batch: a JSON array; all or none."""
        client = self._client()
        if client is None:
            return _problem(401, "unauthenticated")
        try:
            items = _MANY.validate_json(request.get_data(cache=False))
        except ValidationError as refusal:
            return _problem(400, str(refusal.errors(include_url=False, include_input=False)))
        batch_id = records.uuid7()
        request_ids = [records.uuid7() for _ in items]
        ids = self._store(client, items, request_ids, batch_id=batch_id)
        self._publish(ids)
        listed = ",".join(f'{{"status":"accepted","id":"{each}"}}' for each in request_ids)
        body = f'{{"batch_id":"{batch_id}","items":[{listed}]}}'
        return Response(body, status=202, mimetype="application/json")

    def _client(self) -> str | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return None
        digest = hashlib.sha256(key.encode()).digest()
        known = self._clients.get(digest)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        with self._pool.connection() as connection:
            row = connection.execute(records.CLIENT_OF_KEY, {"hash": digest}).fetchone()
        if row is None:
            return None
        self._clients[digest] = (row[0], time.monotonic() + _KEY_TTL_S)
        return str(row[0])

    def _store(
        self,
        client: str,
        items: Sequence[CommunicationIn],
        request_ids: Sequence[uuid.UUID],
        *,
        batch_id: uuid.UUID | None,
    ) -> list[uuid.UUID]:
        """One durable commit for all; returns the ids of the single deliveries."""
        pairs = [
            (owner, to) for owner, item in zip(request_ids, items, strict=True) for to in item.to
        ]
        ids = [records.uuid7() for _ in pairs]
        values = {
            "client": client,
            "batch_id": batch_id,
            "idempotency_key": request.headers.get("Idempotency-Key") if not batch_id else None,
            "request_ids": list(request_ids),
            "templates": [item.template.name for item in items],
            "versions": [item.template.version for item in items],
            "channels": [item.channel for item in items],
            "campaigns": [item.campaign for item in items],
            "segments": [item.segment for item in items],
            "priorities": [item.priority for item in items],
            "references": [item.reference for item in items],
            "tags": [Jsonb(item.tags) for item in items],
            "metadata": [Jsonb(item.metadata) for item in items],
            "ids": ids,
            "owners": [owner for owner, _ in pairs],
            "addresses": [to.address for _, to in pairs],
            "names": [to.name for _, to in pairs],
            "recipient_ids": [to.recipient_id for _, to in pairs],
            "locales": [to.locale for _, to in pairs],
            "timezones": [to.timezone for _, to in pairs],
            "data": [Jsonb(to.data) for _, to in pairs],
        }
        with self._pool.connection() as connection:
            connection.execute(records.INTAKE, values)
        return ids

    def _publish(self, ids: Sequence[uuid.UUID]) -> None:
        """Enqueue after the commit; one kept connection and one producer for the whole list."""
        with self._celery.producer_pool.acquire(block=True) as producer:
            for start in range(0, len(ids), self._chunk):
                chunk = [str(each) for each in ids[start : start + self._chunk]]
                self._celery.send_task(TASK, args=(chunk,), producer=producer, ignore_result=True)


def create_app() -> Flask:
    """The WSGI application; gunicorn calls it once in each worker."""
    settings = PeerSettings.from_environment()
    pool = ConnectionPool(
        settings.dsn,
        min_size=settings.pool_size,
        max_size=settings.pool_size,
        kwargs={"autocommit": True},
        open=True,
    )
    pool.wait()
    intake = Intake(settings, pool, make_celery(settings))
    app = Flask("peer")
    app.add_url_rule("/v1/communications", view_func=intake.post_one, methods=["POST"])
    app.add_url_rule("/v1/communications/batch", view_func=intake.post_batch, methods=["POST"])
    app.add_url_rule("/v1/healthz", "healthz", view_func=lambda: "ok")
    return app


def _problem(status: int, detail: str) -> Response:
    return Response(
        TypeAdapter(dict[str, Any]).dump_json({"status": status, "detail": detail}),
        status=status,
        mimetype="application/problem+json",
    )
