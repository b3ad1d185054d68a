"""Kinds that packages bring, over HTTP: as any other while they are there, then in nobody's way."""

from pathlib import Path

import pytest

from cdp.providers.registry import PROVIDERS
from tests.integration.http.conftest import Tenant
from tests.packages import install, install_acme, on_the_path

ACME = {"name": "acme", "kind": "sms.acme", "settings": {"token": "right"}}
RAISES = "raise RuntimeError('canary-4711')"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_acme(tmp_path_factory.mktemp("package"))


async def test_an_account_of_a_packages_kind_is_made_as_any_other(tenant: Tenant, site: Path):
    with on_the_path(site):
        kinds = (await tenant.get("/provider-kinds")).json["items"]
        made = await tenant.post("/providers", ACME)
        read = await tenant.get("/providers/acme")
        unfit = await tenant.post(
            "/providers", ACME | {"name": "b", "settings": {"token": "t", "colour": "red"}}
        )

    assert [each["kind"] for each in kinds] == [*PROVIDERS, "sms.acme"]
    assert (kinds[-1]["channel"], kinds[-1]["credentials"]) == ("sms", ["token"])
    assert set(kinds[-1]["settings"]["properties"]) >= {"token", "base_url"}
    assert made.status == 201
    assert made.json == read.json
    assert read.json["credentials"] == {"token": read.json["created_at"]}
    assert unfit.pointers == {"/settings/colour": "extra_forbidden"}


async def test_one_whose_package_is_gone_is_still_shown_and_taken_away(tenant: Tenant, site: Path):
    with on_the_path(site):
        await tenant.post("/providers", ACME)

    listed = await tenant.get("/providers")
    changed = await tenant.call("PUT", "/providers/acme", {"settings": {"token": "t"}})
    gone = await tenant.call("DELETE", "/providers/acme")

    assert listed.status == 200
    assert [set(each["credentials"]) for each in listed.json["items"]] == [{"token"}]
    assert (changed.status, changed.pointers) == (422, {"/kind": "unknown"})
    assert gone.status == 204


async def test_what_can_not_be_used_is_refused_and_stops_nothing_else(
    tenant: Tenant, site: Path, tmp_path: Path
):
    broken = install(tmp_path / "site", "broken", {"sms.broken": "broken:Provider"}, RAISES)
    with on_the_path(site, broken):
        kinds = (await tenant.get("/provider-kinds")).json["items"]
        refused = await tenant.post("/providers", ACME | {"kind": "sms.broken"})
        made = await tenant.post("/providers", ACME)

    assert [each["kind"] for each in kinds] == [*PROVIDERS, "sms.acme"]
    assert (refused.status, refused.pointers) == (422, {"/kind": "unusable"})
    assert b"canary" not in refused.body
    assert made.status == 201
