"""Accounts for SFTP over HTTP: who may drop files for a client."""

import asyncio

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from cdp.domain.sftp_account import ACCOUNTS_MAX, KEYS_MAX
from tests.integration.http.conftest import Got, Tenant


def public(key) -> str:
    """As ssh-keygen writes it, with a comment."""
    encoding, form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    line: bytes = key.public_key().public_bytes(encoding, form)
    return line.decode() + " somebody@laptop"


KEY = public(ed25519.Ed25519PrivateKey.generate())
OTHER_KEY = public(ec.generate_private_key(ec.SECP256R1()))
WEAK_KEY = public(rsa.generate_private_key(public_exponent=65537, key_size=2048))


async def put(tenant: Tenant, name: str, body: object, **headers: str) -> Got:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return await tenant.call("PUT", f"/sftp-accounts/{name}", body, headers=sent)


def login(tenant: Tenant, tail: str = "") -> str:
    """A login that no other test has."""
    return f"t{tenant.client.id.hex()[-20:]}{tail}"


async def test_an_account_is_made_changed_and_taken_away(tenant: Tenant):
    name = login(tenant)
    made = await put(tenant, name, {"keys": [KEY, KEY], "template": "welcome"})
    same = await put(tenant, name, {"keys": [KEY], "template": "welcome"})
    changed = await put(tenant, name, {"keys": [OTHER_KEY], "enabled": False}, If_Match='"1"')

    assert (made.status, same.status, changed.status) == (201, 200, 200)
    assert [a.json["version"] for a in (made, same, changed)] == [1, 1, 2]
    assert changed.headers["ETag"] == '"2"'
    [key] = made.json["keys"]
    assert key["key"] == KEY.rpartition(" ")[0]
    assert key["fingerprint"].startswith("SHA256:")
    assert "laptop" not in made.body.decode()
    assert (made.json["template"], changed.json["template"]) == ("welcome", None)
    assert (made.json["enabled"], changed.json["enabled"]) == (True, False)
    assert (await tenant.get(f"/sftp-accounts/{name}")).json == changed.json
    assert (await put(tenant, name, {"keys": [KEY]}, If_Match='"1"')).status == 412
    assert (await put(tenant, name + "x", {"keys": [KEY]}, If_Match="*")).status == 412
    path = f"/sftp-accounts/{name}"
    assert (await tenant.call("DELETE", path, headers={"If-Match": '"1"'})).status == 412
    assert (await tenant.call("DELETE", path)).status == 204
    assert (await tenant.get(path)).status == 404
    assert (await tenant.call("DELETE", path)).status == 404


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/keys": "missing"}),
        ({"keys": []}, {"/keys": "too_short"}),
        ({"keys": [KEY] * (KEYS_MAX + 1)}, {"/keys": "too_long"}),
        ({"keys": ["nonsense"]}, {"/keys/0": "public_key_invalid"}),
        ({"keys": [KEY, KEY[:40]]}, {"/keys/1": "public_key_invalid"}),
        ({"keys": [WEAK_KEY]}, {"/keys/0": "public_key_invalid"}),
        ({"keys": ['command="sh" ' + KEY]}, {"/keys/0": "public_key_invalid"}),
        ({"keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}, {"/keys/0": "public_key_invalid"}),
        ({"keys": [KEY], "channel": "fax"}, {"/channel": "literal_error"}),
        ({"keys": [KEY], "quota_bytes": 1}, {"/quota_bytes": "extra_forbidden"}),
    ],
)
async def test_a_wrong_account_is_refused_and_changes_nothing(tenant: Tenant, body, pointers):
    answer = await put(tenant, login(tenant), body)

    assert (answer.status, answer.pointers) == (422, pointers)
    assert (await tenant.get("/sftp-accounts")).json["items"] == []


@pytest.mark.parametrize("name", ["a", "1ab", "Upper", "a.b.c", "x" * 33, "a%20b"])
async def test_a_login_that_nobody_can_have_is_refused(tenant: Tenant, name):
    answer = await put(tenant, name, {"keys": [KEY]})

    assert (answer.status, answer.pointers) == (422, {"name": "name_invalid"})


async def test_a_login_is_one_over_all_clients_and_seen_by_its_own(tenant: Tenant, other: Tenant):
    name = login(tenant)
    await put(tenant, name, {"keys": [KEY]})

    assert (await put(other, name, {"keys": [OTHER_KEY]})).status == 409
    assert (await other.get(f"/sftp-accounts/{name}")).status == 404
    assert (await other.call("DELETE", f"/sftp-accounts/{name}")).status == 404
    assert (await other.get("/sftp-accounts")).json["items"] == []
    [shown] = (await tenant.get("/sftp-accounts")).json["items"]
    assert shown["keys"][0]["key"] == KEY.rpartition(" ")[0]


async def test_accounts_are_listed_by_name_page_by_page(tenant: Tenant):
    for tail in "bca":
        await put(tenant, login(tenant, tail), {"keys": [KEY]})

    first = (await tenant.get("/sftp-accounts?limit=2")).json
    rest = (await tenant.get(f"/sftp-accounts?limit=2&cursor={first['next_cursor']}")).json

    names = [each["name"] for each in (*first["items"], *rest["items"])]
    assert names == [login(tenant, tail) for tail in "abc"]
    assert rest["next_cursor"] is None


async def test_racing_clients_get_one_account(tenant: Tenant):
    answers = await asyncio.gather(*(put(tenant, login(tenant), {"keys": [KEY]}) for _ in range(6)))

    assert sorted(a.status for a in answers) == [200] * 5 + [201]
    assert len((await tenant.get("/sftp-accounts")).json["items"]) == 1


async def test_there_is_an_end_to_accounts(tenant: Tenant):
    for number in range(ACCOUNTS_MAX):
        await put(tenant, login(tenant, str(number)), {"keys": [KEY]})

    assert (await put(tenant, login(tenant, "more"), {"keys": [KEY]})).status == 409
