"""Ray and the embedded parts on one machine: up, down, and nothing left behind.

Every process that is started carries the state folder's mark in its environment; whatever is
left after the orderly stop, an orphaned HAProxy too, is found by it and ended by its pid. `ray
stop` is not used: it ends every Ray process of the machine, also those of others.
"""

import asyncio
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import SecretStr

from cdp.embedded.keeper import (
    EmbeddedError,
    KeeperOptions,
    MailboxOptions,
    MongodOptions,
    keeper_status,
    start_keeper,
    stop_keeper,
)
from cdp.embedded.processes import end, end_all, free_port, processes_named, require_free_port
from cdp.embedded.state import StateFolder
from cdp.settings import Environment, Settings
from cdp.wiring import Wiring

SERVE_CONFIG: Final = Path(__file__).parent.parent / "serve_config.yaml"
RAY_WORKER_PORTS: Final = range(10_002, 20_000)
RAY_START_S: Final = 90.0
APPS_S: Final = 90.0
SUPERVISOR_S: Final = 10.0
STOP_S: Final = 40.0
RAYLET_GRACE_S: Final = 8.0
GRACE_S: Final = 2.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where to look, once it is up."""

    api: str
    docs: str
    tracking: str
    mailbox: str | None
    mailbox_smtp: str | None
    dashboard: str


class LocalCluster:
    """The platform on this machine, in one state folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state = StateFolder.open(settings.state_dir)
        self._temp = Path("/tmp") / f"cdp-{self.state.instance[:8]}"  # noqa: S108
        # Unix sockets have short paths, and a state folder may lie deep.

    def addresses(self) -> Addresses:
        """Where the parts answer."""
        s = self.settings
        base = f"http://{s.http_host}:{s.http_port}"
        embedded = s.smtp_host is None
        return Addresses(
            api=f"{base}/v1",
            docs=f"{base}/v1/docs",
            tracking=f"{base}/t",
            mailbox=f"http://127.0.0.1:{s.mailbox_http_port}/" if embedded else None,
            mailbox_smtp=f"127.0.0.1:{s.mailbox_smtp_port}" if embedded else None,
            dashboard=f"http://127.0.0.1:{s.dashboard_port}/",
        )

    @property
    def ray_address(self) -> str:
        """Where drivers connect to."""
        return self.settings.ray_address or f"127.0.0.1:{self.settings.ray_port}"

    def running(self) -> list[str]:
        """The names of the parts that run now, for a second `up`."""
        names = []
        if (keeper := keeper_status(self.state)) is not None:
            names += [part for part in ("mongod", "mailbox") if getattr(keeper, part) is not None]
        if processes_named(self.state.instance, "raylet"):
            names.append("ray")
        return names

    def up(self, say: Say) -> None:
        """Start what is not running, and wait until requests are answered.

        Raises:
            EmbeddedError: with one clear sentence.
        """
        running = self.running()
        self._check_ports(running)
        if self._needs_keeper():
            say("Starting MongoDB and the mailbox")
            start_keeper(self.state, self._keeper_options())
        say("Preparing the database")
        self.migrate()
        if self.settings.ray_address is None and "ray" not in running:
            say("Starting Ray")
            self._start_ray()
        say("Starting the platform's actors and deployments")
        self._deploy()

    def _needs_keeper(self) -> bool:
        return self.settings.mongo_uri is None or self.settings.smtp_host is None

    def _keeper_options(self) -> KeeperOptions:
        s = self.settings
        external = s.mongo_uri.get_secret_value() if s.mongo_uri else None
        return KeeperOptions(
            mongod=None
            if external
            else MongodOptions(port=s.mongo_port, cache_gb=s.mongo_cache_gb, chaos=s.chaos),
            mailbox=None
            if s.smtp_host
            else MailboxOptions(
                smtp_port=s.mailbox_smtp_port, http_port=s.mailbox_http_port, mongo_uri=external
            ),
            production=s.env is Environment.PRODUCTION,
        )

    def _check_ports(self, running: list[str]) -> None:
        if "ray" in running or self.settings.ray_address is not None:
            return
        for port, what, variable in (
            (self.settings.http_port, "the API", "CDP_HTTP_PORT"),
            (self.settings.ray_port, "Ray", "CDP_RAY_PORT"),
            (self.settings.dashboard_port, "the Ray dashboard", "CDP_DASHBOARD_PORT"),
        ):
            if port in RAY_WORKER_PORTS:
                least, most = RAY_WORKER_PORTS[0], RAY_WORKER_PORTS[-1]
                raise EmbeddedError(
                    f"{variable} is {port}, but Ray keeps {least} to {most} for its workers: "
                    "choose another port."
                )
            require_free_port(port, what=what, variable=variable)

    def migrate(self) -> None:
        """Bring collections and indexes up to date."""

        async def work() -> None:
            wiring = Wiring(self.settings, component="migrate")
            await wiring.migrate()
            await wiring.close()

        asyncio.run(work())

    def environment(self) -> dict[str, str]:
        """What our processes get: the caller's environment, the settings and Ray's switches."""
        return {
            **os.environ,
            **self.state.environment(),
            **self._ray_switches(),
            **_as_environment(self.settings),
            "CDP_STATE_DIR": str(self.state.root),
        }

    def _ray_switches(self) -> Mapping[str, str]:
        haproxy = self._temp / "haproxy"
        # A cluster that is not ours has a token of its own, which the caller's environment names.
        token = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.state.ray_token_file),
        }
        return {
            **(token if self.settings.ray_address is None else {}),
            # A worker that sets its title would overwrite its environment, and the mark in it.
            "SPT_NOENV": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_HAPROXY_NBTHREAD": "1",
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
            "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "5",
            "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
            "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "3",
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
            # The controller looks around ten times a second by default, which costs a fifth of a
            # core, and HAProxy's manager counts each request once more. Replicas export as often;
            # seldomer, each export holds up the event loop for all requests since the last: once a
            # second that was 90 ms at 1,400 requests.
            "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
            "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "200",
            "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        }

    def _start_ray(self) -> None:
        (self._temp / "haproxy").mkdir(mode=0o700, parents=True, exist_ok=True)
        s = self.settings
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", "--head",
            f"--port={s.ray_port}", "--node-ip-address=127.0.0.1",
            f"--num-cpus={s.ray_cpus}", "--object-store-memory=200000000",
            "--dashboard-host=127.0.0.1", f"--dashboard-port={s.dashboard_port}",
            f"--dashboard-agent-listen-port={free_port()}",
            f"--ray-client-server-port={free_port()}",
            f"--temp-dir={self._temp / 'ray'}", "--disable-usage-stats",
        ]  # fmt: skip
        log = self.state.log_file("ray-start")
        with log.open("wb") as output:
            done = subprocess.run(  # noqa: S603
                command,
                env=self.environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                # Ctrl-C at the terminal is for the command; Ray is ended by us, in order.
                start_new_session=True,
                timeout=RAY_START_S,
                check=False,
            )
        if done.returncode != 0:
            raise EmbeddedError(f"Ray could not be started: see {log}.")

    def connect(self) -> None:
        """Make this process a driver of the cluster.

        Ray reads its switches when it is imported, so they are set first and it is imported here.
        """
        os.environ.update(self._ray_switches())
        os.environ.update(self.state.environment())
        import ray

        if not ray.is_initialized():
            ray.init(
                address=self.ray_address,
                namespace="cdp",
                log_to_driver=False,
                logging_level=logging.ERROR,
            )

    def ask_supervisor(self, method: str) -> Any:
        """Call the Supervisor from this process.

        Raises:
            EmbeddedError: it does not answer.
        """
        self.connect()
        import ray

        from deployments.handles import NAMESPACE, SUPERVISOR

        try:
            actor = ray.get_actor(SUPERVISOR, namespace=NAMESPACE)
            return ray.get(getattr(actor, method).remote(), timeout=SUPERVISOR_S)
        except (ValueError, ray.exceptions.RayError) as error:
            raise EmbeddedError("The Supervisor does not answer: try again in a moment.") from error

    def _deploy(self) -> None:
        self.connect()
        from ray import serve
        from ray.serve.schema import ServeDeploySchema

        from deployments.handles import SUPERVISOR, start
        from deployments.supervisor import Supervisor

        config: dict[str, Any] = yaml.safe_load(SERVE_CONFIG.read_text())
        config["http_options"] |= {
            "host": self.settings.http_host,
            "port": self.settings.http_port,
        }
        start(Supervisor, SUPERVISOR)
        serve.start(
            proxy_location=config["proxy_location"],
            http_options=config["http_options"],
            logging_config=config["logging_config"],
        )
        # What the dashboard's REST endpoint does with the same file; it needs no dashboard.
        client = serve.context._get_global_client()
        assert client is not None
        client.deploy_apps(ServeDeploySchema.model_validate(config))
        self._wait_for_apps(serve)

    def _wait_for_apps(self, serve: Any) -> None:
        deadline = time.monotonic() + APPS_S
        while time.monotonic() < deadline:
            applications = serve.status().applications
            states = {name: app.status.value for name, app in applications.items()}
            if states and all(state == "RUNNING" for state in states.values()):
                if self.is_ready():
                    return
            elif "DEPLOY_FAILED" in states.values():
                messages = [app.message for app in applications.values() if app.message]
                raise EmbeddedError(f"The platform could not start: {' '.join(messages)[-800:]}")
            time.sleep(0.2)
        raise EmbeddedError(f"The platform was not ready within {APPS_S:.0f} s.")

    def is_ready(self) -> bool:
        """Whether the API says that it is ready."""
        import urllib.request

        url = f"http://{self.settings.http_host}:{self.settings.http_port}/v1/readyz"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def down(self, say: Say) -> int:
        """Stop everything, in order; then end by pid what is left. How many that were."""
        is_ours = bool(processes_named(self.state.instance, "raylet"))
        if is_ours or self.settings.ray_address is not None:
            say("Stopping the platform")
            self._stop_serve()
        say("Stopping MongoDB and the mailbox")
        stop_keeper(self.state)
        # The raylet ends its workers; what is left, such as a helper of the dashboard that is deaf
        # to SIGTERM, is not waited for.
        end(processes_named(self.state.instance, "raylet"), RAYLET_GRACE_S)
        ended = end_all(self.state.instance, GRACE_S)
        self._keep_logs()
        shutil.rmtree(self._temp, ignore_errors=True)
        return ended

    def _keep_logs(self) -> None:
        """Ray's logs of the last run, ours in them, where somebody would look for them."""
        logs, kept = self._temp / "ray" / "session_latest" / "logs", self.state.logs / "ray"
        if logs.is_dir():
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(logs, kept, ignore_dangling_symlinks=True, dirs_exist_ok=True)

    def _stop_serve(self) -> None:
        """Let deployments and actors end in peace, in a process that can be given up on."""
        command = [sys.executable, "-m", "deployments.stop"]
        try:
            subprocess.run(  # noqa: S603
                command,
                env=self.environment(),
                capture_output=True,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                timeout=STOP_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return


def _as_environment(settings: Settings) -> dict[str, str]:
    """The settings that differ from the defaults, for the processes that read them anew."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return {
        f"CDP_{name.upper()}": value.get_secret_value()
        if isinstance(value, SecretStr)
        else str(value)
        for name, value in given.items()
        if value is not None
    }
