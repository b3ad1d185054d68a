"""`/templates`: versions that never change, and a look at what one makes of some data."""

from typing import Final

from cdp.errors import Invalid
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call
from cdp.http.json_body import json_body
from cdp.http.models import RenderIn, TemplateIn
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import known_parameters, name_in_path, new_name_in_path
from cdp.http.views import rendered_view, template_view

VERSION_DIGITS_MAX: Final = 9

_SCOPE: Final = "templates"


async def put_template(call: Call) -> Answer:
    """Make these parts the newest version, if they are not already."""
    name = new_name_in_path(call)
    given = await json_body(call, TemplateIn)
    if given.html is None and given.text is None:
        raise Invalid.at("/text", "missing", "Give html, text or both.")
    parts = {"subject": given.subject, "html": given.html, "text": given.text}
    version, is_new = await call.services.templates.put(
        call.caller.client.id,
        name,
        channel=given.channel,
        parts={part: text for part, text in parts.items() if text is not None},
    )
    return json_answer(template_view(version), status=201 if is_new else 200)


async def list_templates(call: Call) -> Answer:
    """A page of templates in the order of their names."""
    known_parameters(call, frozenset({"limit", "cursor"}))
    limit = limit_of(call)
    after = cursor_of(call, _SCOPE)
    page = await call.services.templates.page(
        call.caller.client.id, after=None if after is None else after.decode(), limit=limit + 1
    )
    return json_answer(
        page_of(
            call,
            _SCOPE,
            page,
            limit=limit,
            position=lambda entry: entry[0].encode(),
            view=lambda entry: dict(zip(("name", "version", "updated_at"), entry, strict=True)),
        )
    )


async def get_template(call: Call) -> Answer:
    """The current version, or the one that is asked for."""
    known_parameters(call, frozenset({"version"}))
    version = await call.services.templates.get(
        call.caller.client.id, name_in_path(call), _version_of(call)
    )
    return json_answer(template_view(version))


def _version_of(call: Call) -> int | None:
    given = call.query.get("version")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= VERSION_DIGITS_MAX):
        raise Invalid.at("version", "invalid", "A version is a number.")
    return int(given)


async def list_versions(call: Call) -> Answer:
    """Every version, the newest first."""
    versions = await call.services.templates.versions(call.caller.client.id, name_in_path(call))
    items = [{"version": version.version, "created_at": version.created_at} for version in versions]
    return json_answer({"items": items})


async def delete_template(call: Call) -> Answer:
    """Take the name out of use."""
    await call.services.templates.delete(call.caller.client.id, name_in_path(call))
    return Answer(status=204, body=b"")


async def render_template(call: Call) -> Answer:
    """What a version makes of this data; nothing is stored or sent."""
    given = await json_body(call, RenderIn)
    recipient = given.recipient
    version, parts = await call.services.templates.render(
        call.caller.client.id,
        name_in_path(call),
        number=given.version,
        context={
            **given.data,
            **({} if recipient is None else recipient.data),
            "recipient": {
                "email": "" if recipient is None else recipient.email,
                "name": "" if recipient is None else recipient.name,
                "locale": (recipient.locale if recipient else None) or "",
                "timezone": (recipient.timezone if recipient else None) or "",
            },
        },
    )
    return json_answer(rendered_view(version, parts))
