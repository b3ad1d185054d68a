import pytest

from cdp.providers.email.smtp import SmtpProvider
from cdp.providers.registry import (
    PROVIDERS,
    UnknownProvider,
    UnusableProvider,
    load,
    names,
    unusable,
)
from cdp.services.provider_kinds import kinds
from tests.packages import install, on_the_path


def test_a_provider_is_found_by_its_name():
    assert load("email.smtp") is SmtpProvider


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_each_row_leads_to_a_provider(name):
    provider = load(name)

    assert callable(provider.deliver)
    assert callable(provider.close)


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownProvider, match=r"sms\.acme"):
        load("sms.acme")


# Packages of others

GOOD = """
from cdp.providers.settings import ProviderSettings

class Settings(ProviderSettings):
    account: str

class Good:
    Settings = Settings

    @classmethod
    def open(cls, settings, tools):
        return cls()

class Closed:
    pass

class Unopened:
    Settings = Settings

class Open(Good):
    from pydantic import BaseModel as Settings

class Odd(Good):
    class Settings(ProviderSettings):
        model_config = {"arbitrary_types_allowed": True}
        what: Good
"""
BROKEN = {
    "raises": ("sms.raises", "raises", "raise RuntimeError('no licence')",
               "importing it raises RuntimeError: no licence"),
    "exits": ("sms.exits", "exits", "raise SystemExit(3)", "importing it raises SystemExit: 3"),
    "wrong": ("sms.wrong", "wrong:None_such", "",
              "importing it raises AttributeError: module 'wrong' has no attribute 'None_such'"),
    "gone": ("sms.gone", "gone.sub", "",
             "importing it raises ModuleNotFoundError: "
             "No module named 'gone.sub'; 'gone' is not a package"),
    "closed": ("sms.closed", "closed:Closed", GOOD, "it has no Settings that are a pydantic model"),
    "a_module": ("sms.a_module", "a_module", GOOD, "it has no method open"),
    "unopened": ("sms.unopened", "unopened:Unopened", GOOD, "it has no method open"),
    "opened": ("sms.opened", "opened:Open", GOOD, 'its Settings are not closed (extra="forbid")'),
    "odd": ("sms.odd", "odd:Odd", GOOD, "its Settings have no JSON schema"),
    "pigeon": ("pigeon.post", "pigeon:Good", GOOD,
               "a name is CHANNEL.VENDOR, and the channels are email, sms, push, in_app, webhook"),
    "spaced": ("sms.A B", "spaced:Good", GOOD,
               "a name is CHANNEL.VENDOR, and the channels are email, sms, push, in_app, webhook"),
}  # fmt: skip


def test_a_packages_provider_is_found_and_only_while_it_is_there(tmp_path):
    install(tmp_path / "site", "good", {"sms.good": "good:Good"}, GOOD)

    with on_the_path(tmp_path / "site"):
        assert load("sms.good").__qualname__ == "Good"
        assert names() == [*PROVIDERS, "sms.good"]
        assert unusable() == []
    assert names() == list(PROVIDERS)


@pytest.mark.parametrize(("name", "value", "module", "reason"), BROKEN.values(), ids=BROKEN)
def test_what_can_not_be_used_is_told_precisely_and_stops_nothing_else(
    tmp_path, name, value, module, reason
):
    package = value.partition(":")[0].partition(".")[0]
    install(tmp_path / "site", package, {name: value}, module)
    install(tmp_path / "site", "good", {"sms.good": "good:Good"}, GOOD)
    told = f"{name} of {package} 1.0 ({value}): {reason}"

    with on_the_path(tmp_path / "site"):
        with pytest.raises(UnusableProvider) as refused:
            load(name)
        assert unusable() == [told]
        assert str(refused.value) == told
        assert callable(load("sms.good").open)
        assert load("email.smtp") is SmtpProvider
        assert [each.kind for each in kinds()] == [*PROVIDERS, "sms.good"]


def test_the_platforms_own_is_not_replaced(tmp_path):
    install(tmp_path / "site", "thief", {"email.smtp": "thief:Good"}, "raise SystemExit")

    with on_the_path(tmp_path / "site"):
        assert load("email.smtp") is SmtpProvider
        assert names() == list(PROVIDERS)
        assert unusable() == [
            "email.smtp of thief 1.0 (thief:Good): the platform's own has this name"
        ]


def test_of_two_packages_with_one_name_neither_is_taken(tmp_path):
    for package in ("one", "two"):
        install(tmp_path / "site", package, {"sms.same": f"{package}:Good"}, GOOD)

    with on_the_path(tmp_path / "site"):
        with pytest.raises(UnusableProvider, match="several packages have this name"):
            load("sms.same")
        [told] = unusable()
        assert "one 1.0" in told
        assert "two 1.0" in told


def test_what_fails_to_import_is_tried_once(tmp_path):
    noted = tmp_path / "noted"
    module = f"with open({str(noted)!r}, 'a') as f:\n    f.write('x')\nraise RuntimeError"
    install(tmp_path / "site", "raises", {"sms.raises": "raises:Good"}, module)

    with on_the_path(tmp_path / "site"):
        for _ in range(3):
            assert len(unusable()) == 1
    assert noted.read_text() == "x"
