"""The sliding window of one worker."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.breaker import Counts
from services.breaker_window import Window
from services.state.counters import Bucket

NOW = 1_000_000_000


def test_calls_leave_the_window_when_they_are_older_than_it() -> None:
    window = Window(30)
    assert window.add(NOW, error=True, slow=False) == Counts(1, 1, 0)
    assert window.add(NOW + 29_000, error=False, slow=True) == Counts(2, 1, 1)
    assert window.counts(NOW + 30_000) == Counts(1, 0, 1)
    assert window.counts(NOW + 59_000) == Counts()


def test_what_was_pushed_is_counted_once_beside_what_others_pushed() -> None:
    window = Window(30)
    window.add(NOW, error=True, slow=False)
    taken = window.take()
    assert taken == [Bucket(0, NOW // 1000, 1, 1, 0)]
    window.add(NOW, error=False, slow=False)
    window.pushed([Bucket(0, NOW // 1000, 11, 1, 5)])
    assert window.counts(NOW) == Counts(12, 1, 5)
    assert window.take() == [Bucket(0, NOW // 1000, 1, 0, 0)]


def test_what_could_not_be_pushed_is_kept_for_the_next_time() -> None:
    window = Window(30)
    window.add(NOW, error=True, slow=False)
    window.take()
    window.add(NOW, error=False, slow=False)
    assert window.counts(NOW) == Counts(2, 1, 0)
    assert window.take() == [Bucket(0, NOW // 1000, 2, 1, 0)]
    assert window.counts(NOW) == Counts(2, 1, 0)


def test_another_epoch_begins_with_nothing_and_ignores_buckets_of_others() -> None:
    window = Window(30)
    window.add(NOW, error=True, slow=False)
    window.take()
    window.begin(4)
    window.pushed([Bucket(4, NOW // 1000, 2, 1, 0), Bucket(0, NOW // 1000, 9, 9, 9)])
    assert window.counts(NOW) == Counts(2, 1, 0)
    assert window.take() == []


def test_calls_from_a_clock_that_was_ahead_do_not_count_until_their_time() -> None:
    window = Window(30)
    window.add(NOW + 60_000, error=True, slow=False)
    assert window.counts(NOW) == Counts()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5000), st.booleans(), st.booleans(), st.integers(0, 2)), max_size=60)
)
def test_the_window_is_always_the_sum_of_the_calls_within_it(
    calls: list[tuple[int, bool, bool, int]],
) -> None:
    """However adding, waiting and pushing (done or failed) interleave."""
    window, now, made = Window(10), NOW, list[tuple[int, bool, bool]]()
    shared: dict[int, list[int]] = {}
    for wait_ms, error, slow, push in calls:
        now += wait_ms
        window.add(now, error=error, slow=slow)
        made.append((now // 1000, error, slow))
        if push == 1:
            for bucket in window.take():
                known = shared.setdefault(bucket.second, [0, 0, 0])
                known[0] += bucket.calls
                known[1] += bucket.errors
                known[2] += bucket.slow
            window.pushed([Bucket(0, at, *counts) for at, counts in shared.items()])
        elif push == 2:
            window.take()
        inside = [call for call in made if call[0] > now // 1000 - 10]
        expected = Counts(len(inside), sum(c[1] for c in inside), sum(c[2] for c in inside))
        assert window.counts(now) == expected
