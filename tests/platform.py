"""The whole platform, started once for the run: real MongoDB, real Ray, real SMTP, real HTTP."""

import json
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
import pytest

from cdp.embedded import processes
from cdp.services.verification_service import Verification
from cdp.settings import Settings
from cdp.wiring import Wiring
from deployments.local_cluster import LocalCluster
from tests.waiting import eventually

ATTEMPT_LEASE_S: Final = 8.0
SHARD_LEASE_S: Final = 3.0
RETRY: Final = {"attempts_max": 6, "backoff_initial_s": 1.0, "backoff_cap_s": 4.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API said."""

    status: int
    body: Any
    headers: dict[str, str]


@dataclass(kw_only=True)
class Client:
    """A client of the platform with its key, as a caller would use it."""

    platform: "Platform"
    name: str
    key: str
    accepted: list[str] = field(default_factory=list)
    """The ids of all that was answered 202: the callers' ledger."""

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, as it comes back; nothing is repeated."""
        sent = {"authorization": f"Bearer {self.key}", **(headers or {})}
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            sent.setdefault("content-type", "application/json")
        url = self.platform.api + path
        async with self.platform.http.request(method, url, data=raw, headers=sent) as answer:
            text = await answer.text()
            kind = answer.headers.get("content-type", "")
            parsed = json.loads(text) if "json" in kind and "ndjson" not in kind else text
            return Answer(status=answer.status, body=parsed, headers=dict(answer.headers))

    async def post(self, body: Any, headers: Mapping[str, str] | None = None) -> str:
        """Post one that must be accepted; its id."""
        answer = await self.call("POST", "/communications", body, headers=headers)
        assert answer.status == 202, answer
        self.accepted.append(answer.body["id"])
        return str(answer.body["id"])

    async def insist(self, body: Any, key: str, within_s: float = 60.0) -> str:
        """Post until it is accepted, as a caller who knows what 503 means: the same key again."""

        headers = {"idempotency-key": key}

        async def accepted() -> str | None:
            try:
                answer = await self.call("POST", "/communications", body, headers=headers)
            except (aiohttp.ClientError, TimeoutError, ValueError):
                return None
            # While HAProxy comes back it knows no route: a 404 of a known path is one of these.
            assert answer.status in (202, 404, 409, 429, 500, 502, 503, 504), answer
            return str(answer.body["id"]) if answer.status == 202 else None

        request_id: str = await eventually(accepted, within_s=within_s)
        self.accepted.append(request_id)
        return request_id

    async def get(self, request_id: str) -> Any:
        """One communication."""
        answer = await self.call("GET", f"/communications/{request_id}")
        assert answer.status == 200, answer
        return answer.body

    async def events(self, request_id: str) -> list[Any]:
        """Its log."""
        answer = await self.call("GET", f"/communications/{request_id}/events")
        assert answer.status == 200, answer
        return list(answer.body["items"])

    async def until(self, request_id: str, status: str, within_s: float = 30.0) -> Any:
        """Wait for a status."""

        async def reached() -> Any:
            body = await self.get(request_id)
            assert body["status"] == status, body
            return body

        return await eventually(reached, within_s=within_s)


@dataclass(kw_only=True)
class Platform:
    """The running platform, and how to hurt it."""

    cluster: LocalCluster
    http: aiohttp.ClientSession
    wiring: Wiring
    _names: int = 0

    @property
    def api(self) -> str:
        """Base URL of the API."""
        return self.cluster.addresses().api

    @property
    def mailbox(self) -> str:
        """Base URL of the mailbox."""
        return str(self.cluster.addresses().mailbox)

    async def client(self, name: str = "client") -> Client:
        """A new client with a sender, quick retries and a key."""
        self._names += 1
        name = f"{name}-{self._names}-{os.getpid()}"
        access = self.wiring.access_service()
        client = await access.create_client(name)
        await access.set_sender(client.id, email=f"no-reply@{name}.example", name=name)
        await self.wiring.set_retry_policy(client.id, **RETRY)
        key = await access.create_key(client.id)
        return Client(platform=self, name=name, key=key.text)

    async def inbox(self, to: str) -> list[Any]:
        """What the mailbox got for an address."""
        url = f"{self.mailbox}api/messages"
        async with self.http.get(url, params={"to": to, "limit": "100"}) as answer:
            body = await answer.json()
            return list(body["items"])

    async def mailbox_control(self, command: str) -> None:
        """`pause` or `resume`; the mailbox may just be coming back."""

        async def obeyed() -> bool:
            try:
                async with self.http.post(f"{self.mailbox}api/{command}") as answer:
                    return answer.status < 300
            except aiohttp.ClientError:
                return False

        await eventually(obeyed, within_s=30)

    async def status(self) -> Any:
        """The Supervisor's view."""
        from deployments.handles import SUPERVISOR, ask

        return await ask(SUPERVISOR, "status", within_s=10)

    def pids(self, title: str) -> list[int]:
        """Processes of ours whose command line holds `title`."""
        ours = processes.processes_of(self.cluster.state.instance)
        return [p.pid for p in ours if title in " ".join(_command(p))]

    async def kill(self, title: str) -> None:
        """kill -9 the processes of this title, and wait until others have taken their place."""
        victims = self.pids(title)
        assert victims, f"nothing runs as {title}"
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: set(self.pids(title)) - set(victims), within_s=60.0)

    async def ready(self, within_s: float = 60.0) -> None:
        """Wait until the API answers that it is ready."""

        async def answers() -> bool:
            try:
                async with self.http.get(f"{self.api}/readyz") as answer:
                    return answer.status == 200
            except (aiohttp.ClientError, TimeoutError):
                return False

        await eventually(answers, within_s=within_s)

    async def verify(
        self, *clients: Client, settled: bool = True, tmp_path: Path | None = None
    ) -> Verification:
        """The audit, with the ledgers of these callers and of the mailbox."""
        accepted = delivered = None
        if tmp_path is not None:
            accepted, delivered = tmp_path / "accepted.ndjson", tmp_path / "delivered.ndjson"
            ids = [request_id for client in clients for request_id in client.accepted]
            accepted.write_text("".join(f'{{"id": "{i}"}}\n' for i in ids))
            await self._export_mailbox(delivered)
        return await self.wiring.verification_service().verify(
            settled=settled, callers_ledger=accepted, provider_ledger=delivered
        )

    async def _export_mailbox(self, path: Path) -> None:
        cursor: str | None = None
        with path.open("w") as file:
            while True:
                params = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
                async with self.http.get(f"{self.mailbox}api/messages", params=params) as answer:
                    body = await answer.json()
                for item in body["items"]:
                    # Only an email carries the id that its log knows.
                    if item["channel"] == "email":
                        entry = {"message_id": item["message_id"].strip("<>")}
                        file.write(json.dumps(entry) + "\n")
                cursor = body.get("next_cursor")
                if not cursor:
                    return

    async def settled(self, clients: Sequence[Client], within_s: float) -> None:
        """Wait until all that these clients had accepted is final."""
        waiting = {(client.key, i): client for client in clients for i in client.accepted}

        async def all_final() -> bool:
            for (_, request_id), client in list(waiting.items()):
                body = await client.get(request_id)
                if body["counts"]["pending"]:
                    return False
                del waiting[client.key, request_id]
            return True

        await eventually(all_final, within_s=within_s)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def platform_settings(root: Path) -> Settings:
    """Settings of a platform of the tests' own: free ports, short leases, failpoints."""
    return Settings(
        state_dir=root,
        mongo_port=processes.free_port(),
        mongo_cache_gb=0.5,
        chaos=True,
        ray_port=processes.free_port(),
        dashboard_port=processes.free_port(),
        http_port=processes.free_port(),
        mailbox_smtp_port=processes.free_port(),
        mailbox_http_port=processes.free_port(),
        sftp_port=processes.free_port(),
        attempt_lease_s=ATTEMPT_LEASE_S,
        shard_lease_s=SHARD_LEASE_S,
    )


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Everything up; at the end everything down, and nothing left."""
    running = LocalCluster(platform_settings(tmp_path_factory.mktemp("platform")))
    try:
        running.up(lambda _: None)
        yield running
    finally:
        import ray

        ray.shutdown()
        running.down(lambda _: None)
        assert processes.processes_of(running.state.instance) == []


@pytest.fixture(scope="session")
async def platform(cluster: LocalCluster) -> AsyncIterator[Platform]:
    """The running platform as callers and operators meet it."""
    wiring = Wiring(cluster.settings, component="tests")
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        yield Platform(cluster=cluster, http=http, wiring=wiring)
    await wiring.close()
