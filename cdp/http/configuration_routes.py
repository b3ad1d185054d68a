"""Routes of a client's configuration: segments, delivery configurations."""

from collections.abc import Sequence
from typing import Final

from cdp.http import (
    configuration_outputs,
    delivery_configs,
    examples,
    segments,
)
from cdp.http.endpoint import Operation, Route
from cdp.http.models import AssignmentIn, DeliveryConfigIn, DeliveryFieldsIn, ExplainIn, SegmentIn
from cdp.http.route_parts import LISTS, READS, WRITES, Parameter, paging, query_parameter
from cdp.http.template_routes import NAME

SEGMENT_NAME: Final[Parameter] = {**NAME, "description": "The name of a segment."}
CONFIG_ID: Final[Parameter] = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of a delivery configuration.",
    "schema": {"type": "string", "format": "uuid"},
}
IF_MATCH: Final[Parameter] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the version that you know. If it was changed since, nothing "
    "happens, and the answer is 412. Without it, any version is changed.",
    "schema": {"type": "string", "pattern": "^[!-~ ]{1,200}$"},
}

SEGMENTS: Final[Sequence[Route]] = (
    Route(
        method="GET",
        path="/segments",
        handler=segments.list_segments,
        operation=Operation(
            id="listSegments",
            tag="Segments",
            summary="List segments",
            parameters=paging(),
            answers={200: configuration_outputs.SegmentPage},
            problems=LISTS,
        ),
    ),
    Route(
        method="PUT",
        path="/segments/{name}",
        handler=segments.put_segment,
        operation=Operation(
            id="putSegment",
            tag="Segments",
            summary="Save a segment",
            description="A segment is a name for a group of your users; who is in it is known to "
            "you alone. A new one is answered with 201.",
            parameters=(SEGMENT_NAME, IF_MATCH),
            body=SegmentIn,
            examples={"vip": examples.SEGMENT},
            answers={200: configuration_outputs.SegmentOut, 201: configuration_outputs.SegmentOut},
            problems=(*WRITES, 412),
        ),
    ),
    Route(
        method="GET",
        path="/segments/{name}",
        handler=segments.get_segment,
        operation=Operation(
            id="getSegment",
            tag="Segments",
            summary="Read a segment",
            parameters=(SEGMENT_NAME,),
            answers={200: configuration_outputs.SegmentOut},
            problems=READS,
        ),
    ),
    Route(
        method="DELETE",
        path="/segments/{name}",
        handler=segments.delete_segment,
        operation=Operation(
            id="deleteSegment",
            tag="Segments",
            summary="Take a segment away",
            description="While templates are assigned to it the answer is 409.",
            parameters=(SEGMENT_NAME, IF_MATCH),
            answers={204: None},
            problems=(*READS, 409, 412),
        ),
    ),
    Route(
        method="PUT",
        path="/segments/{name}/assignments",
        handler=segments.put_assignment,
        operation=Operation(
            id="assignTemplate",
            tag="Segments",
            summary="Assign a template to a segment",
            description="What is sent to the segment without a template or content gets this one, "
            "on this channel and in this campaign. There is one for each; another takes its place. "
            "It counts for what is rendered from two seconds on.",
            parameters=(SEGMENT_NAME,),
            body=AssignmentIn,
            examples=examples.ASSIGNMENTS,
            answers={200: configuration_outputs.SegmentOut},
            problems=(*WRITES, 404),
        ),
    ),
    Route(
        method="DELETE",
        path="/segments/{name}/assignments",
        handler=segments.delete_assignment,
        operation=Operation(
            id="unassignTemplate",
            tag="Segments",
            summary="Take an assignment away",
            parameters=(
                SEGMENT_NAME,
                {**query_parameter("channel", "On which channel."), "required": True},
                query_parameter("campaign", "In which campaign; left out, the one for all."),
            ),
            answers={204: None},
            problems=READS,
        ),
    ),
)

DELIVERY_CONFIGS: Final[Sequence[Route]] = (
    Route(
        method="GET",
        path="/delivery-configs",
        handler=delivery_configs.list_delivery_configs,
        operation=Operation(
            id="listDeliveryConfigs",
            tag="Configuration",
            summary="List delivery configurations",
            description="In the order in which they were made.",
            parameters=(
                query_parameter("channel", "Only those that name this channel."),
                query_parameter("campaign", "Only those that name this campaign."),
                query_parameter("segment", "Only those that name this segment."),
                *paging(),
            ),
            answers={200: configuration_outputs.DeliveryConfigPage},
            problems=LISTS,
        ),
    ),
    Route(
        method="POST",
        path="/delivery-configs",
        handler=delivery_configs.post_delivery_config,
        operation=Operation(
            id="createDeliveryConfig",
            tag="Configuration",
            summary="Configure delivery and retries",
            description="For all communications, or only for those with the channel, campaign and "
            "segment that it names. Of each field the narrowest configuration that has it counts: "
            "the one that names more; of as many the one with the segment, then with the campaign. "
            "What none has is the platform's. If there is one for the same already, the answer is "
            "409. It is in force within two seconds.",
            body=DeliveryConfigIn,
            examples=examples.DELIVERY_CONFIGS,
            answers={201: configuration_outputs.DeliveryConfigOut},
            problems=WRITES,
        ),
    ),
    Route(
        method="GET",
        path="/delivery-configs/{id}",
        handler=delivery_configs.get_delivery_config,
        operation=Operation(
            id="getDeliveryConfig",
            tag="Configuration",
            summary="Read a delivery configuration",
            parameters=(CONFIG_ID,),
            answers={200: configuration_outputs.DeliveryConfigOut},
            problems=READS,
        ),
    ),
    Route(
        method="PUT",
        path="/delivery-configs/{id}",
        handler=delivery_configs.put_delivery_config,
        operation=Operation(
            id="replaceDeliveryConfig",
            tag="Configuration",
            summary="Change a delivery configuration",
            description="Fields that are left out, or null, are inherited from then on. What it is "
            "for stays as it is.",
            parameters=(CONFIG_ID, IF_MATCH),
            body=DeliveryFieldsIn,
            examples={"patient": examples.DELIVERY_FIELDS},
            answers={200: configuration_outputs.DeliveryConfigOut},
            problems=(*WRITES, 404, 412),
        ),
    ),
    Route(
        method="DELETE",
        path="/delivery-configs/{id}",
        handler=delivery_configs.delete_delivery_config,
        operation=Operation(
            id="deleteDeliveryConfig",
            tag="Configuration",
            summary="Take a delivery configuration away",
            description="What it said is inherited from then on.",
            parameters=(CONFIG_ID, IF_MATCH),
            answers={204: None},
            problems=(*READS, 412),
        ),
    ),
    Route(
        method="POST",
        path="/config/explain",
        handler=delivery_configs.explain,
        operation=Operation(
            id="explainConfig",
            tag="Configuration",
            summary="See which configuration counts",
            description="For a communication with this channel, campaign and segment: template, "
            "sender, and each field of delivery with its value and the configuration that it comes "
            "from. Nothing is sent.",
            body=ExplainIn,
            examples={"vip": examples.EXPLAIN},
            answers={200: configuration_outputs.ExplainOut},
            problems=WRITES,
        ),
    ),
)
