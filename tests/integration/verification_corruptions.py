"""What a bug, a crash or a hand could do to the database, each with the rule that must notice.

A corruption returns the id that the audit is to name, or None where it is about no single one.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from cdp.domain.event import EventName
from cdp.domain.ids import ResultId, event_id, text_of, unnumbered_event_id
from tests.integration.verification_world import CLOCK, World, new_id

Act = Callable[[World], Awaitable[ResultId | None]]
CORRUPTIONS: list[tuple[str, Act]] = []
E = EventName
LOG, RESULTS = "communication_logs", "delivery_results"


def breaks(rule: str) -> Callable[[Act], Act]:
    def register(act: Act) -> Act:
        CORRUPTIONS.append((rule, act))
        return act

    return register


async def set_result(world: World, name: str, **fields: Any) -> ResultId:
    result_id = world.results[name]
    await world.admin[RESULTS].update_one({"_id": result_id}, {"$set": fields})
    return result_id


async def set_event(world: World, name: str, number: int, **fields: Any) -> ResultId:
    result_id = world.results[name]
    await world.admin[LOG].update_one({"_id": event_id(result_id, number)}, {"$set": fields})
    return result_id


async def add_event(
    world: World, name: str, number: int, event: EventName, **metadata: Any
) -> ResultId:
    result_id = world.results[name]
    [before] = await world.admin[LOG].find({"_id": event_id(result_id, 1)}).to_list()
    new = {"_id": event_id(result_id, number), "event": event.value, "metadata": metadata}
    await world.admin[LOG].insert_one(before | new | {"created_at": CLOCK.now()})
    return result_id


async def remove(world: World, collection: str, name: str) -> ResultId:
    result_id = world.results[name]
    await world.admin[collection].delete_one({"_id": result_id})
    return result_id


async def remove_log(world: World, result_id: ResultId) -> None:
    bounds = {"$gte": result_id + bytes(12), "$lte": result_id + b"\xff" * 12}
    await world.admin[LOG].delete_many({"_id": bounds})


async def give_away(world: World, collection: str, name: str) -> ResultId:
    result_id = world.results[name]
    other = {"$set": {"client_id": world.client_ids[1]}}
    await world.admin[collection].update_one({"_id": result_id}, other)
    return result_id


@breaks("V1")
async def a_request_that_was_answered_202_is_gone_without_a_trace(world: World) -> ResultId:
    result_id = world.results["accepted"]
    for name in ("communication_requests", "recipients", RESULTS):
        await world.admin[name].delete_one({"_id": result_id})
    await remove_log(world, result_id)
    return result_id


@breaks("V1")
async def one_of_three_recipients_has_no_result(world: World) -> ResultId:
    await remove_log(world, world.results["many"])
    await remove(world, RESULTS, "many")
    return world.results["many_request"]


@breaks("V1")
async def the_callers_ledger_has_an_id_that_nobody_knows(world: World) -> ResultId:
    unknown = ResultId(new_id())
    world.told.append({"id": text_of(unknown)})
    return unknown


@breaks("V2")
async def a_delivered_one_is_cancelled_as_well(world: World) -> ResultId:
    return await add_event(world, "delivered", 6, E.CANCELLED)


@breaks("V3")
async def a_log_begins_with_content_resolved(world: World) -> ResultId:
    return await set_event(world, "rendered", 1, event="CONTENT_RESOLVED")


@breaks("V3")
async def it_is_queued_without_content(world: World) -> ResultId:
    return await set_event(world, "queued", 2, event="SCHEDULED")


@breaks("V3")
async def an_event_has_a_name_that_does_not_exist(world: World) -> ResultId:
    return await set_event(world, "queued", 3, event="TELEPORTED")


@breaks("V3")
async def somebody_opened_what_was_never_attempted(world: World) -> ResultId:
    result_id, at = world.results["queued"], CLOCK.now()
    event = {"_id": unnumbered_event_id(result_id, "OPENED", ""), "event": "OPENED"}
    rest = {"created_at": at, "client_id": world.client_ids[0], "writer": "t"}
    await world.admin[LOG].insert_one(event | rest)
    return result_id


@breaks("V4")
async def a_result_is_ahead_of_its_log(world: World) -> ResultId:
    result_id = world.results["delivered"]
    await world.admin[LOG].delete_one({"_id": event_id(result_id, 5)})
    return result_id


@breaks("V4")
async def a_result_is_behind_its_log_and_nothing_brings_it_back(world: World) -> ResultId:
    return await set_result(world, "delivered", seq=4, status="sending")


@breaks("V4")
async def a_cancelled_one_looks_scheduled_for_tomorrow(world: World) -> ResultId:
    tomorrow = CLOCK.now() + timedelta(days=1)
    return await set_result(world, "cancelled", seq=1, status="accepted", due_at=tomorrow)


@breaks("V4")
async def a_number_in_the_middle_is_missing(world: World) -> ResultId:
    result_id = world.results["retried"]
    await world.admin[LOG].delete_one({"_id": event_id(result_id, 4)})
    return result_id


@breaks("V4")
async def a_status_is_wrong(world: World) -> ResultId:
    return await set_result(world, "undeliverable", status="delivered")


@breaks("V4")
async def a_result_lacks_most_of_its_fields(world: World) -> ResultId:
    result_id = world.results["delivered"]
    gone = dict.fromkeys(("status", "client_id", "request_id", "campaign", "partition"), "")
    await world.admin[RESULTS].update_one({"_id": result_id}, {"$unset": gone})
    return result_id


@breaks("V4")
async def a_priority_is_none_that_exists(world: World) -> ResultId:
    return await set_result(world, "queued", priority=9)


@breaks("V4")
async def the_attempts_of_a_result_are_wrong(world: World) -> ResultId:
    return await set_result(world, "retried", attempt=1)


@breaks("V4")
async def a_result_forgot_that_workers_were_lost(world: World) -> ResultId:
    result_id = await add_event(world, "sending", 5, E.DELIVERY_FAILED, code="worker_lost")
    [event] = await world.admin[LOG].find({"_id": event_id(result_id, 5)}).to_list()
    return await set_result(world, "sending", seq=5, status="failed", due_at=event["created_at"])


@breaks("V4")
async def a_result_has_content_that_its_log_knows_nothing_of(world: World) -> ResultId:
    return await set_result(world, "accepted", has_content=True)


@breaks("V4")
async def a_priority_is_wrong(world: World) -> ResultId:
    return await set_result(world, "changed", priority=2, lane="email.default")


@breaks("V4")
async def a_send_at_was_lost(world: World) -> ResultId:
    result_id = world.results["changed"]
    await world.admin[RESULTS].update_one({"_id": result_id}, {"$unset": {"send_at": ""}})
    return result_id


@breaks("V4")
async def an_expires_at_came_from_nowhere(world: World) -> ResultId:
    return await set_result(world, "accepted", expires_at=CLOCK.now())


@breaks("V4")
async def a_due_time_is_wrong(world: World) -> ResultId:
    return await set_result(world, "scheduled", due_at=CLOCK.now() + timedelta(hours=3))


@breaks("V4")
async def an_unfinished_one_is_never_due_again(world: World) -> ResultId:
    result_id = world.results["scheduled"]
    await world.admin[RESULTS].update_one({"_id": result_id}, {"$unset": {"due_at": ""}})
    return result_id


@breaks("V4")
async def a_finished_one_is_still_due(world: World) -> ResultId:
    return await set_result(world, "delivered", due_at=CLOCK.now())


@breaks("V4")
async def a_lease_was_shortened(world: World) -> ResultId:
    return await set_result(world, "sending", due_at=CLOCK.now() - timedelta(seconds=90))


@breaks("V4")
async def a_result_is_in_another_partition_than_its_id_says(world: World) -> ResultId:
    return await set_result(world, "delivered", partition=99)


@breaks("V4")
async def a_log_has_no_result(world: World) -> ResultId:
    return await remove(world, RESULTS, "delivered")


@breaks("V4")
async def a_result_has_no_log(world: World) -> ResultId:
    await remove_log(world, world.results["accepted"])
    return world.results["accepted"]


@breaks("V4")
async def a_resolved_content_is_gone(world: World) -> ResultId:
    return await remove(world, "communications", "delivered")


@breaks("V5")
async def a_delivered_result_is_gone(world: World) -> None:
    await remove(world, RESULTS, "delivered")


@breaks("V5")
async def a_result_is_in_another_campaign_than_its_request(world: World) -> ResultId:
    return await set_result(world, "delivered", campaign="autumn")


@breaks("V5")
async def a_result_is_in_another_batch_than_its_request(world: World) -> ResultId:
    return await set_result(world, "in_batch", batch_id=new_id())


@breaks("V5")
async def a_batch_says_that_more_was_accepted(world: World) -> None:
    batch = {"_id": world.results["batch"]}
    await world.admin["batches"].update_one(batch, {"$set": {"accepted": 3}})


@breaks("V5")
async def a_batch_says_that_it_has_fewer_results(world: World) -> None:
    batch = {"_id": world.results["batch"]}
    await world.admin["batches"].update_one(batch, {"$set": {"results": 2}})


@breaks("V6")
async def the_attempts_skip_a_number(world: World) -> ResultId:
    return await set_event(world, "retried", 8, metadata={"attempt": 3})


@breaks("V6")
async def an_attempt_has_two_outcomes(world: World) -> ResultId:
    return await add_event(world, "delivered", 6, E.DELIVERY_FAILED, reason="transient")


@breaks("V7")
async def the_provider_does_not_know_a_delivered_one(world: World) -> ResultId:
    result_id = world.results["delivered"]
    world.taken.remove(world.entry(result_id))
    return result_id


@breaks("V7")
async def the_provider_took_one_that_was_never_attempted(world: World) -> ResultId:
    world.taken.append(world.entry(world.results["queued"]))
    return world.results["queued"]


@breaks("V7")
async def the_provider_took_one_whose_only_attempt_failed(world: World) -> ResultId:
    world.taken.append(world.entry(world.results["undeliverable"]))
    return world.results["undeliverable"]


@breaks("V7")
async def the_provider_took_one_that_does_not_exist(world: World) -> ResultId:
    unknown = ResultId(new_id()[:6] + bytes(10))
    world.taken.append(world.entry(unknown))
    return unknown


@breaks("V7")
async def the_provider_took_one_without_an_id_of_ours(world: World) -> None:
    world.taken.append({"message_id": "<hello@elsewhere.example>"})


@breaks("V8")
async def the_provider_took_one_twice_although_the_outcome_was_known(world: World) -> ResultId:
    world.taken.append(world.entry(world.results["delivered"]))
    return world.results["delivered"]


@breaks("V8")
async def one_unknown_outcome_has_two_doubles(world: World) -> ResultId:
    world.taken.append(world.entry(world.results["doubled"]))
    return world.results["doubled"]


@breaks("V9")
async def it_is_attempted_after_it_was_cancelled(world: World) -> ResultId:
    return await add_event(world, "cancelled", 3, E.DELIVERY_ATTEMPTED, attempt=1)


@breaks("V9")
async def the_provider_took_a_cancelled_one(world: World) -> ResultId:
    world.taken.append(world.entry(world.results["cancelled"]))
    return world.results["cancelled"]


@breaks("V10")
async def an_epoch_falls_within_a_log(world: World) -> ResultId:
    return await set_event(world, "retried", 7, **{"metadata.epoch": 0})


@breaks("V10")
async def a_partition_was_queued_in_an_epoch_that_has_not_begun(world: World) -> ResultId:
    return await set_event(world, "queued", 3, **{"metadata.epoch": 2})


@breaks("V11")
async def an_idempotency_key_stands_twice(world: World) -> ResultId:
    requests = world.admin["communication_requests"]
    await requests.drop_index("idempotency")
    [request] = await requests.find({"_id": world.results["keyed"]}).to_list()
    twin = ResultId(new_id())
    await requests.insert_one(request | {"_id": twin})
    return twin


@breaks("V11")
async def nothing_keeps_the_keys_of_batches_apart(world: World) -> None:
    await world.admin["batches"].drop_index("idempotency")


@breaks("V12")
async def a_result_belongs_to_another_client(world: World) -> ResultId:
    return await give_away(world, RESULTS, "delivered")


@breaks("V12")
async def a_request_belongs_to_another_client(world: World) -> ResultId:
    return await give_away(world, "communication_requests", "delivered")


@breaks("V12")
async def a_recipient_belongs_to_another_client(world: World) -> ResultId:
    return await give_away(world, "recipients", "delivered")


@breaks("V12")
async def a_content_belongs_to_another_client(world: World) -> ResultId:
    return await give_away(world, "communications", "delivered")


@breaks("V12")
async def an_event_belongs_to_another_client(world: World) -> ResultId:
    return await set_event(world, "delivered", 3, client_id=world.client_ids[1])


@breaks("V12")
async def a_result_has_no_recipient(world: World) -> ResultId:
    return await remove(world, "recipients", "queued")


@breaks("V12")
async def a_content_is_for_another_address(world: World) -> ResultId:
    result_id = world.results["delivered"]
    other = {"$set": {"to": ["eve@example.org", ""]}}
    await world.admin["communications"].update_one({"_id": result_id}, other)
    return result_id


@breaks("V13")
async def nobody_takes_what_is_due(world: World) -> ResultId:
    long_ago = CLOCK.now() - timedelta(minutes=10)
    await set_event(world, "queued", 3, **{"metadata.due_at": long_ago})
    return await set_result(world, "queued", due_at=long_ago)
