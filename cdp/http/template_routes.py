"""Routes of templates."""

from collections.abc import Sequence
from typing import Any, Final

from cdp.http import examples, template_outputs, templates
from cdp.http.endpoint import Operation, Route
from cdp.http.route_parts import LISTS, READS, WRITES, Parameter, paging, query_parameter
from cdp.http.template_models import PublishIn, RenderIn, TemplateIn

NAME: Final[Parameter] = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "The name of a template.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"},
}


def _version_parameter(name: str, description: str, **more: Any) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": 999_999_999}
    return {**query_parameter(name, description, **schema), **more}


TEMPLATES: Final[Sequence[Route]] = (
    Route(
        method="GET",
        path="/templates",
        handler=templates.list_templates,
        operation=Operation(
            id="listTemplates",
            tag="Templates",
            summary="List templates",
            parameters=paging(),
            answers={200: template_outputs.TemplatePage},
            problems=LISTS,
        ),
    ),
    Route(
        method="PUT",
        path="/templates/{name}",
        handler=templates.put_template,
        operation=Operation(
            id="putTemplate",
            tag="Templates",
            summary="Save a template",
            description="Makes a new version (201), unless the current one is the same (200). "
            "A communication stays with the version that it was rendered with. A draft is a "
            "version that is not used before it is published.",
            parameters=(
                NAME,
                query_parameter("draft", "Save a draft.", type="boolean", default=False),
            ),
            body=TemplateIn,
            examples=examples.TEMPLATES,
            answers={200: template_outputs.TemplateOut, 201: template_outputs.TemplateOut},
            problems=WRITES,
        ),
    ),
    Route(
        method="GET",
        path="/templates/{name}",
        handler=templates.get_template,
        operation=Operation(
            id="getTemplate",
            tag="Templates",
            summary="Read a template",
            parameters=(
                NAME,
                _version_parameter("version", "Not the current one."),
            ),
            answers={200: template_outputs.TemplateOut},
            problems=READS,
        ),
    ),
    Route(
        method="DELETE",
        path="/templates/{name}",
        handler=templates.delete_template,
        operation=Operation(
            id="deleteTemplate",
            tag="Templates",
            summary="Take a template out of use",
            description="While it is assigned to a segment the answer is 409.",
            parameters=(NAME,),
            answers={204: None},
            problems=(*READS, 409),
        ),
    ),
    Route(
        method="GET",
        path="/templates/{name}/versions",
        handler=templates.list_versions,
        operation=Operation(
            id="listTemplateVersions",
            tag="Templates",
            summary="List the versions of a template",
            parameters=(NAME,),
            answers={200: template_outputs.VersionList},
            problems=READS,
        ),
    ),
    Route(
        method="POST",
        path="/templates/{name}/publish",
        handler=templates.publish_template,
        operation=Operation(
            id="publishTemplate",
            tag="Templates",
            summary="Make a version the current one",
            description="A draft, to publish it; one from before, to roll back.",
            parameters=(NAME,),
            body=PublishIn,
            examples={"first": examples.PUBLISH},
            answers={200: template_outputs.TemplateOut},
            problems=(*WRITES, 404),
        ),
    ),
    Route(
        method="GET",
        path="/templates/{name}/diff",
        handler=templates.diff_template,
        operation=Operation(
            id="diffTemplateVersions",
            tag="Templates",
            summary="Compare two versions of a template",
            parameters=(
                NAME,
                _version_parameter("from", "The version before.", required=True),
                _version_parameter("to", "The version after.", required=True),
            ),
            answers={200: template_outputs.DiffOut},
            problems=READS,
        ),
    ),
    Route(
        method="POST",
        path="/templates/{name}/render",
        handler=templates.render_template,
        operation=Operation(
            id="renderTemplate",
            tag="Templates",
            summary="Try a template",
            description="Renders it with this data. Nothing is stored or sent; a missing variable "
            "is an error.",
            parameters=(NAME,),
            body=RenderIn,
            examples={"ada": examples.RENDER},
            answers={200: template_outputs.RenderedOut},
            problems=(*WRITES, 404),
        ),
    ),
)
