"""An open counts once its message was attempted, whatever the result shows by then."""

from cdp.domain.event import EventName
from cdp.services.communication_service import Move
from cdp.services.engagement_queue import Engagement
from tests.integration.rules.rig import accept_many

E = EventName


async def test_an_open_before_the_outcome_is_recorded_and_one_before_the_attempt_is_not(rig):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    [attempted, waiting] = await accept_many(wiring, client.id, 2)
    tracking = rig.process("delivery-tracking").delivery_tracking_service()
    [resolution, _] = await wiring.message_service().resolve([attempted, waiting])
    item = resolution.item
    for name in (E.QUEUED, E.DELIVERY_ATTEMPTED):
        metadata = {"due_at": wiring.clock.now(), "epoch": 1, "attempt": 1}
        [item] = await wiring.communications.advance(
            [Move(item=item, name=name, metadata=metadata)]
        )

    now = wiring.clock.now()
    await tracking.record(
        [Engagement(result_id=i.result_id, name=E.OPENED, at=now) for i in (attempted, waiting)]
    )

    logs = [await wiring.logs.of_result(client.id, i.result_id) for i in (attempted, waiting)]
    assert [E.OPENED in {event.name for event in log} for log in logs] == [True, False]
