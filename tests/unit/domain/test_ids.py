import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.ids import (
    EVENT_ID_BYTES,
    ID_BYTES,
    RANDOM_BYTES,
    RECIPIENTS_MAX,
    RequestId,
    ResultId,
    derived_id,
    event_id,
    id_from_text,
    number_of,
    partition_of,
    result_ids,
    result_of,
    text_of,
    unix_ms_of,
    unnumbered_event_id,
    uuid7,
)

ids = st.binary(min_size=ID_BYTES, max_size=ID_BYTES)
moments = st.integers(0, (1 << 48) - 1)
randoms = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)
numbers = st.integers(1, 0xFFFFFFFE)
keys = st.binary(min_size=16, max_size=32)


@given(unix_ms=moments, random_bytes=randoms)
def test_an_id_is_a_uuid_of_version_7_that_tells_its_time(unix_ms, random_bytes):
    made = uuid7(unix_ms=unix_ms, random_bytes=random_bytes)

    assert len(made) == ID_BYTES
    assert made[6] >> 4 == 7
    assert made[8] >> 6 == 0b10
    assert unix_ms_of(made) == unix_ms


@given(earlier=moments, later=moments, first=randoms, second=randoms)
def test_ids_sort_by_their_time(earlier, later, first, second):
    old = uuid7(unix_ms=min(earlier, later), random_bytes=first)
    new = uuid7(unix_ms=max(earlier, later), random_bytes=second)

    assert earlier == later or old < new


@given(parent=ids, index=st.integers(0, 1 << 40), key=keys)
def test_a_derived_id_is_the_same_again_and_has_its_parents_time(parent, index, key):
    derived = derived_id(parent, index, key=key)

    assert derived == derived_id(parent, index, key=key)
    assert unix_ms_of(derived) == unix_ms_of(parent)


@given(parent=ids, key=keys, other_key=keys)
def test_derived_ids_differ_by_index_and_by_key(parent, key, other_key):
    children = [derived_id(parent, index, key=key) for index in range(200)]

    assert len(set(children)) == 200
    assert key == other_key or derived_id(parent, 0, key=other_key) != children[0]


def test_with_one_recipient_the_result_has_the_requests_own_id():
    request_id = RequestId(bytes(range(16)))

    assert result_ids(request_id, 1, key=b"k") == [ResultId(request_id)]


@given(parent=ids, recipients=st.integers(2, RECIPIENTS_MAX))
def test_several_recipients_have_each_an_id_of_their_own(parent, recipients):
    made = result_ids(RequestId(parent), recipients, key=b"k")

    assert len(set(made)) == recipients
    assert parent not in made


@given(result_id=ids, number=numbers)
def test_an_events_id_says_whose_it_is_and_which_number(result_id, number):
    made = event_id(result_id, number)

    assert len(made) == EVENT_ID_BYTES
    assert number_of(made) == number
    assert result_of(made) == result_id


@given(result_id=ids, first=numbers, second=numbers)
def test_events_sort_by_their_number(result_id, first, second):
    in_order = event_id(result_id, min(first, second)) <= event_id(result_id, max(first, second))

    assert in_order


@given(result_id=ids, number=numbers, reference=st.text())
def test_engagement_stands_behind_all_numbered_events_and_has_no_number(
    result_id, number, reference
):
    opened = unnumbered_event_id(result_id, "OPENED", reference)

    assert len(opened) == EVENT_ID_BYTES
    assert opened > event_id(result_id, number)
    assert number_of(opened) is None
    assert result_of(opened) == result_id


def test_the_same_engagement_has_the_same_id_and_another_kind_another():
    opened = unnumbered_event_id(bytes(16), "OPENED", "x")

    assert opened == unnumbered_event_id(bytes(16), "OPENED", "x")
    assert opened != unnumbered_event_id(bytes(16), "CLICKED", "x")
    assert opened != unnumbered_event_id(bytes(16), "OPENED", "y")


@given(any_id=ids)
def test_an_ids_text_reads_back(any_id):
    assert id_from_text(text_of(any_id)) == any_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00000000-0000-0000-0000-00000000000",
        "00000000000000000000000000000000",
        "0000000A-0000-0000-0000-000000000000",
        "{00000000-0000-0000-0000-000000000000}",
        "00000000-0000-0000-0000-000000000000\n",
    ],
)
def test_what_is_no_usual_text_form_is_refused(text):
    with pytest.raises(ValueError, match="not an id"):
        id_from_text(text)


@given(result_id=ids, partitions=st.integers(1, 4096))
def test_a_partition_is_one_of_those_there_are(result_id, partitions):
    assert 0 <= partition_of(result_id, partitions) < partitions


def test_derived_ids_spread_evenly_over_the_partitions():
    parent = uuid7(unix_ms=1, random_bytes=bytes(RANDOM_BYTES))

    spread = Counter(partition_of(derived_id(parent, i, key=b"k"), 64) for i in range(6400))

    assert len(spread) == 64
    assert max(spread.values()) < 2 * min(spread.values())


def test_d14_two_processes_agree_on_every_partition_whatever_their_hash_seed():
    program = (
        "from cdp.domain.ids import derived_id, partition_of;"
        "print([partition_of(derived_id(bytes(16), i, key=b'k'), 64) for i in range(100)])"
    )

    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }

    here = [partition_of(derived_id(bytes(16), i, key=b"k"), 64) for i in range(100)]
    assert said == {f"{here}\n".encode()}
