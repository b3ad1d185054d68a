import json
import os
import socket

import pytest

from cdp.embedded import mongod, processes
from cdp.embedded.keeper import check
from cdp.embedded.keeper_status import (
    KeeperOptions,
    KeeperStatus,
    MailboxOptions,
    PartStatus,
)
from cdp.embedded.mongod import MongodBinary, MongodOptions
from cdp.embedded.state import EmbeddedError, StateFolder


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """A program called mongod that comes first on PATH."""

    def put(script):
        program = tmp_path / "mongod"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return program

    return put


def test_the_mongod_on_path_is_taken(on_path):
    program = on_path("echo db version v8.0.21")

    assert mongod.find_binary() == MongodBinary(path=program, version=(8, 0, 21))


@pytest.mark.parametrize(
    ("library", "package"), [("libcurl.so.4", "libcurl4"), ("libssl.so.3", "libssl3")]
)
def test_a_missing_library_is_named_with_the_line_to_run(on_path, library, package):
    on_path(
        f"echo mongod: error while loading shared libraries: {library}: cannot open >&2; exit 127"
    )

    with pytest.raises(EmbeddedError, match=f"apt-get install --yes {package}`"):
        mongod.find_binary()


@pytest.mark.parametrize("script", ["exit 132", "echo something else", "kill -ILL $$"])
def test_a_mongod_that_does_not_start_is_refused(on_path, script):
    on_path(script)

    with pytest.raises(EmbeddedError, match="does not start"):
        mongod.find_binary()


@pytest.mark.parametrize("version", [(6, 0, 5), (7, 0, 31), (8, 0, 20), (5, 0, 99)])
def test_o7_a_release_with_known_holes_is_refused_in_production(tmp_path, version):
    with pytest.raises(EmbeddedError, match=r"refused in production.*CDP_MONGO_URI"):
        mongod.require_safe_for_production(MongodBinary(path=tmp_path, version=version))


@pytest.mark.parametrize("version", [(7, 0, 32), (8, 0, 21), (8, 2, 0), (9, 0, 0)])
def test_a_mended_release_is_good_for_production(tmp_path, version):
    mongod.require_safe_for_production(MongodBinary(path=tmp_path, version=version))


def test_o7_the_command_line_keeps_the_wire_closed(tmp_path):
    state = StateFolder.open(tmp_path)
    binary = MongodBinary(path=tmp_path / "mongod", version=(6, 0, 5))

    line = " ".join(mongod.command(binary, state, MongodOptions(port=1)))

    assert "--networkMessageCompressors disabled" in line
    assert "--bind_ip 127.0.0.1" in line
    assert f"--keyFile {state.mongo_keyfile}" in line
    assert "--nounixsocket" in line
    assert "enableTestCommands" not in line


def test_the_last_complaint_of_the_log_is_told(tmp_path):
    state = StateFolder.open(tmp_path)
    entries = [
        {"s": "E", "msg": "first"},
        {"s": "E", "msg": "ended", "attr": {"error": "DBException: no room."}},
        {"s": "I", "msg": "later"},
    ]
    lines = [*map(json.dumps, entries), "not JSON"]
    state.log_file("mongod").write_text("\n".join(lines))

    assert mongod.failure_in_log(state).startswith("DBException: no room (see /")


@pytest.mark.parametrize(
    ("variable", "field"),
    [("CDP_MAILBOX_SMTP_PORT", "smtp_port"), ("CDP_MAILBOX_HTTP_PORT", "http_port")],
)
def test_a_taken_port_is_found_before_anything_starts(variable, field):
    ports = {"smtp_port": processes.free_port(), "http_port": processes.free_port()}
    with socket.create_server(("127.0.0.1", 0)) as server:
        ports[field] = server.getsockname()[1]
        mailbox = MailboxOptions(mongo_uri="mongodb://elsewhere/", **ports)

        with pytest.raises(EmbeddedError, match=f"Port {ports[field]}.*{variable}"):
            check(KeeperOptions(mongod=None, mailbox=mailbox))


def test_a_mailbox_without_a_mongodb_is_refused():
    with pytest.raises(EmbeddedError, match="CDP_MONGO_URI"):
        check(KeeperOptions(mongod=None))


@pytest.mark.parametrize(
    "options",
    [
        KeeperOptions(),
        KeeperOptions(mongod=None, mailbox=MailboxOptions(mongo_uri="mongodb://u:secret@h/")),
        KeeperOptions(mongod=MongodOptions(port=1, chaos=True), mailbox=None, production=True),
    ],
)
def test_the_options_reach_the_keeper_but_for_the_password(options):
    text = options.to_json()

    assert "secret" not in text
    uri = options.mailbox.mongo_uri if options.mailbox else None
    assert KeeperOptions.from_json(text, mailbox_uri=uri) == options


def test_a_status_is_read_as_it_was_written(tmp_path):
    state = StateFolder.open(tmp_path)
    assert KeeperStatus.read(state) is None
    status = KeeperStatus(pid=1, ready=True, mongo_port=2, mongod=PartStatus(pid=None, restarts=3))

    status.write(state)

    assert KeeperStatus.read(state) == status
