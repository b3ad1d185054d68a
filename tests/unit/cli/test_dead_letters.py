"""What `cdp dead-letters` reads from its options."""

from datetime import UTC, datetime

import pytest

from cdp.cli.dead_letters import read_filter, read_ids, require_choice
from cdp.domain.dead_letter import DeadLetterFilter, DeadLetterPlace
from cdp.domain.failure import ErrorClass
from cdp.domain.ids import ResultId, text_of
from cdp.errors import Invalid

ID = ResultId(bytes(range(16)))
SOME = DeadLetterFilter(campaign="spring")


def test_options_are_read_as_the_api_reads_them():
    wanted = read_filter(class_="config", campaign="spring", failed_to="2030-01-31T10:00:00+01:00")

    assert wanted == DeadLetterFilter(
        error_class=ErrorClass.CONFIG,
        campaign="spring",
        failed_to=datetime(2030, 1, 31, 9, tzinfo=UTC),
    )
    assert read_filter(class_=None) == DeadLetterFilter()


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"class_": "bad"}, "--class"),
        ({"failed_from": "yesterday"}, "--failed-from"),
        ({"channel": "fax"}, "--channel"),
        ({"reason": ""}, "--reason"),
    ],
)
def test_an_option_that_means_nothing_is_refused_by_its_name(given, option):
    with pytest.raises(Invalid) as refused:
        read_filter(**given)

    assert [error.pointer for error in refused.value.errors] == [option]


def test_ids_are_read_as_they_are_shown():
    assert read_ids([text_of(ID)]) == [ID]
    with pytest.raises(Invalid):
        read_ids(["x"])


@pytest.mark.parametrize(
    ("ids", "wanted", "everything", "is_fit"),
    [
        ([ID], DeadLetterFilter(), False, True),
        ([], SOME, False, True),
        ([], DeadLetterFilter(), True, True),
        ([], DeadLetterFilter(), False, False),
        ([ID], SOME, False, False),
        ([], SOME, True, False),
    ],
)
def test_what_is_replayed_must_be_said_in_one_way(ids, wanted, everything, is_fit):
    if is_fit:
        require_choice(ids, wanted, everything=everything)
    else:
        with pytest.raises(Invalid):
            require_choice(ids, wanted, everything=everything)


def test_a_place_in_the_list_is_kept_to_the_millisecond():
    place = DeadLetterPlace(
        failed_at=datetime(2030, 1, 31, 9, 0, 0, 1000, tzinfo=UTC), result_id=ID
    )

    assert DeadLetterPlace.from_bytes(place.to_bytes()) == place
