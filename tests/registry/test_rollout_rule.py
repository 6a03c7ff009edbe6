"""The rule: which numbers move a rollout, and which stop it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from registry.rollout_evidence import Amounts, Latencies, Measured, Period, Rate, Side
from registry.rollout_guard import DEFAULT_GUARD, CostMetric, Guard, LatencyMetric, RateMetric
from registry.rollout_rule import Outcome, Verdict, judge

GUARD = Guard(
    metrics=(
        RateMetric(name="errors", margin=0.02),
        LatencyMetric(name="latency"),
        CostMetric(name="cost", bound_usd=0.01, margin_usd=0.001),
        RateMetric(name="wrong", margin=0.05, required=False),
    )
)


def side(n: int, *, errors: float = 0.01, ms: int = 200, usd: float = 0.001, **more: Measured) -> Side:
    metrics: Mapping[str, Measured] = {
        "errors": Rate(n, round(n * errors)),
        "latency": Latencies({ms: n}),
        "cost": Amounts(n, n * usd, n * 1e-8),
        **more,
    }
    return Side(n, metrics)


GOOD = Period(side(15_000), side(5_000))


def ask(settled: Period = GOOD, whole: Period | None = None, **changes: Any) -> Verdict:
    given = {"weight_percent": 25, "steps": 5, "elapsed_s": 600.0} | changes
    return judge(GUARD, whole=whole or settled, settled=settled, **given)


def test_a_candidate_that_is_not_worse_goes_to_the_next_step() -> None:
    verdict = ask()
    assert verdict.outcome is Outcome.ADVANCE
    assert {f.metric: f.n_candidate for f in verdict.findings} == {
        "errors": 5000, "latency": 5000, "cost": 5000, "wrong": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "bad"),
    [
        ("errors", side(5_000, errors=0.08)),
        ("latency", side(5_000, ms=230)),
        ("cost", side(5_000, usd=0.005)),
        ("wrong", side(5_000, wrong=Rate(60, 30))),
    ],
)
def test_one_bad_metric_rolls_back_however_good_the_others_are(metric: str, bad: Side) -> None:
    verdict = ask(Period(side(15_000, wrong=Rate(200, 4)), bad))
    assert verdict.outcome is Outcome.ROLL_BACK
    assert metric in verdict.reason
    assert "p = " in verdict.reason


def test_harm_in_the_first_seconds_rolls_back_without_waiting_for_anything() -> None:
    bad = Period(side(1_000), side(60, errors=0.9))
    empty = Period()
    got = ask(empty, replace(bad, candidate=replace(bad.candidate, keys=333)), elapsed_s=1.0)
    assert got.outcome is Outcome.ROLL_BACK


def test_slow_first_requests_do_not_count_but_first_errors_do() -> None:
    cold = Period(side(15_000), side(5_000, ms=300))
    assert ask(GOOD, cold).outcome is Outcome.ADVANCE


def test_nothing_good_counts_before_the_novelty_window_is_over() -> None:
    verdict = ask(elapsed_s=GUARD.novelty_s - 1)
    assert verdict.outcome is Outcome.HOLD
    assert "first 60 s" in verdict.reason


def test_too_few_samples_hold() -> None:
    verdict = ask(Period(side(297), side(99)))
    assert verdict.outcome is Outcome.HOLD
    assert "fewer than 100" in verdict.reason


def test_undecided_holds_and_then_pauses_at_the_time_limit() -> None:
    unclear = Period(side(1_500, errors=0.02), side(500, errors=0.03))
    assert ask(unclear).outcome is Outcome.HOLD
    late = ask(unclear, elapsed_s=GUARD.step_limit_s)
    assert late.outcome is Outcome.PAUSE
    assert "errors" in late.reason


def test_what_is_decided_is_not_paused_at_the_time_limit() -> None:
    assert ask(elapsed_s=GUARD.step_limit_s).outcome is Outcome.ADVANCE


def test_a_split_that_is_off_stops_the_rollout_whatever_the_metrics_say() -> None:
    skewed = replace(GOOD, candidate=replace(GOOD.candidate, keys=6_500))
    verdict = ask(skewed)
    assert verdict.outcome is Outcome.STOP
    assert "25 %" in verdict.reason


def test_a_used_up_error_budget_freezes_new_steps_but_no_rollback() -> None:
    assert ask(frozen=True).outcome is Outcome.HOLD
    bad = Period(side(15_000), side(5_000, errors=0.5))
    assert ask(bad, frozen=True).outcome is Outcome.ROLL_BACK


def test_in_shadow_both_see_everything_so_there_is_no_split_to_check() -> None:
    assert ask(Period(side(5_000), side(5_000)), weight_percent=0).outcome is Outcome.ADVANCE


def test_at_100_percent_a_step_passes_by_lasting_with_traffic() -> None:
    alone = Period(Side(), side(5_000))
    assert ask(alone, weight_percent=100).outcome is Outcome.ADVANCE
    assert ask(alone, weight_percent=100, elapsed_s=1.0).outcome is Outcome.HOLD
    assert ask(Period(), weight_percent=100).outcome is Outcome.HOLD
    assert ask(Period(), weight_percent=100, elapsed_s=1e6).outcome is Outcome.PAUSE
    assert ask(alone, weight_percent=100, frozen=True).outcome is Outcome.HOLD


def test_a_metric_of_another_kind_is_an_error_not_a_verdict() -> None:
    mixed = Period(side(100), side(100, errors=0.01, latency=Rate(5, 1)))
    with pytest.raises(ValueError, match="metric latency: expected Latencies, got Rate"):
        ask(mixed, weight_percent=50)


rates = st.integers(0, 2000).flatmap(lambda n: st.builds(Rate, st.just(n), st.integers(0, n)))


@settings(deadline=None, max_examples=60)
@given(stable=rates, candidate=rates, more=st.integers(1, 500), elapsed=st.floats(0, 1e5))
def test_more_failures_of_the_candidate_never_help_it(
    stable: Rate, candidate: Rate, more: int, elapsed: float
) -> None:
    guard = Guard(metrics=(RateMetric(name="errors", margin=0.02),))
    worst = [Outcome.ADVANCE, Outcome.HOLD, Outcome.PAUSE, Outcome.ROLL_BACK]

    def verdict(of: Rate) -> Outcome:
        seen = Period(Side(0, {"errors": stable}), Side(0, {"errors": of}))
        return judge(guard, weight_percent=50, steps=4, whole=seen, settled=seen, elapsed_s=elapsed).outcome

    failed = Rate(candidate.n, min(candidate.n, candidate.hits + more))
    assert worst.index(verdict(failed)) >= worst.index(verdict(candidate))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": ()}, "at least 1"),
        ({"metrics": (RateMetric(name="a"), RateMetric(name="a"))}, "each name once"),
        ({"metrics": (RateMetric(name="a", required=False),)}, "at least one that is required"),
        ({"alpha": 0.0}, "greater than 0"),
        ({"novelty_s": 100.0, "step_limit_s": 100.0}, "less than step_limit_s"),
        ({"minimum": 3}, "not permitted"),
    ],
)
def test_a_guard_that_makes_no_sense_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Guard(**({"metrics": (RateMetric(name="a"),)} | changes))


def test_a_guard_survives_json() -> None:
    assert Guard.model_validate_json(DEFAULT_GUARD.model_dump_json()) == DEFAULT_GUARD


@pytest.mark.parametrize(
    "make",
    [lambda: Rate(1, 2), lambda: Rate(-1, 0), lambda: Amounts(1, float("nan")), lambda: Latencies({-1: 2})],
)
def test_impossible_counts_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()
