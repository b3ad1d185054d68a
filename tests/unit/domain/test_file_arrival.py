from datetime import UTC, datetime, timedelta

import pytest

from cdp.domain.file_arrival import DropPlace, UploadPlace, place_of, version_of
from cdp.domain.ids import ClientId, text_of
from cdp.ports.object_store import checked_key

CLIENT = ClientId(bytes(range(16)))
FILE = bytes(range(16, 32))
ACME = text_of(CLIENT)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_place_of_an_upload_names_its_client_and_its_file():
    place = UploadPlace(CLIENT, FILE)

    assert place_of(checked_key(place.key)) == place
    assert place.key == f"arrivals/uploads/{ACME}/{text_of(FILE)}"


@pytest.mark.parametrize("name", ["people.csv", "2026/people.csv", "uploads/people.csv"])
def test_a_drop_is_for_the_client_whose_id_it_lies_under(name):
    assert place_of(f"arrivals/{ACME}/{name}") == DropPlace(CLIENT, name)


@pytest.mark.parametrize(
    "rest",
    [
        "people.csv", ACME, f"{ACME}/", "acme/people.csv", f"{CLIENT.hex()}/people.csv",
        f"uploads/{ACME}", f"uploads/{ACME}/people.csv", f"uploads/{ACME}/{text_of(FILE)}/a",
        "uploads",
    ],
)  # fmt: skip
def test_any_other_key_is_the_place_of_nothing(rest):
    assert place_of(f"arrivals/{rest}") is None


def test_an_object_that_replaces_another_is_told_from_it_by_size_or_time():
    versions = {
        version_of(size=size, stored_at=NOW + timedelta(seconds=later))
        for size in (1, 2)
        for later in (0, 1)
    }

    assert len(versions) == 4
    assert version_of(size=1, stored_at=NOW) in versions
