"""What providers are sealed and opened with, as the settings say."""

import asyncio
from typing import Any

import pytest

from cdp.ports.clock import SystemClock
from cdp.provider_wiring import AccountOpener, secret_box
from cdp.services.provider_roster import Account, ProviderRoster
from cdp.services.secret_box import Unopenable
from cdp.settings import Settings, WrongSettings
from tests.packages import install, on_the_path
from tests.unit.domain.items import item

OLD, NEW = "0a" * 32, "0B" * 32


def box(keys: str | None):
    return secret_box(Settings(secrets_keys=keys), lambda: b"e" * 32)


def opener(**settings: Any) -> AccountOpener:
    inbox: Any = None
    return AccountOpener(settings=Settings(**settings), clock=SystemClock(), inbox=inbox)


def account(**changes: Any) -> Account:
    fields: dict[str, Any] = {
        "key": "k", "version": 1, "name": "mail", "kind": "email.smtp",
        "settings": {"host": "smtp.example"}, "is_clients": True,
    }  # fmt: skip
    return Account(**(fields | changes))


def test_a10_the_first_key_of_the_settings_seals_and_every_one_opens():
    sealed = box(f"old:{OLD}").seal("secret", bound_to=b"x")
    both = box(f" new : {NEW} , old:{OLD}")

    assert both.open(sealed, bound_to=b"x") == "secret"
    assert not both.is_current(sealed)
    assert both.is_current(both.seal("secret", bound_to=b"x"))
    with pytest.raises(Unopenable):
        box(None).open(sealed, bound_to=b"x")


@pytest.mark.parametrize(
    "keys", ["", OLD, f"a:{OLD[:-2]}", f"a:{OLD},", f":{OLD}", f"a:{OLD},a:{NEW}", f"a:{'x' * 64}"]
)
def test_what_is_no_ring_of_keys_is_said_so_and_not_shown(keys):
    with pytest.raises(WrongSettings, match="CDP_SECRETS_KEYS") as refused:
        box(keys)

    assert OLD not in str(refused.value)


async def test_a10_an_account_that_no_key_opens_holds_its_place_and_delivers_nothing():
    accounts = [account(is_readable=False, settings={}), account(key="k2", name="backup")]

    async def routing(items):
        return [accounts] * len(items)

    roster = ProviderRoster(routing=routing, open_account=opener(), clock=SystemClock())
    [route] = await roster.routes([item(1)])
    await roster.close()

    assert [each.name for each in route] == ["backup"]


@pytest.mark.parametrize(
    ("settings", "changes", "opens"),
    [
        ({"private_targets": False}, {}, False),
        ({"private_targets": True}, {}, True),
        ({}, {}, True),
        ({"private_targets": False}, {"is_clients": False}, True),
    ],
)
def test_a7_a_client_has_no_files_of_ours_read(settings, changes, opens, tmp_path):
    authorities = tmp_path / "none.pem"
    authorities.write_text("")
    given = {"host": "smtp.example", "security": "none", "tls_ca_file": str(authorities)}

    def opened() -> None:
        provider = opener(**settings)(account(settings=given, **changes))
        asyncio.run(provider.close())

    if opens:
        opened()
    else:
        with pytest.raises(ValueError, match="tls_ca_file"):
            opened()


@pytest.mark.parametrize(("kind", "near"), [("webhook.noting", False), ("sms.noting", True)])
def test_a7_where_messages_say_the_host_a_packages_provider_is_guarded_too(tmp_path, kind, near):
    module = """
from cdp.providers.settings import ProviderSettings

class Noting:
    Settings = ProviderSettings

    @classmethod
    def open(cls, settings, tools):
        return tools
"""
    install(tmp_path / "site", "noting", {kind: "noting:Noting"}, module)

    with on_the_path(tmp_path / "site"):
        tools: Any = opener(private_targets=False)(
            account(kind=kind, settings={}, is_clients=False)
        )

    assert tools.reach_private is near
