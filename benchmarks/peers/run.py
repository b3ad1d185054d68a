"""Starts and stops the whole peer: PostgreSQL, Redis, gunicorn, Celery, all private.

    with state_folder() as state, SmtpSink(state) as sink, Peer(state, smtp_port=sink.port) as peer:
        await post_many(peer.url, bodies, connections=64, headers=peer.headers)

Nothing listens on the network but gunicorn, on loopback: PostgreSQL and Redis are reached by
sockets in the state folder, which is also quicker.

Tuned: PostgreSQL with a buffer that holds the working set, WAL room so that no checkpoint is
forced within a run, LZ4 for WAL pages, no JIT, generic plans by index; fsync and
synchronous_commit stay on. Redis keeps nothing on disk, which favours the peer: a Redis that dies
loses the queue. gunicorn has 2 workers of 8 threads with kept connections and no access log;
Celery runs without gossip, mingle and heartbeats, and hands tasks to whichever child is free.

    python -m benchmarks.peers.run --check        start, 500 messages, numbers, stop
    python -m benchmarks.peers.run --stop FOLDER  end what a killed run has left
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psycopg  # type: ignore[import-not-found]

from benchmarks import workload
from benchmarks.peers.settings import API_KEY, CLIENT, PeerSettings
from benchmarks.tools import (
    CpuMeter,
    Service,
    ServiceFailed,
    Services,
    SmtpSink,
    answers,
    find_program,
    free_port,
    machine,
    number,
    post_many,
    print_cpu,
    run,
    state_folder,
    stop_recorded,
)

_ROOT: Final = Path(__file__).resolve().parents[2]
_POSTGRES_BIN: Final = "/usr/lib/postgresql/*/bin"
_WEB_WORKERS: Final = 2
_WEB_THREADS: Final = 8
_TABLES: Final = (
    "communication_requests, recipients, communications, communication_logs, delivery_results"
)
_POSTGRES_OPTIONS: Final = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "512MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_compression": "lz4",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "jit": "off",
    # Statements are planned once; and since that is on tables still empty, where reading all looks
    # cheap, never by reading all. Left to itself it read whole tables: up to 1.8 times the CPU.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
}


class Peer:
    """The running peer.

    Args:
        state: a folder of this run; see `state_folder`.
        smtp_port: where the sink listens, on loopback.
        processes: Celery children.
        prefetch: tasks reserved by Celery for each child.
        chunk: communications in one task of a batch. 1 is the usual way.
        deliver: whether Celery starts at once; else call `start_delivery`.
    """

    def __init__(
        self,
        state: Path,
        *,
        smtp_port: int,
        processes: int = 3,
        prefetch: int = 16,
        chunk: int = 1,
        deliver: bool = True,
    ) -> None:
        self._folder = state / "peer"
        self._processes = processes
        self._deliver = deliver
        self._port = free_port()
        self._services = Services(self._folder)
        self._running: dict[str, Service] = {}
        sockets = self._folder / "postgres"
        self._settings = PeerSettings(
            dsn=f"host={sockets} dbname=postgres user=postgres",
            broker=f"redis+socket://{self._folder / 'redis.sock'}",
            smtp_port=smtp_port,
            pool_size=_WEB_THREADS,
            prefetch=prefetch,
            chunk=chunk,
            ready_file=str(self._folder / "celery.ready"),
        )

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o711)
        try:
            self._start_postgres()
            self._start_redis()
            self._start_web()
            if self._deliver:
                self.start_delivery()
        except BaseException:
            self._services.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        trouble: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._services.close()

    @property
    def url(self) -> str:
        """POST a single communication here; `url + "/batch"` takes a JSON array."""
        return f"http://127.0.0.1:{self._port}/v1/communications"

    @property
    def headers(self) -> dict[str, str]:
        """What a request needs."""
        return {"Authorization": f"Bearer {API_KEY}"}

    @property
    def pids(self) -> dict[str, int]:
        """The heads of its process groups, for a `CpuMeter`."""
        return {name: service.pid for name, service in self._running.items()}

    def start_delivery(self) -> None:
        """Start Celery; returns when it consumes."""
        ready = Path(self._settings.ready_file)
        ready.unlink(missing_ok=True)
        celery = self._start(
            "celery",
            [
                *(sys.executable, "-m", "celery", "-A", "benchmarks.peers.tasks", "worker"),
                *("-P", "prefork", "-c", str(self._processes), "-O", "fair", "-l", "WARNING"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
        )
        celery.wait_until(ready.exists, within_s=30)

    def stop_delivery(self) -> None:
        """Stop Celery, after the tasks in hand; the queue stays in Redis."""
        self._services.stop(self._running.pop("celery"))

    def delivered(self) -> int:
        """How many results say SUCCEEDED."""
        return int(self._query("SELECT count(*) FROM delivery_results WHERE status = 'SUCCEEDED'"))

    def events(self) -> int:
        """How many events the log holds."""
        return int(self._query("SELECT count(*) FROM communication_logs"))

    def wait_recorded(self, count: int, *, within_s: float) -> None:
        """Wait till `count` results are recorded as delivered: the sink knows a little earlier."""
        deadline = time.monotonic() + within_s
        while (done := self.delivered()) < count:
            if time.monotonic() > deadline:
                raise ServiceFailed(f"{done} of {count} recorded within {within_s} s")
            time.sleep(0.05)

    def reset(self) -> None:
        """Empty all records between rounds; nothing may be under way."""
        with self._connect() as connection:
            connection.execute(f"TRUNCATE {_TABLES}")
            connection.execute("CHECKPOINT")

    def _start(self, name: str, command: Sequence[str], **options: Any) -> Service:
        env = {"PYTHONPATH": str(_ROOT), **self._settings.environment()}
        service = self._services.start(name, command, env=env, **options)
        self._running[name] = service
        return service

    def _start_postgres(self) -> None:
        home = self._folder / "postgres"
        home.mkdir(mode=0o755)
        user = None
        if os.geteuid() == 0:
            user = "postgres"
            entry = pwd.getpwnam(user)
            os.chown(home, entry.pw_uid, entry.pw_gid)
        data = str(home / "data")
        initdb = self._services.start(
            "initdb",
            [
                *(find_program("initdb", _POSTGRES_BIN), "-D", data, "-U", "postgres"),
                *("-E", "UTF8", "--locale=C.UTF-8", "-A", "trust", "--no-instructions"),
            ],
            user=user,
        )
        if initdb.process.wait(60) != 0:
            raise ServiceFailed(f"initdb failed:\n{initdb.log_tail()}")
        self._services.stop(initdb)
        options = _POSTGRES_OPTIONS | {"unix_socket_directories": str(home)}
        server = self._start(
            "postgres",
            [find_program("postgres", _POSTGRES_BIN), "-D", data]
            + [part for key, value in options.items() for part in ("-c", f"{key}={value}")],
            user=user,
            # Fast shutdown: sessions are ended, the rest is written.
            stop_signal=signal.SIGINT,
        )
        server.wait_until(self._postgres_answers, within_s=30)
        with self._connect() as connection:
            connection.execute((Path(__file__).parent / "schema.sql").read_text())
            self._seed(connection)

    def _seed(self, connection: Any) -> None:
        connection.execute(
            "INSERT INTO clients VALUES (%s, %s)",
            (CLIENT, hashlib.sha256(API_KEY.encode()).digest()),
        )
        connection.execute(
            "INSERT INTO templates VALUES (%s, %s, %s, %s, %s, %s)",
            (
                *(CLIENT, workload.TEMPLATE_NAME, workload.TEMPLATE_VERSION),
                *(workload.SUBJECT, workload.HTML, workload.TEXT),
            ),
        )

    def _start_redis(self) -> None:
        socket = self._folder / "redis.sock"
        redis = self._start(
            "redis",
            [
                *(find_program("redis-server"), "--port", "0", "--unixsocket", str(socket)),
                *("--save", "", "--appendonly", "no", "--daemonize", "no"),
            ],
        )
        redis.wait_until(socket.exists, within_s=10)

    def _start_web(self) -> None:
        web = self._start(
            "gunicorn",
            [
                *(sys.executable, "-m", "gunicorn", "benchmarks.peers.app:create_app()"),
                *("--bind", f"127.0.0.1:{self._port}", "--workers", str(_WEB_WORKERS)),
                *("--worker-class", "gthread", "--threads", str(_WEB_THREADS)),
                *("--keep-alive", "30", "--log-level", "warning", "--graceful-timeout", "5"),
            ],
        )
        web.wait_until(lambda: answers(self._port), within_s=30)

    def _postgres_answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), self._connect():
            return True
        return False

    def _connect(self) -> Any:
        return psycopg.connect(self._settings.dsn, autocommit=True)

    def _query(self, sql: str) -> Any:
        with self._connect() as connection:
            return connection.execute(sql).fetchone()[0]


async def check(messages: int, *, processes: int, chunk: int, connections: int = 64) -> None:
    """Start the peer, POST and deliver so many at once, print what it took, stop all."""
    with (
        state_folder() as state,
        SmtpSink(state) as sink,
        Peer(state, smtp_port=sink.port, processes=processes, chunk=chunk) as peer,
    ):
        meter = CpuMeter({**peer.pids, "smtp-sink": sink.pid, "load generator": os.getpid()})
        await post_many(
            peer.url,
            workload.single_bodies(50, seed=1),
            connections=connections,
            headers=peer.headers,
        )
        await sink.wait_for(50, since=0, within_s=30)
        peer.wait_recorded(50, within_s=10)

        bodies = workload.single_bodies(messages)
        before, since, started = meter.read(), sink.received, time.perf_counter()
        drain = asyncio.create_task(sink.wait_for(messages, since=since, within_s=120))
        posts = await post_many(peer.url, bodies, connections=connections, headers=peer.headers)
        posts.require(202)
        drained = await drain
        peer.wait_recorded(messages + 50, within_s=10)
        spent = meter.read() - before

        events = peer.events()
        print(machine())
        print(
            f"{number(posts.per_second)} POST/s, p50 {number(posts.percentile_ms(50))} ms, "
            f"p99 {number(posts.percentile_ms(99))} ms; "
            f"{number(messages / (drained.last_at - started))} delivered/s from the first POST; "
            f"{peer.delivered()} recorded, {events} events"
        )
        print_cpu(f"{messages} messages, posted and delivered at once", {"peer": spent}, messages)
        assert events == 5 * (messages + 50)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="The peer of the benchmarks.")
    parser.add_argument("--check", action="store_true", help="start, measure briefly, stop")
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--processes", type=int, default=3, help="Celery children")
    parser.add_argument("--chunk", type=int, default=1, help="communications in one batch task")
    parser.add_argument("--stop", type=Path, metavar="FOLDER", help="a killed run's state folder")
    options = parser.parse_args(arguments)
    # So that a plain kill, too, leaves by the context managers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.stop:
        for part in sorted(options.stop.glob("*/services.json")):
            print("stopped:", ", ".join(stop_recorded(part.parent)) or "nothing")
        shutil.rmtree(options.stop)
    elif options.check:
        run(check(options.messages, processes=options.processes, chunk=options.chunk))
    else:
        parser.print_help()


if __name__ == "__main__":
    main()
