"""What `cdp sftp account` reads from its arguments."""

import pytest

from cdp.cli.sftp import read_account, read_key_lines
from cdp.errors import Invalid
from cdp.http.examples import SFTP_ACCOUNTS

[KEY] = SFTP_ACCOUNTS["partner"]["keys"]


def test_keys_come_from_files_without_comments_and_empty_lines(tmp_path):
    file = tmp_path / "keys.pub"
    file.write_text(f"# ours\n\n{KEY} somebody@laptop\n")

    [line] = read_key_lines([str(file)])

    account = read_account([line], template="welcome", campaign=None)
    assert [key.text for key in account.keys] == [KEY]
    assert account.defaults == {"template": "welcome"}


def test_a_private_key_is_refused_in_one_sentence(tmp_path):
    file = tmp_path / "id"
    file.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----\n")

    with pytest.raises(Invalid) as refused:
        read_account(read_key_lines([str(file)]))

    [error] = refused.value.errors
    assert (error.pointer, "private key" in error.detail) == ("the keys", True)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(Invalid) as refused:
        read_key_lines([str(tmp_path / "none.pub")])

    assert "none.pub" in refused.value.errors[0].detail


def test_an_option_that_does_not_fit_is_refused_by_its_name():
    with pytest.raises(Invalid) as refused:
        read_account([KEY], channel="fax")

    assert [error.pointer for error in refused.value.errors] == ["--channel"]
