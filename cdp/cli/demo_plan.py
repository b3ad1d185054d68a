"""What the demonstration sends, and what must come of it. Pure: no clock, no network.

The shop's campaign is the file in `examples/`: an email to each person, posted in batches, and for
each member a webhook to the shop's own system, dropped as a file. Some are broken on purpose. The
bank's password resets are made up here.
"""

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

from cdp.cli.api import JSON, NDJSON
from cdp.cli.demo_setup import MEMBERS, RESET, segment_of

BATCH: Final = 500
SCHEDULED: Final = 50
SCHEDULED_AHEAD: Final = timedelta(seconds=10)
SCHEDULED_STEP: Final = timedelta(seconds=1)
SCHEDULED_AT_ONCE: Final = 10
"""The scheduled are due in groups of so many, a step apart."""
CANCELLED: Final = 1
URGENT: Final = 120
INVALID_PER_BATCH: Final = 2
OPENS_PERCENT: Final = 20
CLICKS_PERCENT: Final = 5

OFFER: Final = {"code": "SPRING15", "percent": 15}

Item = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is to come of what was planned, counted while it is being posted."""

    accepted: int = 0
    rejected: int = 0
    undeliverable: int = 0
    retried: int = 0
    scheduled: int = 0
    cancelled: int = 0

    @property
    def delivered(self) -> int:
        """All that is accepted and neither refused by the mailbox nor cancelled."""
        return self.accepted - self.undeliverable - self.cancelled

    def __add__(self, other: "Expected") -> "Expected":
        """Both together."""
        return Expected(
            **{name: getattr(self, name) + getattr(other, name) for name in self.__slots__}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What goes at once: a call of `/communications/batch`, or a file."""

    number: int
    items: tuple[Item, ...]
    content_type: str
    expected: Expected

    @property
    def body(self) -> bytes:
        """The items as the content type has them."""
        if self.content_type == JSON:
            return _json(self.items).encode()
        return "".join(f"{_json(item)}\n" for item in self.items).encode()


def read_people(path: Path) -> Iterator[dict[str, str]]:
    """The lines of the campaign file, one at a time."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def email_item(person: Mapping[str, str], *, campaign: str, run: str) -> Item:
    """The request for the email to one line of the file."""
    to = {"email": address_of_run(person["email"], run), "locale": person["locale"]}
    return _item("email", person, to, campaign=campaign)


def webhook_item(person: Mapping[str, str], *, campaign: str, url: str) -> Item:
    """The request for the webhook that tells the shop's system of one line of the file."""
    item = _item("webhook", person, {"url": url}, campaign=campaign)
    item["to"][0]["data"]["email"] = person["email"]
    return item


def _item(channel: str, person: Mapping[str, str], to: Mapping[str, Any], *, campaign: str) -> Item:
    """What both channels say. Which template it is, the segment's assignments know."""
    items = order_of(person["items"])
    data = {
        "city": person["city"],
        "plan": person["plan"],
        "points": int(person["points"]),
        "items": items,
        "total": round(sum(i["quantity"] * i["price"] for i in items), 2),
        "gift": person["gift"] == "yes",
    }
    return {
        "channel": channel,
        "to": [{**to, "name": person["name"], "data": data}],
        "campaign": campaign,
        "segment": segment_of(person),
        "data": {"offer": OFFER},
    }


def order_of(text: str) -> list[Item]:
    """The items in `SKU:title:quantity:price|…`, in their order."""
    fields = (entry.split(":") for entry in text.split("|"))
    return [
        {"sku": sku, "title": title, "quantity": int(quantity), "price": float(price)}
        for sku, title, quantity, price in fields
    ]


def address_of_run(address: str, run: str) -> str:
    """The address, with the run's tag where the mailbox counts attempts.

    It counts them by address: in a second run it would take at once what it refused before.
    """
    if not is_temporary(address):
        return address
    local, _, domain = address.rpartition("@")
    return f"{local}+{run}@{domain}"


def is_temporary(address: str) -> bool:
    """Whether the mailbox refuses this address at first."""
    return "+soft" in address


def is_permanent(address: str) -> bool:
    """Whether the mailbox always refuses this address."""
    return "+bounce" in address


def email_batches(
    people: Iterable[Mapping[str, str]], *, campaign: str, run: str, now: datetime
) -> Iterator[Batch]:
    """The emails: the scheduled ones first, then batches by turns in JSON and NDJSON."""
    items = (email_item(person, campaign=campaign, run=run) for person in people)
    scheduled = [
        # Urgent, or they would wait for their turn behind the campaign that they belong to.
        {**item, "send_at": send_at_of(index, now), "priority": "high"}
        for index, item in enumerate(islice(items, SCHEDULED))
    ]
    yield batch_of(0, scheduled, content_type=NDJSON, scheduled=len(scheduled))
    number = 0
    while chunk := list(islice(items, BATCH)):
        number += 1
        broken = [broken_item(number + n, chunk[n % len(chunk)]) for n in range(INVALID_PER_BATCH)]
        middle = len(chunk) // 2
        mixed = [*chunk[:middle], *broken, *chunk[middle:]]
        kind = JSON if number % 2 else NDJSON
        yield batch_of(number, mixed, content_type=kind, broken=len(broken))


def webhook_file(people: Iterable[Mapping[str, str]], *, campaign: str, url: str) -> Batch:
    """The webhooks, one for each member, as one file; two rows of it are broken."""
    members = (person for person in people if segment_of(person) == MEMBERS)
    items = [webhook_item(person, campaign=campaign, url=url) for person in members]
    broken = [
        {**items[0], "to": [{**items[0]["to"][0], "url": "baskets, please"}]},
        {**items[-1], "segment": "strangers"},
    ]
    middle = len(items) // 2
    mixed = [*items[:middle], *broken, *items[middle:]]
    return batch_of(0, mixed, content_type=NDJSON, broken=len(broken))


def send_at_of(index: int, now: datetime) -> str:
    """When the scheduled one of this index is due."""
    moment = now + SCHEDULED_AHEAD + SCHEDULED_STEP * (index // SCHEDULED_AT_ONCE)
    return moment.isoformat(timespec="milliseconds")


def batch_of(
    number: int, items: Sequence[Item], *, content_type: str, broken: int = 0, scheduled: int = 0
) -> Batch:
    """A batch with what is to come of it."""
    addresses = [item["to"][0].get("email", "") for item in items if item.get("to")]
    expected = Expected(
        accepted=len(items) - broken,
        rejected=broken,
        undeliverable=sum(map(is_permanent, addresses)),
        retried=sum(map(is_temporary, addresses)),
        scheduled=scheduled,
    )
    return Batch(number=number, items=tuple(items), content_type=content_type, expected=expected)


_BREAKS: Final[tuple[Callable[[Item], Item], ...]] = (
    lambda item: {**item, "to": [{**item["to"][0], "email": "nobody at example.org"}]},
    lambda item: {name: value for name, value in item.items() if name != "to"},
    lambda item: {**item, "template": "summer"},
    lambda item: {**item, "segment": "strangers"},
    lambda item: {**item, "to": [{**item["to"][0], "email": "eve@example.org\r\nBcc: all@x.org"}]},
    lambda item: {**item, "priority": "urgent"},
    lambda item: {**item, "sendat": "2030-01-01T00:00:00Z"},
)


def broken_item(number: int, item: Item) -> Item:
    """The item with one mistake: a bad address, a missing field, an unknown segment, …"""
    harmless = {**item["to"][0], "email": f"broken.{number}@example.org"}
    return _BREAKS[number % len(_BREAKS)]({**item, "to": [harmless]})


def cancel_one(expected: Expected) -> Expected:
    """The same when one of the scheduled is taken back."""
    return replace(expected, cancelled=expected.cancelled + CANCELLED)


def cancellable(batch: Batch) -> int:
    """The index of the scheduled one to cancel: the last that the mailbox would have taken."""
    plain = [
        index
        for index, item in enumerate(batch.items)
        if not (is_permanent(a := item["to"][0]["email"]) or is_temporary(a))
    ]
    return plain[-1]


def password_reset(number: int, *, campaign: str) -> Item:
    """One of the bank's urgent messages."""
    digits = int.from_bytes(_digest(f"{campaign}/{number}")[:4], "big") % 1_000_000
    return {
        "channel": "email",
        "to": [{"email": f"customer.{number:03}@example.net", "name": f"Customer {number:03}"}],
        "template": RESET,
        "campaign": campaign,
        "priority": "high",
        "data": {
            "code": f"{digits // 1000:03}-{digits % 1000:03}",
            "minutes": 15,
            "reset_url": f"https://bank.example.com/reset/{_digest(str(number)).hex()[:20]}",
            "device": {"browser": "Firefox", "city": "Lisbon"} if number % 3 else None,
        },
        # Nobody follows people into their bank.
        "tracking": {"opens": False, "clicks": False},
    }


def opens(result_id: str) -> bool:
    """Whether the reader opens this message."""
    return _percent(result_id) < OPENS_PERCENT


def clicks(result_id: str) -> bool:
    """Whether the reader follows a link in this message; it has opened it then."""
    return _percent(result_id) < CLICKS_PERCENT


def link_to_click(result_id: str, links: Sequence[str]) -> str:
    """The one of a message's links that the reader follows."""
    return links[_digest(result_id)[4] % len(links)]


def hook_of(mailbox: str, run: str) -> str:
    """Where the shop's own system takes webhooks: the mailbox plays it, too."""
    return f"{mailbox}hooks/baskets/{run}"


def result_id_of(message_id: str) -> str:
    """The result that a Message-ID names, or the id of a webhook."""
    return message_id.strip().lstrip("<").partition("@")[0]


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The value below or at which `percent` of the values lie (nearest rank); None of none."""
    if not values:
        return None
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return sorted(values)[rank - 1]


def _percent(text: str) -> int:
    return int.from_bytes(_digest(text)[:4], "big") % 100


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
