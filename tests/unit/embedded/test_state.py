import json
import stat
from pathlib import Path

import pytest

from cdp.embedded.state import MONGO_USERS, EmbeddedError, StateFolder, write_atomically


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_made_once_stays(tmp_path):
    first = StateFolder.open(tmp_path / "state")

    second = StateFolder.open(tmp_path / "state")

    assert second == first
    assert second.credentials.mongo_passwords.keys() == set(MONGO_USERS)
    assert len(set(second.credentials.mongo_passwords.values())) == len(MONGO_USERS)


def test_two_folders_share_no_secret(tmp_path):
    one, other = StateFolder.open(tmp_path / "1"), StateFolder.open(tmp_path / "2")

    assert one.instance != other.instance
    ours = json.loads(one.credentials.to_json())
    theirs = json.loads(other.credentials.to_json())
    assert all(ours[name] != theirs[name] for name in ours)


def test_only_the_owner_can_read_the_secrets(tmp_path):
    state = StateFolder.open(tmp_path / "state")

    assert mode_of(state.root) == 0o700
    assert mode_of(state.root / "credentials.json") == 0o600
    assert mode_of(state.ray_token_file) == 0o600
    assert mode_of(state.mongo_keyfile) == 0o400
    assert state.mongo_keyfile.read_text() == state.credentials.mongo_keyfile


def test_no_secret_is_printed(tmp_path):
    state = StateFolder.open(tmp_path / "state")
    secrets = json.loads(state.credentials.to_json())

    shown = repr(state)

    assert not any(password in shown for password in secrets["mongo_passwords"].values())
    assert secrets["ray_token"] not in shown


def test_a_relative_folder_keeps_its_place_when_the_current_folder_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = StateFolder.open()

    assert state.root == tmp_path / ".cdp"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(EmbeddedError, match=f"{tmp_path}/file/state cannot be written"):
        StateFolder.open(tmp_path / "file" / "state")


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"mongo_passwords": {}}'])
def test_damaged_secrets_are_not_replaced_by_others(tmp_path, damage):
    state = StateFolder.open(tmp_path)
    (state.root / "credentials.json").write_text(damage)

    with pytest.raises(EmbeddedError, match=r"credentials\.json cannot be read"):
        StateFolder.open(tmp_path)

    assert (state.root / "credentials.json").read_text() == damage


def test_a_uri_names_its_user_and_the_set(tmp_path):
    state = StateFolder.open(tmp_path)
    password = state.credentials.mongo_passwords["platform"]

    uri = state.mongo_uri("platform", 27117)

    assert uri == f"mongodb://platform:{password}@127.0.0.1:27117/cdp?replicaSet=cdp"


def test_a_file_is_replaced_and_no_other_stays(tmp_path):
    write_atomically(tmp_path / "file", "old")
    write_atomically(tmp_path / "file", "new")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "new"


def test_the_host_key_of_sftp_is_made_once(tmp_path):
    state = StateFolder.open(tmp_path)

    key = state.sftp_host_key

    assert key.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert StateFolder.open(tmp_path).sftp_host_key == key
    assert (tmp_path / "sftp-host-key").stat().st_mode & 0o777 == 0o600
