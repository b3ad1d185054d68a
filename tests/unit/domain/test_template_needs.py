from datetime import UTC, datetime

import pytest

from cdp.domain.ids import ClientId
from cdp.domain.template import TemplateVersion
from cdp.domain.template_needs import NOTHING_NEEDED, Needs

NEEDS = Needs.of(["name", "order.id", "order.address.city"])


@pytest.mark.parametrize(
    ("own", "shared", "lacking"),
    [
        ({}, {}, ["name", "order"]),
        ({"name": "Ada", "order": {"id": 1, "address": {"city": "x"}}}, {}, []),
        ({"name": "Ada"}, {"order": {"id": 1, "address": {"city": "x"}}}, []),
        # What the recipient brings comes before the request's, whatever is in it.
        ({"order": {}}, {"name": "x", "order": {"id": 1, "address": {"city": "x"}}},
         ["order.address.city", "order.id"]),
        ({"name": None, "order": None}, {}, ["order.address.city", "order.id"]),
        ({"name": "", "order": {"id": None, "address": {}}}, {}, ["order.address.city"]),
        # What is no object may have it in a way that only the template knows.
        ({"name": 1, "order": "text"}, {}, []),
        ({"name": 1, "order": {"id": 1, "address": ["city"]}}, {}, []),
    ],
)  # fmt: skip
def test_only_what_is_certainly_absent_is_lacking(own, shared, lacking):
    assert sorted(".".join(path) for path in NEEDS.lacking(own, shared)) == lacking


def test_needs_are_stored_as_paths():
    assert NEEDS.paths() == ["name", "order", "order.address.city", "order.id"]
    assert Needs.of(NEEDS.paths()).lacking({}, {}) == NEEDS.lacking({}, {})
    assert NOTHING_NEEDED.lacking({}, {}) == []


def test_each_language_has_the_needs_of_its_own_content():
    one, two = Needs.of(["one"]), Needs.of(["two"])
    version = TemplateVersion(
        id=bytes(16),
        client_id=ClientId(bytes(16)),
        name="t",
        version=1,
        contents={"email": {"*": {}, "pt": {}}, "sms": {"de": {}}},
        needs={"email": {"*": one, "pt": two}, "sms": {"de": one}},
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )

    asked = [("email", None), ("email", "en"), ("email", "pt-BR"), ("sms", "de-AT"), ("push", "de")]
    assert [version.needs_for(*each) for each in asked] == [one, one, two, one, NOTHING_NEEDED]
