"""The rules of one breaker."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.breaker import Breaker, BreakerSettings, Counts, Event, step, verdict, view

RULES = BreakerSettings(probes=2, open_s=5, max_open_s=60, jitter=0.2, probe_lease_s=30)
NOW = 1_000_000


def opened(at_ms: int = NOW, breaker: Breaker | None = None, luck: float = 0.0) -> Breaker:
    breaker = breaker or Breaker()
    return step(breaker, Event("trip", at_ms, breaker.epoch, "3 of 3 calls failed", luck), RULES)


def on_trial(at_ms: int = NOW) -> Breaker:
    return step(opened(at_ms - 5000), Event("claim", at_ms), RULES)


@pytest.mark.parametrize(
    ("counts", "opens"),
    [
        (Counts(9, 9, 9), False),
        (Counts(10, 4, 0), False),
        (Counts(10, 5, 0), True),
        (Counts(10, 0, 7), False),
        (Counts(10, 0, 8), True),
        (Counts(0, 0, 0), False),
    ],
)
def test_a_window_opens_at_its_error_or_slow_rate_and_only_with_enough_calls(
    counts: Counts, opens: bool
) -> None:
    assert (verdict(counts, BreakerSettings()) is not None) is opens


def test_the_reason_names_the_figures() -> None:
    assert verdict(Counts(20, 12, 0), BreakerSettings()) == "12 of 20 calls failed within 30 s"
    assert verdict(Counts(20, 0, 20), BreakerSettings()) == "20 of 20 calls took 5 s or longer within 30 s"


def test_an_open_breaker_says_why_and_when_to_come_back() -> None:
    state = view(opened(), NOW + 1000, RULES)
    assert (state.phase, state.retry_after_s) == ("open", 4.0)
    assert state.reason == "3 of 3 calls failed; tried again in 4.0 s"


def test_an_open_breaker_grants_no_probe_before_its_time() -> None:
    breaker = opened()
    assert step(breaker, Event("claim", NOW + 4999), RULES) is breaker
    assert step(breaker, Event("claim", NOW + 5000), RULES).phase == "half_open"
    assert view(breaker, NOW + 4999, RULES).phase == "open"
    assert view(breaker, NOW + 5000, RULES).phase == "half_open"


def test_a_trial_grants_as_many_probes_as_set_and_no_more() -> None:
    breaker = on_trial()
    second = step(breaker, Event("claim", NOW), RULES)
    assert (breaker.granted, second.granted) == (1, 2)
    assert step(second, Event("claim", NOW), RULES) is second


def test_good_probes_close_it_and_it_forgets_how_often_it_opened() -> None:
    breaker = step(on_trial(), Event("claim", NOW), RULES)
    once = step(breaker, Event("good", NOW, breaker.epoch), RULES)
    assert (once.phase, once.good) == ("half_open", 1)
    closed = step(once, Event("good", NOW, once.epoch), RULES)
    assert (closed.phase, closed.opens) == ("closed", 0)
    assert closed.epoch > once.epoch


def test_one_bad_probe_opens_it_again_for_twice_as_long() -> None:
    breaker = on_trial()
    again = step(breaker, Event("bad", NOW, breaker.epoch, "a trial call failed"), RULES)
    assert (again.phase, again.opens, again.until_ms) == ("open", 2, NOW + 10_000)


def test_open_times_double_up_to_their_bound_and_luck_spreads_them() -> None:
    breaker, at, lengths = opened(), NOW, []
    for _ in range(8):
        lengths.append(breaker.until_ms - at)
        at = breaker.until_ms
        breaker = step(breaker, Event("claim", at), RULES)
        breaker = step(breaker, Event("bad", at, breaker.epoch), RULES)
    assert lengths == [5000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000, 60_000]
    assert opened(luck=0.5).until_ms - NOW == 5500


def test_a_probe_that_was_not_used_may_be_claimed_again() -> None:
    breaker = step(on_trial(), Event("claim", NOW), RULES)
    free = step(breaker, Event("unused", NOW, breaker.epoch), RULES)
    assert step(free, Event("claim", NOW), RULES).granted == 2


def test_probes_that_never_came_back_are_given_up_after_their_lease() -> None:
    breaker = step(on_trial(), Event("claim", NOW), RULES)
    assert step(breaker, Event("claim", NOW + 29_999), RULES) is breaker
    anew = step(breaker, Event("claim", NOW + 30_000), RULES)
    assert (anew.phase, anew.granted, anew.good) == ("half_open", 1, 0)
    assert anew.epoch > breaker.epoch
    assert step(anew, Event("good", NOW, breaker.epoch), RULES) is anew


def told(breaker: Breaker, wait_s: float) -> Breaker:
    return step(breaker, Event("told", NOW, breaker.epoch, "it asked to", wait_s=wait_s), RULES)


@pytest.mark.parametrize("breaker", [Breaker(), on_trial()], ids=["closed", "on trial"])
def test_an_endpoint_that_says_when_to_come_back_is_left_alone_until_then(breaker: Breaker) -> None:
    """Longer than it would have been for a fault, within a bound, and never shorter."""
    waits = told(breaker, 300)
    assert view(waits, NOW + 299_999, RULES).phase == "open"
    assert view(waits, NOW + 300_000, RULES).phase == "half_open"
    assert told(breaker, 1e9).until_ms == NOW + 3_600_000
    at_once = told(breaker, 0)
    assert (
        at_once.until_ms
        == step(
            breaker, Event("trip" if breaker.phase == "closed" else "bad", NOW, breaker.epoch), RULES
        ).until_ms
    )


def test_one_that_says_at_once_again_and_again_is_asked_less_and_less() -> None:
    breaker, waits = Breaker(), []
    for _ in range(4):
        breaker = step(breaker, Event("told", NOW, breaker.epoch), RULES)
        waits.append(breaker.until_ms - NOW)
        breaker = step(breaker, Event("claim", breaker.until_ms), RULES)
    assert waits == [5_000, 10_000, 20_000, 40_000]


def test_an_open_breaker_stays_as_it_is_when_told() -> None:
    """A late answer of a call made before it opened."""
    waits = opened()
    assert told(waits, 300) is waits


@pytest.mark.parametrize("kind", ["trip", "told", "good", "bad", "unused"])
@pytest.mark.parametrize("breaker", [replace(phase, epoch=7) for phase in (Breaker(), opened(), on_trial())])
def test_what_belongs_to_an_earlier_epoch_changes_nothing(kind: str, breaker: Breaker) -> None:
    assert step(breaker, Event(kind, NOW, 6), RULES) is breaker  # type: ignore[arg-type]  # one of its kinds


def test_a_clock_that_goes_back_does_not_keep_it_open() -> None:
    breaker = opened()
    assert view(breaker, NOW - 3_600_000, RULES).phase == "half_open"
    assert step(on_trial(), Event("claim", NOW - 3_600_000), RULES).granted == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_s": 0},
        {"min_calls": 0},
        {"max_error_rate": 0.0},
        {"max_slow_rate": 1.1},
        {"open_s": 0},
        {"open_s": 90},
        {"probes": 0},
        {"jitter": -0.1},
        {"refresh_s": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="breaker settings: expected"):
        BreakerSettings(**wrong)  # type: ignore[arg-type]  # some are whole numbers


happenings = st.lists(
    st.tuples(
        st.sampled_from(["trip", "claim", "claim", "good", "good", "bad", "unused", "wait"]),
        st.integers(0, 40_000),
        st.integers(0, 1),
        st.floats(0, 1, exclude_max=True),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(happenings)
def test_whatever_happens_the_rules_of_the_state_machine_hold(
    events: list[tuple[str, int, int, float]],
) -> None:
    """Epochs only grow; probes are bounded; open times are; closing takes good probes, opening a cause."""
    breaker, now = Breaker(), NOW
    for kind, number, behind, luck in events:
        if kind == "wait":
            now += number
            continue
        before = breaker
        breaker = step(before, Event(kind, now, before.epoch - behind, "why", luck), RULES)  # type: ignore[arg-type]  # one of its kinds
        assert before.epoch <= breaker.epoch <= before.epoch + 1
        assert (breaker.phase != before.phase) <= (breaker.epoch > before.epoch)
        assert 0 <= breaker.good <= breaker.granted <= RULES.probes
        if breaker.phase == "closed":
            assert breaker.opens == 0
            assert before.phase == "closed" or (kind == "good" and before.good == RULES.probes - 1)
        if breaker.phase == "open":
            assert breaker.opens >= 1
            assert breaker.until_ms - now <= RULES.max_open_s * (1 + RULES.jitter) * 1000 + 1
            if before.phase != "open":
                assert kind in ("trip", "bad")
                assert breaker.until_ms - now >= RULES.open_s * 1000
        if before.phase == "open" and breaker.phase != "open":
            assert (kind, breaker.phase) == ("claim", "half_open")
            assert now >= before.until_ms


@settings(max_examples=100, deadline=None)
@given(happenings)
def test_from_any_state_good_probes_close_it_in_the_end(events: list[tuple[str, int, int, float]]) -> None:
    breaker, now = Breaker(), NOW
    for kind, number, behind, luck in events:
        now += number
        if kind != "wait":
            breaker = step(breaker, Event(kind, now, breaker.epoch - behind, "why", luck), RULES)  # type: ignore[arg-type]  # one of its kinds
    now += 100_000
    for _ in range(RULES.probes * 2):
        breaker = step(breaker, Event("claim", now), RULES)
        breaker = step(breaker, Event("good", now, breaker.epoch), RULES)
    assert breaker.phase == "closed"
