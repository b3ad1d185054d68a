"""Columns of a file named as the variables of its template, as people name them.

A column `First Name` is meant where the template needs `{{ first_name }}`: case, spaces, `_` and
`-` make no difference, as they make none in the other columns. An exact name always counts more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.segment import assignment_key
from cdp.domain.template_needs import Needs, Path
from cdp.file_formats.headers import folded
from cdp.http.template_admission import named_templates
from cdp.services.client_config_service import ClientConfigService


async def with_matched_names(
    config: ClientConfigService, requests: Sequence[CommunicationRequest]
) -> list[CommunicationRequest]:
    """Rows' requests, each for one recipient, whose data are named as their template has it."""
    names, versions = await named_templates(config, requests, list(map(assignment_key, requests)))
    matched = []
    for request, name in zip(requests, names, strict=True):
        version = None if name is None else versions.get(name)
        [recipient] = request.recipients
        if version is not None and request.channel in version.needs:
            needs = version.needs_for(request.channel, recipient.locale)
            data = _named(recipient.data, request.data, needs)
            if data is not recipient.data:
                request = replace(request, recipients=(replace(recipient, data=data),))
        matched.append(request)
    return matched


def _named(own: Mapping[str, Any], shared: Mapping[str, Any], needs: Needs) -> Mapping[str, Any]:
    # What is inside of a variable is lacking only once that is there by its name.
    while lacking := needs.lacking(own, shared):
        matched = data_matched(own, lacking)
        if matched == own:
            break
        own = matched
    return own


def data_matched(data: Mapping[str, Any], lacking: Iterable[Path]) -> Mapping[str, Any]:
    """The data with these paths, as far as one name alone can be meant by each part of one."""
    for path in lacking:
        data = _with_path(data, path)
    return data


def _with_path(data: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    head, rest = path[0], path[1:]
    if head not in data:
        alike = [name for name in data if folded(name) == folded(head)]
        if len(alike) != 1:
            return data
        data = {head if name == alike[0] else name: value for name, value in data.items()}
    if rest and isinstance(data[head], dict):
        return {**data, head: _with_path(data[head], rest)}
    return data
