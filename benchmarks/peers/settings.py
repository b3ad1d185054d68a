"""What `run.py` tells the peer's processes, by the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

CLIENT: Final = "shop"
API_KEY: Final = "peer-benchmark-key"
"""Known to everybody: it opens a server on loopback that lives for one benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings:
    """Where the peer's parts find each other."""

    dsn: str
    broker: str
    smtp_port: int
    pool_size: int
    """Connections to PostgreSQL of one gunicorn worker: one for each of its threads."""
    prefetch: int
    chunk: int
    """Communications in one Celery task of a batch; 1 is the usual way."""
    ready_file: str
    """The Celery worker creates it when it has begun to consume."""

    def environment(self) -> dict[str, str]:
        """The variables that `from_environment` reads."""
        return {
            "PEER_DSN": self.dsn,
            "PEER_BROKER": self.broker,
            "PEER_SMTP_PORT": str(self.smtp_port),
            "PEER_POOL_SIZE": str(self.pool_size),
            "PEER_PREFETCH": str(self.prefetch),
            "PEER_CHUNK": str(self.chunk),
            "PEER_READY_FILE": self.ready_file,
        }

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read what `environment` wrote."""
        return cls(
            dsn=environ["PEER_DSN"],
            broker=environ["PEER_BROKER"],
            smtp_port=int(environ["PEER_SMTP_PORT"]),
            pool_size=int(environ["PEER_POOL_SIZE"]),
            prefetch=int(environ["PEER_PREFETCH"]),
            chunk=int(environ["PEER_CHUNK"]),
            ready_file=environ["PEER_READY_FILE"],
        )
