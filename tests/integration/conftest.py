"""One real MongoDB and one mailbox for the whole run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cdp.embedded import processes
from cdp.embedded.keeper import (
    KeeperOptions,
    KeeperStatus,
    MailboxOptions,
    MongodOptions,
    start_keeper,
    stop_keeper,
)
from cdp.embedded.state import StateFolder
from tests.conformance.object_store_rigs import moto_server


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What runs: `state` has the passwords, `status` the ports."""

    state: StateFolder
    status: KeeperStatus

    def mongo_uri(self, user: str) -> str:
        """The URI of one of the embedded MongoDB's users."""
        assert self.status.mongo_port is not None
        return self.state.mongo_uri(user, self.status.mongo_port)


def free_options() -> KeeperOptions:
    """A small mongod whose faults can be commanded, and a mailbox, on free ports."""
    return KeeperOptions(
        mongod=MongodOptions(port=processes.free_port(), cache_gb=0.25, chaos=True),
        mailbox=MailboxOptions(smtp_port=processes.free_port(), http_port=processes.free_port()),
    )


@contextmanager
def running(root: Path) -> Iterator[Embedded]:
    """A keeper, its mongod and its mailbox."""
    state = StateFolder.open(root)
    try:
        yield Embedded(state=state, status=start_keeper(state, free_options()))
    finally:
        stop_keeper(state)
        processes.end_all(state.instance, grace_s=5)


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """Shared by all tests: leave it running, and use data of your own."""
    with running(tmp_path_factory.mktemp("embedded")) as parts:
        yield parts


@pytest.fixture(scope="session")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """moto's server in a process of its own, for S3 and SQS: use buckets of your own."""
    with moto_server(tmp_path_factory.mktemp("moto") / "log") as url:
        yield url
