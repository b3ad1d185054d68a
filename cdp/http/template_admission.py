"""Whether a request's template fits it: its channel, its languages, and the data that it needs.

What could only be found when it is rendered would be accepted and then given up; so what is
certain is said at once. A version may be two seconds old: before anything is refused by it, the
newest is asked for.
"""

from collections.abc import Iterator, Mapping, Sequence

from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.ids import ClientId
from cdp.domain.segment import AssignmentKey
from cdp.domain.template import ANY_LOCALE, TemplateVersion
from cdp.domain.template_needs import Path
from cdp.errors import CdpError, FieldError, Invalid, pointer_of
from cdp.http.problems import ERRORS_MAX
from cdp.services.client_config_service import ClientConfigService

Name = tuple[ClientId, str]


async def template_refusals(
    config: ClientConfigService,
    requests: Sequence[CommunicationRequest],
    keys: Sequence[AssignmentKey | None],
) -> list[CdpError | None]:
    """Why each request does not fit the template that it names, or that its segment gets.

    Args:
        config: whose cache is asked.
        requests: each of a client.
        keys: of each the assignment that decides, where one does.
    """
    names, versions = await named_templates(config, requests, keys)
    pairs = [(r, n) for r, n in zip(requests, names, strict=True) if n is not None]
    doubted = {name for request, name in pairs if _misfit(request, versions.get(name))}
    newest = await config.templates_now(doubted) if doubted else {}
    return [
        _misfit(request, newest.get(name)) if name is not None else None
        for request, name in zip(requests, names, strict=True)
    ]


async def named_templates(
    config: ClientConfigService,
    requests: Sequence[CommunicationRequest],
    keys: Sequence[AssignmentKey | None],
) -> tuple[list[Name | None], Mapping[Name, TemplateVersion]]:
    """Which template each request gets, and those that are there, two seconds old at most."""
    by_segment = await config.assigned_templates(key for key in keys if key is not None)
    names = [_name(request, key, by_segment) for request, key in zip(requests, keys, strict=True)]
    return names, await config.templates(name for name in names if name is not None)


def _name(
    request: CommunicationRequest,
    key: AssignmentKey | None,
    by_segment: Mapping[AssignmentKey, str],
) -> Name | None:
    name = by_segment.get(key) if key is not None else request.template
    return None if name is None else (request.client_id, name)


def _misfit(request: CommunicationRequest, version: TemplateVersion | None) -> CdpError | None:
    if version is None:
        return None
    variants = version.contents.get(request.channel)
    if variants is None:
        there = ", ".join(version.contents)
        pointer = "/segment" if request.template is None else "/template"
        return Invalid.at(pointer, "other_channel", f"It has content for {there} only.")
    errors = [] if ANY_LOCALE in variants else list(_other_languages(request, version))
    if not errors and request.channel in version.needs:
        errors = list(_lacking(request, version))
    return Invalid(errors[:ERRORS_MAX]) if errors else None


def _other_languages(
    request: CommunicationRequest, version: TemplateVersion
) -> Iterator[FieldError]:
    for index, recipient in enumerate(request.recipients):
        if version.variant(request.channel, recipient.locale) is None:
            yield FieldError(
                pointer=f"/to/{index}/locale",
                code="other_language",
                detail="The template has nothing in this language, nor for all.",
            )


def _lacking(request: CommunicationRequest, version: TemplateVersion) -> Iterator[FieldError]:
    """The variables that are missing: of the request's data, where everybody lacks them."""
    lacking: dict[Path, list[int]] = {}
    for index, recipient in enumerate(request.recipients):
        needs = version.needs_for(request.channel, recipient.locale)
        for path in needs.lacking(recipient.data, request.data):
            lacking.setdefault(path, []).append(index)
    for path, indexes in lacking.items():
        is_everybody = len(indexes) == len(request.recipients)
        for place in ((),) if is_everybody else (("to", index) for index in indexes):
            yield FieldError(
                pointer=pointer_of((*place, "data", *path)),
                code="missing_variable",
                detail=f"The template needs the variable {'.'.join(path)}.",
            )
