"""Starts and stops the whole platform as it is by default, beside the peer and to the same sink.

    with state_folder() as state, SmtpSink(state) as sink:
        with PlatformUnderTest(state, smtp_port=sink.port) as platform:
            shop = await platform.client("shop")
            await post_many(platform.url, bodies(1_000), connections=64, headers=shop.headers)

It has a state folder, ports and a Ray cluster of its own. The workload's requests ask for no
tracked links and no pixel, unless told to: the peer makes none.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import psutil
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks import workload
from benchmarks.platform_processes import WATCHED, PlatformMeter, pids_by_component, stopped
from benchmarks.tools import ServiceFailed, free_port
from cdp.cli.start import bring_up_apart
from cdp.domain.ids import ClientId
from cdp.embedded.processes import processes_of
from cdp.services.verification_service import Verification
from cdp.settings import Settings
from cdp.wiring import Wiring
from deployments.local_cluster import LocalCluster

BATCH: Final = 500
"""Communications in one POST of a batch."""
_IDLE_POLL_S: Final = 0.2
_IN_PYTHON: Final = "import cdp.rendering.child, deployments.client_api"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchClient:
    """A client of the platform, with its key and the workload's template."""

    id: ClientId
    headers: Mapping[str, str]


class PlatformUnderTest:
    """The running platform.

    Args:
        state: a folder of this run; see `state_folder`.
        smtp_port: where the sink listens, on loopback.
    """

    def __init__(self, state: Path, *, smtp_port: int) -> None:
        self.settings = Settings(
            state_dir=state / "platform",
            mongo_port=free_port(),
            ray_port=free_port(),
            dashboard_port=free_port(),
            http_port=free_port(),
            smtp_host="127.0.0.1",
            smtp_port=smtp_port,
            smtp_security="none",
        )
        self._cluster = LocalCluster(self.settings)
        self._wiring: Wiring | None = None

    def __enter__(self) -> Self:
        require_installed()
        try:
            bring_up_apart(self._cluster, lambda _: None)
        except BaseException:
            self._down()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        trouble: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._down()

    def _down(self) -> None:
        self._cluster.down(lambda _: None)
        left = processes_of(self.instance)
        if left:
            raise ServiceFailed(f"{len(left)} processes of the platform would not end")

    @property
    def instance(self) -> str:
        """The mark on its processes."""
        return self._cluster.state.instance

    @property
    def api(self) -> str:
        """What all paths of the API begin with, such as `http://127.0.0.1:8000/v1`."""
        return self._cluster.addresses().api

    @property
    def url(self) -> str:
        """POST a single communication here; `url + "/batch"` takes a JSON array."""
        return f"{self.api}/communications"

    @property
    def batch_url(self) -> str:
        """POST a batch here."""
        return f"{self.url}/batch"

    @property
    def admin_uri(self) -> str:
        """MongoDB as its administrator: for what is compared with in the same mongod."""
        return self._cluster.state.mongo_uri("admin", self.settings.mongo_port)

    @property
    def wiring(self) -> Wiring:
        """The platform's parts, in this process. It belongs to the first loop that uses it."""
        if self._wiring is None:
            self._wiring = Wiring(self.settings, component="benchmark")
        return self._wiring

    @property
    def database(self) -> AsyncDatabase[dict[str, Any]]:
        """The platform's database."""
        return self.wiring.database.raw

    async def aclose(self) -> None:
        """Close this process's connections; before its event loop ends."""
        if self._wiring is not None:
            wiring, self._wiring = self._wiring, None
            await wiring.close()

    async def client(self, name: str, *, backlog_max: int | None = None) -> BenchClient:
        """A new client with a key, a sender and the workload's template.

        Args:
            name: no other's.
            backlog_max: unfinished results that it may have, if not as many as any client.
        """
        access = self.wiring.access_service()
        made = await access.create_client(name, backlog_max=backlog_max)
        await access.set_sender(made.id, email=workload.SENDER_ADDRESS, name=workload.SENDER_NAME)
        key = await access.create_key(made.id)
        client = BenchClient(id=made.id, headers={"Authorization": f"Bearer {key.text}"})
        await self._put_template(client)
        return client

    async def _put_template(self, client: BenchClient) -> None:
        path = f"/templates/{workload.TEMPLATE_NAME}"
        await self.set_up(client, "PUT", path, {workload.CHANNEL: dict(workload.PARTS)})

    async def set_up(
        self, client: BenchClient, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> None:
        """A call of the API that configures something.

        Raises:
            ServiceFailed: it was refused.
        """
        url = f"{self.api}{path}"
        async with (
            aiohttp.ClientSession(headers=client.headers) as session,
            session.request(method, url, json=body) as answer,
        ):
            if answer.status >= 300:
                raise ServiceFailed(f"{method} {path}: {await answer.text()}")

    def meter(self, beside: Mapping[str, int]) -> PlatformMeter:
        """The CPU of all its processes, by component."""
        return PlatformMeter(self.instance, beside)

    def pids(self, component: str) -> list[int]:
        """The processes of one component, by the name that `component_of` gives."""
        found = pids_by_component(self.instance).get(component, [])
        if not found:
            raise ServiceFailed(f"no {component} runs")
        return found

    def intake_only(self) -> AbstractContextManager[None]:
        """Meanwhile nothing is taken from the queue: the shards stand still, hints pile up."""
        return stopped(self.pids("QueueShard"))

    def standing_still(self) -> AbstractContextManager[None]:
        """Meanwhile nearly all of it is halted, so that it takes no time from what is measured.

        Idle, it costs a quarter of a core. Only for some ten seconds, and with nothing under way.
        """
        pids = pids_by_component(self.instance)
        return stopped(pid for name in pids if name not in WATCHED for pid in pids[name])

    async def unfinished(self, client: BenchClient | None = None) -> int:
        """How many results are not final. It walks the index: a second for each 60,000."""
        query: dict[str, Any] = {"due_at": {"$exists": True}}
        if client is not None:
            query["client_id"] = client.id
        return await self.database["delivery_results"].count_documents(query, hint="work")

    async def idle(self, *, within_s: float) -> float:
        """Wait until every result is final; `time.perf_counter()` when it was seen."""
        deadline = time.monotonic() + within_s
        while await self._has_work():
            if time.monotonic() > deadline:
                left = await self.unfinished()
                raise ServiceFailed(f"{left} communications unfinished after {within_s} s")
            await asyncio.sleep(_IDLE_POLL_S)
        return time.perf_counter()

    async def _has_work(self) -> bool:
        query = {"due_at": {"$exists": True}}
        found = await self.database["delivery_results"].find_one(query, {"_id": 1}, hint="work")
        return found is not None

    async def verify(self) -> Verification:
        """The audit of everything, when all is final.

        Raises:
            ServiceFailed: a rule does not hold.
        """
        verification = await self.wiring.verification_service().verify(settled=True)
        if not verification.is_clean:
            raise ServiceFailed(f"the books are not clean: {dict(verification.by_rule)}")
        return verification


def require_installed() -> None:
    """Check that the platform's children will find it: they are started isolated.

    Raises:
        ServiceFailed: it says what to do.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-c", _IN_PYTHON], capture_output=True, check=False
    )
    if done.returncode != 0:
        raise ServiceFailed(
            "The platform is not installed for this Python: run `make bench`, which does that."
        )


def other_clusters() -> int:
    """How many Ray clusters run on this machine now: they make every number worse."""
    return sum(process.info["name"] == "raylet" for process in psutil.process_iter(["name"]))


def request(
    recipient: workload.Recipient,
    index: int,
    *,
    tracking: bool = False,
    priority: str = "normal",
    send_at: datetime | None = None,
    by_segment: bool = False,
) -> dict[str, Any]:
    """The workload's request in the platform's shape, with the same data in it.

    With `by_segment` it names no template: its segment has one in its campaign.
    """
    body: dict[str, Any] = {
        "channel": workload.CHANNEL,
        "to": [
            {
                "email": recipient.address,
                "name": recipient.name,
                "locale": recipient.locale,
                "timezone": recipient.timezone,
                "data": workload.context(recipient),
            }
        ],
        "template": workload.TEMPLATE_NAME,
        "campaign": workload.CAMPAIGN,
        "segment": workload.SEGMENT,
        "priority": priority,
        "reference": f"order-{index}",
        "metadata": {
            "source": "benchmark",
            "tags": "order, shipped",
            "recipient_id": recipient.recipient_id,
        },
        "tracking": {"opens": tracking, "clicks": tracking},
    }
    if send_at is not None:
        body["send_at"] = send_at.isoformat()
    if by_segment:
        del body["template"]
    return body


def single_bodies(
    count: int,
    *,
    tracking: bool = False,
    priority: str = "normal",
    by_segment: bool = False,
    seed: int = 7,
) -> list[bytes]:
    """`count` bodies of one communication each, encoded ahead of the measurement."""
    return [
        _encode(request(each, index, tracking=tracking, priority=priority, by_segment=by_segment))
        for index, each in enumerate(workload.recipients(count, seed=seed))
    ]


def batch_bodies(
    count: int, *, size: int = BATCH, send_at: Sequence[datetime] | None = None, seed: int = 7
) -> Iterator[bytes]:
    """`count` communications as JSON arrays of `size`; with `send_at`, each at its own time."""
    items: list[dict[str, Any]] = []
    for index, each in enumerate(workload.recipients(count, seed=seed)):
        items.append(request(each, index, send_at=send_at[index] if send_at else None))
        if len(items) == size:
            yield _encode(items)
            items = []
    if items:
        yield _encode(items)


def _encode(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
