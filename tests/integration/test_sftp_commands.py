"""`cdp sftp account`, as somebody types it, on a real MongoDB."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner

from cdp.cli.main import app
from tests.integration.typed_commands import make_client, settings_of

NAME = "acme-of-the-sftp-commands"


@pytest.fixture(scope="module")
def client(embedded):
    """A client whose name is typed; it has no account at first."""

    make_client(embedded, NAME)
    return NAME


@pytest.fixture
def account(embedded, client):
    """Runs `cdp sftp account ...`; the exit status and what was said."""

    def run(*words, text=None):
        env = settings_of(embedded)
        result = CliRunner().invoke(app, ["sftp", "account", *words], env=env, input=text)
        return result.exit_code, result.output

    return run


def key_line() -> str:
    key = Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def test_an_account_is_added_changed_listed_and_removed(account, tmp_path):
    file = tmp_path / "id.pub"
    file.write_text(f"{key_line()} somebody@laptop\n")

    added = account("add", NAME, "acme-orders", str(file), "--template", "welcome")
    twice = account("add", NAME, "acme-orders", str(file))
    closed = account("set", NAME, "acme-orders", "--disabled", "--quota-files", "20")
    listed = account("list", NAME)
    removed = account("remove", NAME, "acme-orders")
    again = account("remove", NAME, "acme-orders")

    assert added[0] == 0, added
    assert "ssh-ed25519 SHA256:" in added[1]
    assert (twice[0], "taken" in twice[1]) == (1, True)
    assert (closed[0], "disabled" in closed[1], "20 files" in closed[1]) == (0, True, True)
    assert (listed[0], "template welcome" in listed[1], "no" in listed[1]) == (0, True, True)
    assert (removed[0], again[0]) == (0, 1)


def test_keys_are_added_and_removed_and_the_last_one_stays(account):
    first, second = key_line(), key_line()
    assert account("add", NAME, "acme-keys", "-", text=first)[0] == 0

    account("keys", "add", NAME, "acme-keys", "-", text=second)
    listed = account("keys", "list", NAME, "acme-keys")[1].split()
    prints = [word for word in listed if word.startswith("SHA256:")]
    one = account("keys", "remove", NAME, "acme-keys", prints[0])
    both = account("keys", "remove", NAME, "acme-keys", prints[1])
    none = account("keys", "remove", NAME, "acme-keys", "SHA256:nothing")

    assert len(prints) == 2
    assert (one[0], prints[1] in one[1], prints[0] in one[1]) == (0, True, False)
    assert (both[0], "disable it" in both[1]) == (1, True)
    assert (none[0], "SHA256:nothing" in none[1]) == (1, True)


@pytest.mark.parametrize(
    "words", [("--quota-bytes", "0"), ("--quota-files", "0"), ("--quota-files", "10001")]
)
def test_a_quota_has_bounds(account, words):
    account("add", NAME, "acme-quota", "-", text=key_line())

    status, said = account("set", NAME, "acme-quota", *words)

    assert (status, words[0].removeprefix("--").replace("-", "_") in said) == (1, True)
