"""The keeper and its mongod, as `cdp up` uses them."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psutil
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from pymongo.synchronous.database import Database

from cdp.embedded import mongod, processes
from cdp.embedded.keeper import (
    KeeperOptions,
    MongodOptions,
    keeper_status,
    start_keeper,
    stop_keeper,
)
from cdp.embedded.state import MONGO_USERS, EmbeddedError, StateFolder
from cdp.storage import bootstrap
from cdp.storage.bootstrap import INSERT_ONLY
from tests.integration.conftest import Embedded, free_options, running
from tests.waiting import eventually_sync

NOT_ALLOWED = 13


@contextmanager
def connected(uri: str, **options: Any) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](uri, **options) as client:
        yield client["cdp"]


def pid_of(state: StateFolder, part: str) -> int | None:
    status = keeper_status(state)
    found = getattr(status, part) if status else None
    return found.pid if found else None


def refused(error: pytest.ExceptionInfo[OperationFailure]) -> bool:
    return error.value.code == NOT_ALLOWED


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A keeper whose parts these tests may kill."""
    with running(tmp_path_factory.mktemp("own")) as parts:
        yield parts


@pytest.mark.parametrize("collection", INSERT_ONLY)
def test_the_platform_user_cannot_change_the_log(embedded, collection):
    with connected(embedded.mongo_uri("platform")) as database:
        inserted = database[collection].insert_one({"what": "happened"}).inserted_id
        assert database[collection].find_one({"_id": inserted}) is not None

        with pytest.raises(OperationFailure) as error:
            database[collection].update_one({"_id": inserted}, {"$set": {"what": "else"}})
        assert refused(error)
        with pytest.raises(OperationFailure) as error:
            database[collection].replace_one({"_id": inserted}, {"what": "else"}, upsert=True)
        assert refused(error)
        with pytest.raises(OperationFailure) as error:
            database[collection].delete_one({"_id": inserted})
        assert refused(error)
        with pytest.raises(OperationFailure) as error:
            database.drop_collection(collection)
        assert refused(error)


def test_the_platform_user_cannot_write_over_the_log_by_a_query(embedded):
    with connected(embedded.mongo_uri("platform")) as database:
        database["clients"].insert_one({"name": "elsewhere"})

        for stage in ({"$out": "communication_logs"}, {"$merge": "communication_logs"}):
            with pytest.raises(OperationFailure) as error:
                database["clients"].aggregate([stage])
            assert refused(error)


def test_the_platform_user_may_change_results_but_not_remove_them(embedded):
    with connected(embedded.mongo_uri("platform")) as database:
        database["delivery_results"].insert_one({"_id": b"r", "status": "queued"})
        database["delivery_results"].update_one({"_id": b"r"}, {"$set": {"status": "sent"}})

        with pytest.raises(OperationFailure) as error:
            database["delivery_results"].delete_one({"_id": b"r"})
        assert refused(error)


def test_a12_the_tracking_user_cannot_read_api_keys(embedded):
    with connected(embedded.mongo_uri("tracking")) as database:
        database["communication_logs"].insert_one({"event": "opened"})
        database["suppressions"].insert_one({"address": "ada@example.org"})
        database["links"].find_one({})

        for name in ("api_keys", "clients", "communications", "recipients", "suppressions"):
            with pytest.raises(OperationFailure) as error:
                database[name].find_one({})
            assert refused(error)


def test_the_retention_user_removes_but_reads_no_configuration(embedded):
    with connected(embedded.mongo_uri("retention")) as database:
        database["communications"].delete_many({"_id": "nothing"})
        database["ledger"].update_one({"_id": "c"}, {"$inc": {"removed": 0}}, upsert=True)

        with pytest.raises(OperationFailure) as error:
            database["api_keys"].find_one({})
        assert refused(error)


def test_the_migration_user_makes_indexes_but_removes_nothing(embedded):
    with connected(embedded.mongo_uri("migrate")) as database:
        database["a_new_one"].create_index("field", name="field")
        database["a_new_one"].drop_index("field")
        assert "a_new_one" in database.list_collection_names()

        with pytest.raises(OperationFailure) as error:
            database["communication_logs"].delete_many({})
        assert refused(error)


def test_the_mailbox_user_sees_the_mailbox_only(embedded):
    with connected(embedded.mongo_uri("mailbox")) as database:
        database["mailbox"].find_one({})

        with pytest.raises(OperationFailure) as error:
            database["clients"].find_one({})
        assert refused(error)


def test_nothing_is_read_without_a_password(embedded):
    bare = f"mongodb://127.0.0.1:{embedded.status.mongo_port}/"

    with connected(bare, directConnection=True) as database, pytest.raises(OperationFailure) as e:
        database["clients"].find_one({})

    assert refused(e)


def test_o7_the_wire_is_not_compressed(embedded):
    with connected(embedded.mongo_uri("admin")) as database:
        answer = database.client.admin.command("hello", compression=["snappy", "zlib", "zstd"])

    assert not answer.get("compression")


def test_o7_everything_listens_on_the_loopback_address_only(embedded):
    listening = [
        (process.name(), connection.laddr.ip)
        for process in processes.processes_of(embedded.state.instance)
        for connection in process.net_connections(kind="all")
        if connection.status == psutil.CONN_LISTEN
    ]

    assert len(listening) >= 3
    assert {ip for _, ip in listening} == {"127.0.0.1"}


def test_no_secret_stands_on_a_command_line(embedded):
    lines = [
        " ".join(process.cmdline()) for process in processes.processes_of(embedded.state.instance)
    ]

    assert len(lines) == 3
    for secret in embedded.state.credentials.mongo_passwords.values():
        assert not any(secret in line for line in lines)


def test_o7_an_old_release_is_refused_in_production(tmp_path):
    state = StateFolder.open(tmp_path)

    with pytest.raises(EmbeddedError, match="refused in production"):
        start_keeper(state, replace(free_options(), production=True))

    assert keeper_status(state) is None


def test_a_second_start_finds_the_keeper_that_runs(own):
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: start_keeper(own.state, free_options()), range(3)))

    assert {status.pid for status in found} == {own.status.pid}


@pytest.mark.parametrize("part", ["mongod", "mailbox"])
def test_a_killed_part_comes_back(own, part):
    before = pid_of(own.state, part)
    assert before is not None

    os.kill(before, signal.SIGKILL)

    eventually_sync(lambda: pid_of(own.state, part) not in {None, before}, within_s=10)
    with connected(own.mongo_uri("platform")) as database:
        database["clients"].insert_one({"name": f"after the death of {part}"})
    port = own.status.mailbox_smtp_port
    eventually_sync(lambda: not processes.port_is_free(port), within_s=10)
    assert getattr(keeper_status(own.state), part).restarts >= 1


def test_given_a_killed_keeper_when_started_again_then_the_orphans_are_replaced(tmp_path):
    with running(tmp_path) as one:
        orphans = [pid_of(one.state, "mongod"), pid_of(one.state, "mailbox")]
        with connected(one.mongo_uri("platform")) as database:
            database["clients"].insert_one({"name": "kept"})
        os.kill(one.status.pid, signal.SIGKILL)
        eventually_sync(lambda: keeper_status(one.state) is None, within_s=5)

        # On other ports, which the replica set has to learn.
        again = Embedded(state=one.state, status=start_keeper(one.state, free_options()))

        assert again.status.pid != one.status.pid
        assert not any(processes.our_process(pid, one.state.instance) for pid in orphans)
        with connected(again.mongo_uri("platform")) as database:
            assert database["clients"].find_one({"name": "kept"}) is not None


def test_stop_leaves_no_process_and_loses_nothing(tmp_path):
    state = StateFolder.open(tmp_path)
    options = free_options()
    assert options.mongod is not None
    for name in ("first", "second"):
        start_keeper(state, options)
        with connected(state.mongo_uri("platform", options.mongod.port)) as database:
            database["clients"].insert_one({"name": name})
            names = {client["name"] for client in database["clients"].find()}

        assert stop_keeper(state)

        assert processes.processes_of(state.instance) == []
        assert processes.port_is_free(options.mongod.port)
    assert names == {"first", "second"}
    assert not stop_keeper(state)


def test_given_damaged_data_files_when_started_then_it_says_so_and_leaves_nothing(tmp_path):
    state = StateFolder.open(tmp_path)
    (state.mongo_data / "storage.bson").write_text("not a database")
    options = KeeperOptions(mongod=MongodOptions(port=processes.free_port()), mailbox=None)

    with pytest.raises(EmbeddedError, match="mongod ended at once"):
        start_keeper(state, options)

    assert processes.processes_of(state.instance) == []


def test_given_new_passwords_when_started_then_the_users_have_them(tmp_path):
    """Roles and users are written at each start: an upgrade changes them without a step."""
    state = StateFolder.open(tmp_path)
    options = KeeperOptions(mongod=MongodOptions(port=processes.free_port()), mailbox=None)
    assert options.mongod is not None
    start_keeper(state, options)
    with connected(state.mongo_uri("admin", options.mongod.port)) as database:
        database.command("updateUser", "platform", pwd="another")
        database.command("dropUser", "tracking")
    stop_keeper(state)

    start_keeper(state, options)

    try:
        for user in MONGO_USERS:
            with connected(state.mongo_uri(user, options.mongod.port)) as database:
                database.client.admin.command("ping")
    finally:
        stop_keeper(state)


def test_given_a_first_start_cut_short_when_started_on_another_port_then_it_begins_anew(
    tmp_path,
):
    """A replica set without users: nobody may tell it that its port is another."""
    state = StateFolder.open(tmp_path)
    options = MongodOptions(port=processes.free_port(), cache_gb=0.25)
    mongod.prepare_data(state)
    with subprocess.Popen(mongod.command(mongod.find_binary(), state, options)) as process:
        eventually_sync(lambda: asyncio.run(processes.answers(options.port)), within_s=20)
        asyncio.run(bootstrap.initiate_replica_set(options.port))
        process.kill()

    status = start_keeper(
        state, KeeperOptions(mongod=MongodOptions(port=processes.free_port()), mailbox=None)
    )

    try:
        assert status.ready
        assert not state.mongo_unfinished.exists()
    finally:
        stop_keeper(state)


def test_data_whose_first_start_is_over_is_never_begun_anew(tmp_path):
    state = StateFolder.open(tmp_path)
    (state.mongo_data / "collection.wt").write_text("all of it")

    mongod.prepare_data(state)
    mongod.prepare_data(state)

    assert (state.mongo_data / "collection.wt").read_text() == "all of it"
    assert not state.mongo_unfinished.exists()
