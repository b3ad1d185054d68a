from dataclasses import dataclass, field

import pytest

from cdp.domain.pace import BATCH_LEAST, BATCHES, Pace, Place


@dataclass(slots=True)
class Worker:
    """Sends so many a second, one batch after the other; a batch that takes longer is behind."""

    pace: Pace
    per_s: float
    patience_s: float = 1.0
    now: float = 0.0
    free_at: float = 0.0
    batches: list[tuple[float, float, Place]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def run(self, count: int) -> None:
        """With more work waiting all the time than there is a place for."""
        for _ in range(count):
            while self.pace.has_room:
                place = self.pace.begin()
                self.free_at = max(self.free_at, self.now) + place.size / self.per_s
                self.batches.append((self.now, self.free_at, place))
            begun, ended, place = self.batches.pop(0)
            self.now = ended
            self.latencies.append(ended - begun)
            behind = place.size if ended - begun > self.patience_s else 0
            self.pace.note(place, behind=behind)
            self.pace.end(place)


@pytest.mark.parametrize("per_s", [100, 300, 900, 1_500])
def test_the_window_finds_what_a_worker_sends_in_time(per_s):
    worker = Worker(Pace(batch_max=250), per_s)

    worker.run(600)

    late = [latency > 1.0 for latency in worker.latencies[-200:]]
    assert sum(late) < 20
    assert per_s * 0.3 < worker.pace.window < per_s * 1.4


def test_a_worker_that_became_quicker_is_given_more_again():
    worker = Worker(Pace(batch_max=250), 100)
    worker.run(100)
    low = worker.pace.window

    worker.per_s = 5_000
    worker.run(250)

    assert low < 150
    assert worker.pace.window == 2_000
    assert worker.pace.batch == 250


def test_what_was_begun_under_a_larger_window_shrinks_it_no_further():
    pace = Pace(batch_max=250)
    places = [pace.begin() for _ in range(3)]

    for place in places:
        pace.note(place, behind=place.size)
        pace.end(place)

    assert pace.window == 250


def test_a_window_that_keeps_nobody_waiting_does_not_grow():
    pace = Pace(batch_max=250)

    for _ in range(50):
        place = pace.fill(pace.begin(), 40)
        pace.note(place, behind=0)
        pace.end(place)

    assert pace.window == 500


def test_places_that_are_kept_and_not_filled_do_not_make_it_grow():
    pace = Pace(batch_max=250)

    for _ in range(50):
        place, other = pace.begin(), pace.begin()
        assert not pace.has_room
        place = pace.fill(place, 249)
        pace.note(place, behind=0)
        pace.end(place)
        pace.end(other)

    assert pace.window == 500


def test_a_full_batch_of_which_some_need_no_place_lets_it_grow():
    pace = Pace(batch_max=250)
    place, other = pace.begin(), pace.begin()

    place = pace.fill(place, 200, taken=250)
    other = pace.fill(other, 250)
    assert not pace.has_room
    pace.note(place, behind=0)

    assert pace.window > 500


def test_some_that_wait_leave_it_as_it_is():
    pace = Pace(batch_max=250)
    places = [pace.begin() for _ in range(3)]

    pace.note(places[0], behind=places[0].size // 10)

    assert pace.window == 500


def test_it_shrinks_by_how_many_of_a_batch_had_to_wait():
    pace = Pace(batch_max=250)

    pace.note(pace.begin(), behind=125)

    assert pace.window == 375


def test_it_never_shrinks_below_some_small_batches():
    pace = Pace(batch_max=250)

    for _ in range(50):
        place = pace.begin()
        pace.note(place, behind=place.size)
        pace.end(place)

    assert (pace.window, pace.batch) == (BATCHES * BATCH_LEAST, BATCH_LEAST)


def test_a_place_counts_as_under_way_until_it_ends():
    pace = Pace(batch_max=250)
    place = pace.begin()
    assert pace.under_way == 250

    place = pace.fill(place, 10)
    assert pace.under_way == 10

    pace.end(place)
    assert pace.under_way == 0


@pytest.mark.parametrize("batch_max", [1, 2, 25, 30])
def test_with_small_batches_one_always_has_room(batch_max):
    pace = Pace(batch_max=batch_max)

    for _ in range(30):
        assert pace.has_room
        place = pace.begin()
        assert 1 <= place.size <= batch_max
        pace.note(place, behind=place.size)
        pace.end(place)
