"""Makes `spring-campaign.csv`: 5,000 invented people in eight languages, always the same ones.

Run it as `python examples/make_campaign.py`. The columns, and the tags in some of the addresses,
are described in `README.md` beside this file.
"""

import csv
import io
import sys
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

FOLDER = Path(__file__).parent
WORDS = FOLDER / "campaign-words.toml"
FILE = FOLDER / "spring-campaign.csv"
COLUMNS = ("email", "name", "locale", "city", "plan", "points", "items", "gift")

PEOPLE = 5_000
SEED = 20_260_320
TAGS = {"soft1": 100, "soft2": 50, "bounce": 100}
"""How many of them ask the mailbox for which trouble: 3 % temporary, 2 % permanent."""
PLANS = {"basic": 70, "plus": 22, "premium": 8}
ITEMS = {1: 40, 2: 30, 3: 20, 4: 10}
QUANTITIES = {1: 75, 2: 20, 3: 5}
GIFTS = 0.15

# Letters that are no letter with an accent.
_LATIN = str.maketrans({"ł": "l", "Ł": "L", "ß": "ss", "ø": "o", "æ": "ae", "œ": "oe"})


@dataclass(frozen=True)
class Language:
    """What belongs together: names, cities, and the products under their local names."""

    locale: str
    share: int
    family_first: bool
    firsts: list[str]
    lasts: list[str]
    cities: list[str]
    products: list[tuple[str, str, str]]
    """SKU, title, price."""


def languages(words: dict[str, Any]) -> list[Language]:
    """The languages of the word file."""
    return [
        Language(
            locale=locale,
            share=of["share"],
            family_first=of.get("family_first", False),
            firsts=of["firsts"].split(),
            lasts=of["lasts"].split(),
            cities=_listed(of["cities"]),
            products=[
                (sku, title, _price(euros, of["rate"]))
                for (sku, euros), title in zip(
                    words["products"].items(), _listed(of["titles"]), strict=True
                )
            ],
        )
        for locale, of in words["languages"].items()
    ]


def rows(seed: int = SEED) -> Iterator[tuple[str, ...]]:
    """The lines of the file, without its head."""
    words = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    spoken = languages(words)
    draw = Random(seed)  # noqa: S311 - invented people are no secret
    used: set[str] = set()
    for tag in _tags(draw):
        language = draw.choices(spoken, [one.share for one in spoken])[0]
        name, local = _person(draw, language)
        local = _unused(local, used)
        yield (
            f"{local}{tag}@{draw.choice(words['domains'])}",
            name,
            language.locale,
            draw.choice(language.cities),
            _weighted(draw, PLANS),
            str(draw.randrange(0, 1_200, 10)),
            _order(draw, language),
            "yes" if draw.random() < GIFTS else "no",
        )


def text(seed: int = SEED) -> str:
    """The whole file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows(seed))
    return out.getvalue()


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",")]


def _price(euros: float, rate: float) -> str:
    """As a shop there would round it."""
    if rate == 1:
        return f"{euros:.2f}"
    if rate > 100:
        return str(round(euros * rate / 100) * 100 - 20)
    return f"{int(euros * rate)}.90"


def _tags(draw: Random) -> list[str]:
    tags = [""] * PEOPLE
    places = iter(draw.sample(range(PEOPLE), sum(TAGS.values())))
    for tag, count in TAGS.items():
        for _ in range(count):
            tags[next(places)] = f"+{tag}"
    return tags


def _weighted(draw: Random, shares: dict[Any, int]) -> Any:
    return draw.choices(list(shares), list(shares.values()))[0]


def _person(draw: Random, language: Language) -> tuple[str, str]:
    """The name as it is written there, and the part before the @."""
    first, _, first_latin = draw.choice(language.firsts).partition("/")
    last, _, last_latin = draw.choice(language.lasts).partition("/")
    name = f"{last} {first}" if language.family_first else f"{first} {last}"
    return name, f"{_letters(first_latin or first)}.{_letters(last_latin or last)}"


def _letters(word: str) -> str:
    plain = unicodedata.normalize("NFKD", word.translate(_LATIN))
    return "".join(letter for letter in plain.lower() if "a" <= letter <= "z")


def _unused(local: str, used: set[str]) -> str:
    candidate, number = local, 1
    while candidate in used:
        number += 1
        candidate = f"{local}{number}"
    used.add(candidate)
    return candidate


def _order(draw: Random, language: Language) -> str:
    """`SKU:title:quantity:price`, one to four of them with a bar between."""
    return "|".join(
        f"{sku}:{title}:{_weighted(draw, QUANTITIES)}:{price}"
        for sku, title, price in draw.sample(language.products, _weighted(draw, ITEMS))
    )


def main() -> int:
    """Write the file."""
    FILE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{FILE.name}: {PEOPLE:,} people, {FILE.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
