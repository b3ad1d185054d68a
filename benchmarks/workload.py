"""The work that peer and platform are both given: a template, seeded recipients, the same bodies.

A rendered page has 2.8 kB and 10 links. The template is plain Jinja2 (variables, loops,
conditions, `format`), so that either side renders it with its own engine. A recipient's data is
flat at the top of the context.
Who needs another shape of request builds it from `recipients()` and `context()`.
"""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

TEMPLATE_NAME: Final = "order-shipped"
TEMPLATE_VERSION: Final = 1
CHANNEL: Final = "email"
CAMPAIGN: Final = "autumn-orders"
SEGMENT: Final = "returning-customers"
SENDER_NAME: Final = "The Example Shop"
SENDER_ADDRESS: Final = "orders@shop.example.com"

SUBJECT: Final = "{{ first_name }}, order {{ order_number }} is on its way"

HTML: Final = """\
<!DOCTYPE html>
<html lang="{{ locale }}"><head><meta charset="utf-8"><title>Order {{ order_number }}</title>
<style>body{font-family:Arial,sans-serif;color:#222;margin:0}.box{width:600px;margin:auto}
td{padding:4px 8px;border-bottom:1px solid #eee}.sum{font-weight:bold}.small{font-size:11px}
a{color:#0b5cad}.button{background:#0b5cad;color:#fff;padding:10px 18px;text-decoration:none}
</style></head>
<body><div style="display:none">Order {{ order_number }} has left {{ warehouse }}: what is in the
parcel, when it comes, and what to do if nobody will be at home.</div><div class="box">
<p><a href="https://shop.example.com/?lang={{ locale }}"><b>The Example Shop</b></a></p>
<h1>Good news, {{ first_name }}!</h1>
<p>Your order <a href="https://shop.example.com/orders/{{ order_number }}">{{ order_number }}</a>
left our warehouse in {{ warehouse }} and should reach you in {{ city }}
{% if express %}<b>tomorrow</b>{% else %}within {{ days }} days{% endif %}.</p>
<p><a class="button" href="https://shop.example.com/track/{{ order_number }}">Follow it</a></p>
<table width="100%" cellspacing="0">
{% for line in lines %}<tr><td>{{ loop.index }}</td>
<td>{{ line.title }}{% if line.gift %} <i>(a gift)</i>{% endif %}</td>
<td>{{ line.quantity }} &times;</td>
<td align="right">{{ "%.2f" | format(line.price) }} {{ currency }}</td></tr>
{% endfor %}<tr class="sum"><td></td><td>Total</td><td></td>
<td align="right">{{ "%.2f" | format(total) }} {{ currency }}</td></tr></table>
{% if points > 500 %}<p>You have {{ points }} points:
<a href="https://shop.example.com/points">spend them before they lapse</a>.</p>
{% else %}<p>This order brought you to {{ points }} points, and
<a href="https://shop.example.com/points">500 make a voucher</a>.</p>{% endif %}
<h2>Nobody at home?</h2>
<p>The driver rings twice, then looks for a neighbour, then leaves a card with the address of the
nearest parcel shop in {{ city }}. It is kept there for seven days. You can also
<a href="https://shop.example.com/track/{{ order_number }}/neighbour">name a neighbour</a> or a
safe place now; the driver sees it until the morning of the delivery.</p>
<h2>You may also like</h2>
<ul>{% for item in suggestions %}
<li><a href="https://shop.example.com/p/{{ item.sku }}">{{ item.title }}</a>
from {{ "%.2f" | format(item.price) }} {{ currency }}</li>{% endfor %}</ul>
<p>Something wrong? <a href="https://shop.example.com/help">Our help pages</a> know most answers,
and <a href="https://shop.example.com/orders/{{ order_number }}/return">a return</a> is free
for 30 days. Please keep this message as your receipt until then.</p>
<p class="small">You get this message because {{ email }} ordered at The Example Shop,
1 Example Street, Exampleton. This is a message about your order and not an advertisement,
so it is sent whatever your newsletter settings say. Prices include the value added tax of your
country. The Example Shop is a trading name of Example Trading, registered in Exampleton under
number 0000001; your contract is with that company.
<a href="https://shop.example.com/settings">Change your settings</a></p>
</div></body></html>
"""

TEXT: Final = """\
Good news, {{ first_name }}!

Your order {{ order_number }} left our warehouse in {{ warehouse }} and should reach you in
{{ city }} {% if express %}tomorrow{% else %}within {{ days }} days{% endif %}.

{% for line in lines %}{{ line.quantity }} x {{ line.title }}: \
{{ "%.2f" | format(line.price) }} {{ currency }}
{% endfor %}Total: {{ "%.2f" | format(total) }} {{ currency }}

Follow it: https://shop.example.com/track/{{ order_number }}
Help: https://shop.example.com/help
"""

PARTS: Final[Mapping[str, str]] = {"subject": SUBJECT, "html": HTML, "text": TEXT}

_FIRST: Final = (
    "Ada",
    "Björn",
    "Chloé",
    "Dmitri",
    "Eda",
    "Femi",
    "Grace",
    "Hana",
    "Iñaki",
    "Jürgen",
)
_LAST: Final = ("Adeyemi", "Berg", "Çelik", "Dubois", "Evans", "Fischer", "García", "Haas", "Ito")
_CITIES: Final = (
    ("Berlin", "de", "Europe/Berlin", "EUR"),
    ("Lyon", "fr", "Europe/Paris", "EUR"),
    ("Leeds", "en", "Europe/London", "GBP"),
    ("Boston", "en", "America/New_York", "USD"),
    ("Osaka", "ja", "Asia/Tokyo", "JPY"),
)
_GOODS: Final = (
    ("KT-101", "Kettle, 1.7 l"),
    ("LP-220", "Desk lamp & shade"),
    ("BK-007", "Notebook, dotted"),
    ("PN-014", "Fountain pen"),
    ("MG-330", "Mug with a lid"),
    ("BG-512", "Rucksack, 25 l"),
    ("CL-061", "Wall clock"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One person who is written to, and what the template shall say to them."""

    address: str
    name: str
    recipient_id: str
    locale: str
    timezone: str
    data: Mapping[str, Any]


def recipients(count: int, *, seed: int = 7) -> Iterator[Recipient]:
    """`count` people; the same seed gives the same people."""
    draw = random.Random(seed)
    for index in range(count):
        yield _recipient(draw, index)


def context(recipient: Recipient) -> dict[str, Any]:
    """What the template sees for this recipient."""
    return {"email": recipient.address, "locale": recipient.locale, **recipient.data}


def request(recipient: Recipient, index: int) -> dict[str, Any]:
    """The JSON body of one POST: one recipient, a stored template, the usual labels."""
    return {
        "channel": CHANNEL,
        "to": [
            {
                "address": recipient.address,
                "name": recipient.name,
                "recipient_id": recipient.recipient_id,
                "locale": recipient.locale,
                "timezone": recipient.timezone,
                "data": dict(recipient.data),
            }
        ],
        "template": {"name": TEMPLATE_NAME, "version": TEMPLATE_VERSION},
        "campaign": CAMPAIGN,
        "segment": SEGMENT,
        "priority": "normal",
        "reference": f"order-{index}",
        "tags": ["order", "shipped"],
        "metadata": {"source": "benchmark"},
    }


def single_bodies(count: int, *, seed: int = 7) -> list[bytes]:
    """`count` bodies of one communication each, encoded ahead of the measurement."""
    return [
        _encode(request(each, index)) for index, each in enumerate(recipients(count, seed=seed))
    ]


def batch_bodies(count: int, *, size: int, seed: int = 7) -> list[bytes]:
    """`count` communications as JSON arrays of `size`; the last may be shorter."""
    assert size >= 1
    items = [request(each, index) for index, each in enumerate(recipients(count, seed=seed))]
    return [_encode(items[start : start + size]) for start in range(0, count, size)]


def _encode(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _recipient(draw: random.Random, index: int) -> Recipient:
    first, last = draw.choice(_FIRST), draw.choice(_LAST)
    city, locale, timezone, currency = draw.choice(_CITIES)
    lines: list[dict[str, Any]] = [
        {
            "title": title,
            "quantity": draw.randint(1, 3),
            "price": draw.randint(300, 9_000) / 100,
            "gift": draw.random() < 0.2,
        }
        for _, title in draw.sample(_GOODS, draw.randint(2, 4))
    ]
    return Recipient(
        address=f"customer.{index}@example.com",
        name=f"{first} {last}",
        recipient_id=f"customer-{index}",
        locale=locale,
        timezone=timezone,
        data={
            "first_name": first,
            "order_number": f"{draw.randint(10**8, 10**9 - 1)}",
            "warehouse": draw.choice(("Hamburg", "Lille", "Reading")),
            "city": city,
            "express": draw.random() < 0.3,
            "days": draw.randint(2, 6),
            "currency": currency,
            "lines": lines,
            "total": round(sum(line["quantity"] * line["price"] for line in lines), 2),
            "points": draw.randint(0, 1_200),
            "suggestions": [
                {"sku": sku, "title": title, "price": draw.randint(300, 9_000) / 100}
                for sku, title in draw.sample(_GOODS, 2)
            ],
        },
    )
