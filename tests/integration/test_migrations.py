"""What an older version has stored is brought up to what this one reads."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from cdp.domain.dead_letter import DeadLetterFilter
from cdp.domain.delivery_config import ALL, DeliveryConfig
from cdp.domain.ids import ClientId, event_id
from cdp.storage.database import Database
from cdp.storage.dead_letters import DeadLetters
from cdp.storage.delivery_configs import DeliveryConfigs
from cdp.storage.file_turns import FileTurns
from cdp.storage.migrations import migrate
from cdp.storage.senders import Senders
from cdp.storage.templates import Templates
from tests.integration.conftest import Embedded, running

CLIENT = ClientId(b"c" * 16)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with running(tmp_path_factory.mktemp("old")) as parts:
        yield parts


async def test_delivery_configs_of_the_first_version_become_levels(old: Embedded):
    admin = Database(old.mongo_uri("admin"), component="test-admin")
    collection = admin["delivery_configs"]
    await collection.create_index("client_id", name="scope", unique=True)
    await collection.insert_many(
        [
            {"client_id": None, "fields": {"attempts_max": 8}},
            {"client_id": CLIENT, "fields": {"backoff_base_s": 5.0, "at_least_once": False}},
        ]
    )
    await admin["migrations"].insert_one({"_id": 1})
    # Of this one there is a successor already: the last run died between its two writes.
    half = ClientId(b"h" * 16)
    await collection.drop_index("scope")
    successor = {**dict.fromkeys(("channel", "campaign", "segment")), "version": 1}
    successor |= {"fields": {"attempts_max": 3}, "created_at": NOW, "updated_at": NOW}
    await collection.insert_one({"client_id": half, "fields": {"attempts_max": 3}})
    await collection.insert_one({"_id": b"i" * 16, "client_id": half, **successor})
    # As the user that migrates, with the rights of that one.
    database = Database(old.mongo_uri("migrate"), component="migrate")

    assert await migrate(database) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert await migrate(database) == []

    platform, by_client = await DeliveryConfigs(admin).of_clients([CLIENT])
    assert [(each.scope, each.config) for each in platform] == [
        (ALL, DeliveryConfig(attempts_max=8))
    ]
    assert [(each.scope, each.config, each.version) for each in by_client[CLIENT]] == [
        (ALL, DeliveryConfig(backoff_initial_s=5.0, at_least_once=False), 1)
    ]
    assert await collection.count_documents({}) == 3
    assert await collection.count_documents({"client_id": half}) == 1
    assert {"scope", "level"} & set(await collection.index_information()) == {"level"}
    for each in (admin, database):
        await each.close()


async def test_what_was_for_email_alone_stands_under_its_channel(old: Embedded):
    admin = Database(old.mongo_uri("admin"), component="test-admin")
    await admin["migrations"].insert_many([{"_id": 1}, {"_id": 2}])
    parts = {"subject": "Hi", "text": "Hi"}
    head = {"client_id": CLIENT, "name": "old"}
    await admin["templates"].insert_one(
        {**head, "version": 2, "channel": "email", "updated_at": NOW}
    )
    version = {**head, "channel": "email", "parts": parts, "created_at": NOW}
    await admin["template_versions"].insert_one({"_id": b"v" * 16, "version": 2, **version})
    await admin["delivery_results"].insert_many(
        [{"_id": b"1" * 16, "lane": "high"}, {"_id": b"2" * 16, "lane": "default"}]
    )
    database = Database(old.mongo_uri("migrate"), component="migrate")

    assert await migrate(database) == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]

    templates = Templates(admin)
    assert (await templates.current(CLIENT, ["old"]))["old"].contents == {"email": {"*": parts}}
    assert [head.latest for head in await templates.page(CLIENT, after=None, limit=9)] == [2]
    lanes = [d["lane"] async for d in admin["delivery_results"].find().sort("_id", 1)]
    assert lanes == ["email.high", "email.default"]
    await database.close()
    await admin.close()


async def test_results_get_what_went_wrong_last_from_their_logs(old: Embedded):
    admin = Database(old.mongo_uri("admin"), component="test-admin")
    await admin["migrations"].insert_many([{"_id": n} for n in (1, 2, 3)])
    attempted = ("DELIVERY_ATTEMPTED", {"attempt": 1, "provider": "smtp"})
    refused = ("DELIVERY_FAILED", {"attempt": 1, "reason": "address", "code": "550 5.1.1"})
    given_up = ("UNDELIVERABLE", {"reason": "address"})
    begun = [("CREATED", {}), ("CONTENT_RESOLVED", {}), ("QUEUED", {}), attempted]
    missing = ("UNDELIVERABLE", {"reason": "template_missing"})
    logs: dict[bytes, tuple[str, int, int, list[tuple[str, dict[str, Any]]]]] = {
        b"1" * 16: ("undeliverable", 6, 1, [*begun, refused, given_up]),
        b"2" * 16: ("undeliverable", 2, 0, [("CREATED", {}), missing]),
        # Behind its log: as far as it is, nothing has failed.
        b"3" * 16: ("sending", 4, 1, [*begun, refused]),
        b"4" * 16: ("delivered", 5, 1, [*begun, ("DELIVERY_SUCCEEDED", {})]),
        b"5" * 16: ("failed", 5, 1, [*begun, refused]),
    }
    for result_id, (status, seq, attempt, events) in logs.items():
        await admin["delivery_results"].insert_one(
            {"_id": result_id, "client_id": CLIENT, "status": status, "seq": seq,
             "attempt": attempt, "updated_at": NOW}
        )  # fmt: skip
        await admin["communication_logs"].insert_many(
            {"_id": event_id(result_id, number), "event": name, "metadata": metadata,
             "created_at": NOW, "client_id": CLIENT, "writer": "t"}
            for number, (name, metadata) in enumerate(events, start=1)
        )  # fmt: skip
    database = Database(old.mongo_uri("migrate"), component="migrate")

    assert await migrate(database) == [4, 5, 6, 7, 8, 9, 10, 11, 12]

    found = {d["_id"]: d.get("failure") async for d in admin["delivery_results"].find()}
    address = {"reason": "address", "class": "permanent", "code": "550 5.1.1", "provider": "smtp"}
    assert found == {
        b"1" * 16: address,
        b"2" * 16: {"reason": "template_missing", "class": "config"},
        b"3" * 16: None,
        b"4" * 16: None,
        b"5" * 16: address,
    }
    counts = await DeadLetters(admin).counts(CLIENT, DeadLetterFilter())
    assert {each.reason: each.count for each in counts} == {"address": 1, "template_missing": 1}
    await database.close()
    await admin.close()


async def test_results_and_assignments_are_found_by_their_campaign(old: Embedded):
    admin = Database(old.mongo_uri("admin"), component="test-admin")
    await admin["migrations"].insert_many([{"_id": n} for n in (1, 2, 3, 4)])
    await admin["delivery_results"].insert_one({"_id": b"1" * 16, "client_id": CLIENT})
    database = Database(old.mongo_uri("migrate"), component="migrate")

    assert await migrate(database) == [5, 6, 7, 8, 9, 10, 11, 12]

    for name, index in (
        ("delivery_results", "campaign"),
        ("segment_assignments", "campaign"),
        ("campaigns", "epoch"),
        ("campaigns", "settled"),
    ):
        assert index in await admin[name].index_information()
    await database.close()
    await admin.close()


async def test_the_sender_of_a_channel_becomes_its_default(old: Embedded):
    admin = Database(old.mongo_uri("admin"), component="test-admin")
    await admin["migrations"].insert_many([{"_id": n} for n in (1, 2, 3, 4, 5)])
    collection = admin["senders"]
    await collection.insert_many(
        [
            {"client_id": CLIENT, "channel": "email", "email": "a@b.example", "name": "Acme"},
            {"client_id": b"d" * 16, "channel": "email", "email": "d@b.example", "name": ""},
        ]
    )
    # Of this one there is a successor already: the last run died between its two writes.
    half = {"client_id": b"h" * 16, "channel": "email"}
    await collection.insert_one({**half, "email": "h@b.example", "name": "Half"})
    successor = {"name": "default", "is_default": True, "version": 1, "address": "h@b.example"}
    await collection.insert_one(
        {"_id": b"i" * 16, **half, **successor, "created_at": NOW, "updated_at": NOW}
    )
    await collection.create_index("other", name="client")
    database = Database(old.mongo_uri("migrate"), component="migrate")

    assert await migrate(database) == [6, 7, 8, 9, 10, 11, 12]

    clients = [CLIENT, ClientId(b"d" * 16), ClientId(b"h" * 16)]
    found = await Senders(admin).across_clients(clients)
    shown = [[(s.name, s.pair, s.is_default) for s in found[each]] for each in clients]
    assert shown == [
        [("default", ("a@b.example", "Acme"), True)],
        [("default", ("d@b.example", ""), True)],
        [("default", ("h@b.example", ""), True)],
    ]
    assert await collection.count_documents({}) == 3
    assert {"client", "default"} & set(await collection.index_information()) == {"default"}
    await database.close()
    await admin.close()


async def test_files_that_ended_in_the_middle_have_their_batches_closed(old: Embedded):
    admin = Database(old.mongo_uri("admin"), component="test-admin")
    await admin["migrations"].insert_many([{"_id": number} for number in range(1, 10)])
    began = {"client_id": CLIENT, "started_at": NOW, "lease_until": NOW}
    await admin["files"].insert_many(
        [
            {"_id": b"f" * 16, "state": "failed", **began},
            {"_id": b"c" * 16, "state": "cancelled", **began},
            {"_id": b"d" * 16, "state": "done", **began},
            # Taken back before it had begun.
            {"_id": b"h" * 16, "state": "cancelled", "client_id": CLIENT, "lease_until": NOW},
        ]
    )
    database = Database(old.mongo_uri("migrate"), component="migrate")

    assert await migrate(database) == [10, 11, 12]

    found = await FileTurns(admin).open_batches_across_clients(limit=10)
    assert {file.id for file in found} == {b"f" * 16, b"c" * 16}
    await database.close()
    await admin.close()


async def test_files_of_before_get_the_indexes_of_those_that_come_by_object_storage(old: Embedded):
    admin = Database(old.mongo_uri("admin"), component="test-admin")
    await migrate(admin)
    indexes = await admin["files"].index_information()
    for name in ("receiving", "overdue", "awaited", "object"):
        await admin["files"].drop_index(name)
    await admin["migrations"].delete_one({"_id": 11})
    database = Database(old.mongo_uri("migrate"), component="migrate")

    assert await migrate(database) == [11]

    assert await admin["files"].index_information() == indexes
    await database.close()
    await admin.close()
