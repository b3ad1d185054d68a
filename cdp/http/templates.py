"""`/templates`: versions that never change, and a look at what one makes of some data."""

from collections.abc import Mapping
from typing import Final

from cdp.domain.template import ANY_LOCALE, Parts, Variants, locale_of
from cdp.errors import Invalid
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call
from cdp.http.contents import template_parts_of
from cdp.http.json_body import json_body
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import known_parameters, name_in_path, new_name_in_path
from cdp.http.template_models import ContentsIn, PublishIn, RenderIn, RenderRecipientIn, TemplateIn
from cdp.http.template_views import diff_view, rendering_view, template_head_view, template_view
from cdp.services.message_service import recipient_context
from cdp.services.opt_out_links import PREVIEW_URL, VARIABLE

VERSION_DIGITS_MAX: Final = 9
ADDRESSES: Final = ("email", "phone", "user", "url")

_SCOPE: Final = "templates"


async def put_template(call: Call) -> Answer:
    """Make this the newest version, if it is not already."""
    known_parameters(call, frozenset({"draft"}))
    name = new_name_in_path(call)
    is_draft = _switch(call, "draft")
    contents = contents_of(await json_body(call, TemplateIn))
    version, is_new = await call.services.templates.put(
        call.caller.client.id, name, contents=contents, is_draft=is_draft
    )
    return json_answer(template_view(version), status=201 if is_new else 200)


def contents_of(given: TemplateIn) -> Mapping[str, Variants]:
    """The content by channel and locale.

    Raises:
        Invalid: there is none, one is without a body, or two locales are the same language.
    """
    contents: dict[str, dict[str, Parts]] = {}
    _take(contents, given, ANY_LOCALE, "")
    for text, variant in given.locales.items():
        _take(contents, variant, locale_of(text), f"/locales/{text}")
    if not contents:
        raise Invalid.at("/email", "missing", "Give content for at least one channel.")
    return contents


def _take(contents: dict[str, dict[str, Parts]], given: ContentsIn, locale: str, at: str) -> None:
    for channel in ContentsIn.model_fields:
        content = getattr(given, channel)
        if content is None:
            continue
        parts = template_parts_of(content)
        if channel == "email" and not {"html", "text"} & parts.keys():
            raise Invalid.at(f"{at}/email/text", "missing", "Give html, text or both.")
        variants = contents.setdefault(channel, {})
        if locale in variants:
            raise Invalid.at(at, "twice", "This language stands there twice.")
        variants[locale] = parts


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
            position=lambda head: head.name.encode(),
            view=template_head_view,
        )
    )


async def get_template(call: Call) -> Answer:
    """The current version, or the one that is asked for."""
    known_parameters(call, frozenset({"version"}))
    version = await call.services.templates.get(
        call.caller.client.id, name_in_path(call), _number(call, "version")
    )
    return json_answer(template_view(version))


def _number(call: Call, name: str) -> int | None:
    given = call.query.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= VERSION_DIGITS_MAX):
        raise Invalid.at(name, "invalid", "A version is a number.")
    return int(given)


def _switch(call: Call, name: str) -> bool:
    given = call.query.get(name, "false")
    if given not in ("true", "false"):
        raise Invalid.at(name, "invalid", "This is true or false.")
    return given == "true"


async def list_versions(call: Call) -> Answer:
    """Every version, the newest first."""
    versions = await call.services.templates.versions(call.caller.client.id, name_in_path(call))
    items = [{"version": version.version, "created_at": version.created_at} for version in versions]
    return json_answer({"items": items})


async def publish_template(call: Call) -> Answer:
    """Make a version the current one."""
    name = name_in_path(call)
    given = await json_body(call, PublishIn)
    version = await call.services.templates.publish(call.caller.client.id, name, given.version)
    return json_answer(template_view(version))


async def diff_template(call: Call) -> Answer:
    """What differs between two versions."""
    known_parameters(call, frozenset({"from", "to"}))
    before, after = _number(call, "from"), _number(call, "to")
    if before is None or after is None:
        raise Invalid.at("from" if before is None else "to", "missing", "Name both versions.")
    differences = await call.services.templates.diff(
        call.caller.client.id, name_in_path(call), before, after
    )
    return json_answer(diff_view(before, after, differences))


async def delete_template(call: Call) -> Answer:
    """Take the name out of use."""
    await call.services.templates.delete(call.caller.client.id, name_in_path(call))
    return Answer(status=204, body=b"")


async def render_template(call: Call) -> Answer:
    """What a version makes of this data; nothing is stored or sent."""
    given = await json_body(call, RenderIn)
    recipient = given.recipient or RenderRecipientIn()
    addresses = {
        name: address for name in ADDRESSES if (address := getattr(recipient, name)) is not None
    }
    rendering = await call.services.templates.render(
        call.caller.client.id,
        name_in_path(call),
        number=given.version,
        channel=given.channel,
        locale=recipient.locale,
        context={
            VARIABLE: PREVIEW_URL,
            **given.data,
            **recipient.data,
            "recipient": recipient_context(
                addresses,
                name=recipient.name,
                locale=recipient.locale,
                timezone=recipient.timezone,
            ),
        },
    )
    return json_answer(rendering_view(rendering))
