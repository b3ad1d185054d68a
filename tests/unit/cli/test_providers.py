"""What `cdp provider set` reads from its arguments."""

import pytest

from cdp.cli.providers import merged, read_settings
from cdp.errors import Invalid
from cdp.services.provider_kinds import kind_of

SMTP = kind_of("email.smtp")
RECORD = "dkim_keys/s1._domainkey.shop.example"
FILES = {"password.txt": "secret", "-": "typed"}


def read(*given: str):
    return read_settings(SMTP, list(given), read=FILES.__getitem__)


def test_a_credential_is_read_from_a_file_and_anything_else_as_it_stands():
    assert read("host=@host", "password=@password.txt", f"{RECORD}=@-", "port=25", "a/b=c=d") == {
        "host": "@host",
        "password": "secret",
        RECORD: "typed",
        "port": "25",
        "a/b": "c=d",
    }


@pytest.mark.parametrize("given", ["port", "=5", "", "password=secret", f"{RECORD}=PEM"])
def test_what_is_no_setting_or_shows_a_credential_is_refused(given):
    with pytest.raises(Invalid) as refused:
        read(given)

    assert "secret" not in refused.value.errors[0].detail


def test_a_file_ends_where_its_text_does(tmp_path):
    path = tmp_path / "password"
    path.write_text(" secret \r\n\n")

    assert read_settings(SMTP, [f"password=@{path}"]) == {"password": " secret "}
    with pytest.raises(Invalid) as refused:
        read_settings(SMTP, [f"password=@{tmp_path}/none"])
    assert "can't be read" in refused.value.errors[0].detail


def test_changes_leave_the_other_settings_and_take_away_what_is_empty():
    stored = {"host": "smtp.example", "port": 25}
    changes = read("port=", "security=tls", "helo_name=", "password=", f"{RECORD}=@-", "port/x=5")

    assert merged(SMTP, stored, changes) == {
        "host": "smtp.example",
        "security": "tls",
        "password": None,
        "dkim_keys": {"s1._domainkey.shop.example": "typed"},
        "port/x": "5",
    }
    assert stored == {"host": "smtp.example", "port": 25}
