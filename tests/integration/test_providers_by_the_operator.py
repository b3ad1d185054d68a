"""`cdp provider` as it is typed: the platform's own accounts, which nobody makes over HTTP."""

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from cdp.cli.main import app
from cdp.domain.delivery_config import ConfigScope, DeliveryConfig
from cdp.settings import Settings
from cdp.wiring import Wiring
from tests.integration.conftest import Embedded

Shell = Callable[..., subprocess.CompletedProcess[str]]
SCOPE = ConfigScope(channel="sms", campaign="by-the-operator")


@pytest.fixture
def cdp(embedded: Embedded) -> Shell:
    environment: dict[str, str | None] = {
        **{name: None for name in os.environ if name.startswith(("CDP_", "RAY_"))},
        "CDP_STATE_DIR": str(embedded.state.root),
        "CDP_MONGO_PORT": str(embedded.status.mongo_port),
        "COLUMNS": "200",
    }

    def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        # In a thread, for a command has a loop of its own.
        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(
                CliRunner().invoke, app, [*arguments], input=typed, env=environment
            ).result(timeout=60)
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
async def wiring(embedded: Embedded):
    wiring = Wiring(
        Settings(state_dir=embedded.state.root, mongo_port=embedded.status.mongo_port or 0),
        component="cli",
    )
    migrating = Wiring(wiring.settings, component="migrate")
    await migrating.migrate()
    await migrating.close()
    yield wiring
    await wiring.close()


async def test_a10_the_platforms_account_is_set_up_changed_and_taken_away(
    cdp: Shell, wiring: Wiring, tmp_path
):
    name, token = "texts-of-all", tmp_path / "token"
    token.write_text("canary-4711\n")
    providers, configs = wiring.provider_service(), wiring.delivery_config_service()
    client = await wiring.access_service().create_client("by-the-operator")
    shell = [
        cdp("provider", "set", name, "account_sid=AC00"),
        cdp("provider", "set", name, "--kind", "sms.twilio", "auth_token=canary-4711"),
        cdp("provider", "set", name, "--kind", "sms.twilio", "colour=red", f"auth_token=@{token}"),
        cdp(
            "provider", "set", name, "--kind", "sms.twilio", "account_sid=AC00",
            f"auth_token=@{token}", "timeout_s=5",
        ),
    ]  # fmt: skip
    made = await providers.get(None, name)
    shell += [
        cdp("provider", "set", name, "timeout_s=", "auth_token=@-", "--disabled", typed="new\n"),
        cdp("provider", "list"),
    ]
    changed = await providers.get(None, name)
    await configs.create(client.id, SCOPE, DeliveryConfig(providers=(name,)))
    shell.append(cdp("provider", "delete", name))
    await configs.delete_at(client.id, SCOPE)
    shell += [cdp("provider", "delete", name), cdp("provider", "delete", name)]

    assert [done.returncode for done in shell] == [1, 1, 1, 0, 0, 0, 1, 0, 1], shell
    assert "--kind" in shell[0].stderr
    assert "colour" in shell[2].stderr
    assert made.settings == {"account_sid": "AC00", "timeout_s": 5.0}
    assert providers.ready(made).settings["auth_token"] == "canary-4711"
    assert (changed.settings, changed.is_enabled) == ({"account_sid": "AC00"}, False)
    assert providers.ready(changed).settings["auth_token"] == "new"
    assert f"{name}  sms.twilio" in shell[5].stdout
    assert all("canary" not in done.stdout + done.stderr for done in shell[2:])
    assert "Traceback" not in "".join(done.stderr for done in shell)


def test_a10_resealing_says_what_no_key_opens(cdp: Shell):
    done = cdp("provider", "reseal")

    assert "Sealed anew: " in done.stdout
    assert done.returncode == ("No key opens" in done.stdout)
