"""Corruptions of what a result says of its failures and replays: all are for V4 to notice."""

from cdp.domain.ids import ResultId
from tests.integration.verification_corruptions import CORRUPTIONS, RESULTS, breaks, set_result
from tests.integration.verification_world import World

__all__ = ["CORRUPTIONS"]


@breaks("V4")
async def a_failure_has_another_code_than_its_log(world: World) -> ResultId:
    failure = {"reason": "transient", "class": "transient", "code": "452"}
    return await set_result(world, "retrying", failure=failure)


@breaks("V4")
async def a_dead_letter_forgot_why(world: World) -> ResultId:
    result_id = world.results["undeliverable"]
    await world.admin[RESULTS].update_one({"_id": result_id}, {"$unset": {"failure": ""}})
    return result_id


@breaks("V4")
async def retries_are_counted_from_a_replay_that_never_was(world: World) -> ResultId:
    return await set_result(world, "retried", replayed_after=1)
