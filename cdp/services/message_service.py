"""The Message Service: makes the finished content of communications, and is alone in doing so.

It resolves template, sender and tracking by client, renders in batches, stores the content and
records CONTENT_RESOLVED. A refusal is one item's alone: a missing variable is an error of that
communication, never a blank (rule T5).
"""

import asyncio
import html as html_text
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cdp.channels.content import Parts, UnfitContent
from cdp.channels.table import CHANNELS
from cdp.domain.client import Client
from cdp.domain.communication import Communication
from cdp.domain.communication_request import CommunicationRequest, Recipient
from cdp.domain.delivery_config import DeliveryConfig
from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import RequestId, ResultId
from cdp.domain.lane import is_urgent
from cdp.domain.record import record
from cdp.domain.segment import AssignmentKey, assignment_key
from cdp.domain.sender import Sender
from cdp.domain.template import TemplateVersion, Variant
from cdp.domain.tracking_token import (
    LINKS_MAX,
    NONCE_BYTES,
    links_id_of,
    sign_links,
    sign_pixel,
)
from cdp.ports.clock import Clock
from cdp.ports.handoff import Resolution
from cdp.ports.renderer import (
    Rendered,
    Renderer,
    RenderItem,
    RenderOutcome,
    RenderRefusal,
    TemplateSource,
    Tracker,
)
from cdp.services.client_config_service import ClientConfigService, scope_of
from cdp.services.communication_service import CommunicationService
from cdp.services.opt_out_links import PATH as OPT_OUT_PATH
from cdp.services.opt_out_links import VARIABLE as OPT_OUT_VARIABLE
from cdp.services.opt_out_links import unsubscribe_url, with_list_unsubscribe
from cdp.storage.communication_requests import CommunicationRequests, Recipients
from cdp.storage.links import LinkList, Links

NOBODY: Final = ("", "")
"""The sender on a channel that needs none."""

Decorator = Callable[[str, Tracker | None, str | None], str]
"""Rewrites an HTML's links and adds the pixel; `cdp.rendering.links.decorate` behind a port."""


@record
class _Job:
    """One item with all that its content is made of."""

    item: WorkItem
    request: CommunicationRequest
    recipient: Recipient
    client: Client
    config: DeliveryConfig
    sender: Sender | None
    version: TemplateVersion | None
    variant: Variant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingUrls:
    """How tracked URLs are built."""

    base: str
    """Such as `https://track.example.com/t`, without a slash at its end."""
    key: bytes


class MessageService:
    """Renders and resolves, a batch at a time."""

    def __init__(
        self,
        *,
        communications: CommunicationService,
        config: ClientConfigService,
        requests: CommunicationRequests,
        recipients: Recipients,
        links: Links,
        renderer: Renderer,
        urgent_renderer: Renderer,
        decorate: Decorator,
        tracking: TrackingUrls,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._random_bytes = random_bytes
        self._communications = communications
        self._config = config
        self._requests = requests
        self._recipients = recipients
        self._links = links
        self._renderer = renderer
        # A child of its own: an urgent message never waits for a frame of bulk.
        self._urgent_renderer = urgent_renderer
        self._decorate = decorate
        self._tracking = tracking
        self._clock = clock

    async def resolve(self, items: Sequence[WorkItem]) -> list[Resolution]:
        """Make, store and record the content of each item."""
        jobs, resolutions = await self._gather(items)
        rendered = await self._render(jobs)
        contents: list[tuple[WorkItem, Communication]] = []
        links: list[LinkList] = []
        now = self._clock.now()
        for job, outcome in zip(jobs, rendered, strict=True):
            made = self._communication(job, outcome, links, now)
            if isinstance(made, Resolution):
                resolutions[job.item.result_id] = made
            else:
                contents.append((job.item, made))
        await self._links.insert(links)
        after = await self._communications.record_content(contents)
        for (item, _), resolved in zip(contents, after, strict=True):
            resolutions[item.result_id] = Resolution(
                item=resolved or item, overtaken=resolved is None
            )
        return [resolutions[item.result_id] for item in items]

    async def _gather(
        self, items: Sequence[WorkItem]
    ) -> tuple[list[_Job], dict[ResultId, Resolution]]:
        requests, recipients, clients, senders, configs = await asyncio.gather(
            self._requests.across_clients(list({item.request_id for item in items})),
            self._recipients.across_clients([item.result_id for item in items]),
            self._config.clients(item.client_id for item in items),
            self._config.senders((item.client_id, scope_of(item)) for item in items),
            self._config.delivery_configs(items),
        )
        templates = await templates_of(self._config, requests.values())
        versions = await self._config.templates(
            (requests[request_id].client_id, name) for request_id, name in templates.items()
        )
        jobs: list[_Job] = []
        refused: dict[ResultId, Resolution] = {}
        for item in items:
            request = requests.get(item.request_id)
            recipient = recipients.get(item.result_id)
            client = clients.get(item.client_id)
            if request is None or recipient is None or client is None:
                # Never so by our own hand; one damaged item must not hold up its batch.
                refused[item.result_id] = Resolution(item=item, refusal="request_missing")
                continue
            name = templates.get(request.id)
            version = None if name is None else versions.get((item.client_id, name))
            variant = None if version is None else version.variant(item.channel, recipient.locale)
            if variant is None and request.content is None:
                refused[item.result_id] = _without_template(item, name, version, request)
                continue
            jobs.append(
                _Job(
                    item=item,
                    request=request,
                    recipient=recipient,
                    client=client,
                    config=configs[item.result_id],
                    sender=senders.get((item.client_id, scope_of(item))),
                    version=version,
                    variant=variant,
                )
            )
        return jobs, refused

    async def _render(self, jobs: Sequence[_Job]) -> list[RenderOutcome]:
        wanted = [
            RenderItem(source=source_of(job.variant), context=self._context(job))
            for job in jobs
            if job.variant is not None
        ]
        urgent = all(is_urgent(job.item.lane) for job in jobs)
        renderer = self._urgent_renderer if urgent else self._renderer
        rendered = iter(await renderer.render(wanted) if wanted else [])
        return [_given(job.request) if job.variant is None else next(rendered) for job in jobs]

    def _communication(
        self,
        job: _Job,
        outcome: RenderOutcome,
        links: list[LinkList],
        now: datetime,
    ) -> Communication | Resolution:
        if isinstance(outcome, RenderRefusal):
            detail = ", ".join(outcome.variables) or outcome.detail
            return Resolution(item=job.item, refusal=outcome.fault.value, detail=detail)
        channel = CHANNELS[job.item.channel]
        sender = job.sender
        if sender is None and channel.needs_sender:
            return Resolution(item=job.item, refusal="sender_missing")
        try:
            content = self._tracked(job, channel.finish(outcome.parts), links)
        except UnfitContent as unfit:
            return Resolution(item=job.item, refusal=unfit.fault.code, detail=str(unfit))
        envelope = job.request.envelope
        return Communication(
            result_id=job.item.result_id,
            request_id=job.request.id,
            client_id=job.item.client_id,
            channel=job.item.channel,
            sender=NOBODY if sender is None else sender.pair,
            to=(job.recipient.identifier, job.recipient.name),
            to_details=job.recipient.details,
            content=content,
            cc=envelope.cc,
            bcc=envelope.bcc,
            reply_to=envelope.reply_to or _answers_to(sender),
            dkim_domain=None if sender is None else sender.identity.dkim_domain,
            headers=with_list_unsubscribe(job.request, job.client, url=self._unsubscribe_url(job)),
            topic=job.request.topic,
            template=job.version.name if job.version else None,
            template_version=job.version.version if job.version else None,
            locale=job.variant.locale if job.variant else None,
            resolved_at=now,
        )

    def _context(self, job: _Job) -> dict[str, Any]:
        return context_of(job.request, job.recipient, opt_out_url=self._unsubscribe_url(job))

    def _unsubscribe_url(self, job: _Job) -> str:
        tracking = self._tracking
        return unsubscribe_url(job.item.result_id, base=tracking.base, key=tracking.key)

    def _tracked(self, job: _Job, content: Parts, links: list[LinkList]) -> Parts:
        opens, clicks = tracked(job.client, job.config, job.request)
        html = content.get("html")
        if html is None or not (opens or clicks):
            return content
        base, key, result_id = self._tracking.base, self._tracking.key, job.item.result_id
        links_id = links_id_of(result_id, self._random_bytes(NONCE_BYTES))

        def track(urls: Sequence[str]) -> list[str | None]:
            own = f"{base}{OPT_OUT_PATH}"
            kept = tuple(url for url in dict.fromkeys(urls) if not url.startswith(own))[:LINKS_MAX]
            if not kept:
                return [None] * len(urls)
            links.append(LinkList(id=links_id, client_id=job.item.client_id, urls=kept))
            tokens = sign_links(links_id, len(kept), key=key)
            click = f"{html_text.escape(base)}/c/"
            places = {url: click + token for url, token in zip(kept, tokens, strict=True)}
            return [places.get(url) for url in urls]

        pixel = f"{base}/o/{sign_pixel(result_id, key=key)}.gif" if opens else None
        return {**content, "html": self._decorate(html, track if clicks else None, pixel)}

    async def preview(
        self, parts: Mapping[str, str], key: str, context: Mapping[str, Any]
    ) -> RenderOutcome:
        """Render a template against given data, without storing anything."""
        source = TemplateSource(key=key, parts=parts)
        [outcome] = await self._urgent_renderer.render([RenderItem(source=source, context=context)])
        return outcome

    async def check(self, parts: Mapping[str, str], key: str) -> RenderRefusal | None:
        """Whether a template may be saved."""
        return await self._urgent_renderer.check(TemplateSource(key=key, parts=parts))

    async def close(self) -> None:
        """End the render children."""
        await self._renderer.close()
        await self._urgent_renderer.close()


async def templates_of(
    config: ClientConfigService, requests: Iterable[CommunicationRequest]
) -> dict[RequestId, str]:
    """The template of each request: the one that it names, or its segment's."""
    named: dict[RequestId, str] = {}
    by_segment: dict[RequestId, AssignmentKey] = {}
    for request in requests:
        if request.template is not None:
            named[request.id] = request.template
        elif (key := assignment_key(request)) is not None:
            by_segment[request.id] = key
    found = await config.assigned_templates(by_segment.values())
    return named | {r: found[key] for r, key in by_segment.items() if key in found}


def _without_template(
    item: WorkItem,
    name: str | None,
    version: TemplateVersion | None,
    request: CommunicationRequest,
) -> Resolution:
    if name is None:
        return Resolution(item=item, refusal="template_unassigned", detail=request.segment or "")
    if version is None:
        return Resolution(item=item, refusal="template_missing", detail=name)
    # The template is there, but has nothing for this channel, or not for all languages.
    return Resolution(item=item, refusal="template_unfit", detail=f"{name}: {item.channel}")


def _answers_to(sender: Sender | None) -> tuple[str, str] | None:
    """Where answers go, if the sender says so."""
    reply_to = None if sender is None else sender.identity.reply_to
    return None if reply_to is None else (reply_to, "")


def tracked(
    client: Client, config: DeliveryConfig, request: CommunicationRequest
) -> tuple[bool, bool]:
    """Whether opens and clicks are tracked: the request's word, else the narrowest
    configuration's, else the client's."""
    wish = request.tracking
    opens = _first(wish.opens, config.track_opens, client.track_opens)
    clicks = _first(wish.clicks, config.track_clicks, client.track_clicks)
    return opens, clicks


def _first(*said: bool | None) -> bool:
    return next(word for word in said if word is not None)


def source_of(variant: Variant) -> TemplateSource:
    """A stored variant as the renderer takes it."""
    return TemplateSource(key=variant.key, parts=variant.parts)


def context_of(
    request: CommunicationRequest, recipient: Recipient, *, opt_out_url: str
) -> dict[str, Any]:
    """What a template sees: the recipient's data over the request's, those over where to opt out,
    and the recipient."""
    return {
        OPT_OUT_VARIABLE: opt_out_url,
        **request.data,
        **recipient.data,
        "recipient": recipient_context(
            {CHANNELS[request.channel].address_field: recipient.identifier},
            name=recipient.name,
            locale=recipient.locale,
            timezone=recipient.timezone,
        ),
    }


def recipient_context(
    addresses: Mapping[str, str], *, name: str, locale: str | None, timezone: str | None
) -> dict[str, str]:
    """What a template sees as `recipient`: the address under its channel's own name."""
    return {**addresses, "name": name, "locale": locale or "", "timezone": timezone or ""}


def _given(request: CommunicationRequest) -> Rendered:
    assert request.content is not None, "a request has a template or content"
    return Rendered(parts=request.content)
