"""`cdp suppression`, as somebody types it, on a real MongoDB."""

import pytest
from typer.testing import CliRunner

from cdp.cli.main import app
from tests.integration.typed_commands import make_client, settings_of

NAME = "acme-of-the-commands"


@pytest.fixture(scope="module")
def client(embedded):
    """A client whose name is typed; its list is empty at first."""

    make_client(embedded, NAME)
    return NAME


@pytest.fixture
def cdp(embedded, client):
    """Runs `cdp suppression ...`; the exit status and what was said."""

    def run(verb, *words):
        env = settings_of(embedded)
        result = CliRunner().invoke(app, ["suppression", verb, client, *words], env=env)
        return result.exit_code, result.output

    return run


def test_an_entry_is_added_listed_and_removed(cdp):
    added = cdp("add", "Ada@Example.org", "--topic", "news", "--note", "by phone")
    listed = cdp("list", "--topic", "news")
    removed = cdp("remove", "ada@EXAMPLE.org", "--topic", "news")
    again = cdp("remove", "ada@example.org", "--topic", "news")

    assert added == (0, "Ada@Example.org is suppressed; 0 stopped.\n")
    assert "ada@example.org" in listed[1]
    assert "by phone" in listed[1]
    assert removed[0] == 0
    assert again[0] == 1
    assert "There are none." in cdp("list", "--topic", "news")[1]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("x@example.org", "--channel", "fax"), "--channel"),
        (("x@example.org", "--reason", "why"), "--reason"),
        (("",), "RECIPIENT"),
        (("nobody",), "RECIPIENT"),
    ],
)
def test_what_is_wrong_is_told_by_the_name_that_was_typed(cdp, words, named):
    status, said = cdp("add", *words)

    assert status == 1
    assert named in said


@pytest.mark.parametrize("ending", ["csv", "ndjson"])
def test_a_list_goes_out_to_a_file_and_comes_in_again(cdp, tmp_path, ending):
    file, rows = tmp_path / f"list.{ending}", tmp_path / "rows.csv"
    rows.write_text("recipient,topic\na@example.org,files\n+4915112345678,files\n", "utf-8")

    status, said = cdp("import", str(rows), "--channel", "email")
    out = cdp("export", str(file), "--topic", "files")
    cdp("remove", "a@example.org", "--topic", "files")
    back = cdp("import", str(file))

    assert status == 1
    assert "Row 2: recipient: " in said
    assert "1 of 2 rows kept, 0 stopped." in said
    assert out == (0, "1 entries.\n")
    assert back == (0, "1 of 1 rows kept, 0 stopped.\n")
    assert "a@example.org" in cdp("list", "--topic", "files")[1]
