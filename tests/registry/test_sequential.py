"""The tests behind a rollout: right numbers, and no more false alarms than promised at any look."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.rollout_statistics import (
    latencies_called_slower,
    rows,
    seconds_to_worse,
    share_ever_worse,
    share_mismatched,
    share_passed_though_worse,
    share_rolled_back,
)
from registry.quantiles import BINS, FIRST_MS, GROWTH, bin_of, log_not_slower, log_slower
from registry.rollout_evidence import Amounts, Latencies
from registry.sequential import Bernoulli, Bounded, log_mismatch, log_not_worse, log_worse


@pytest.mark.parametrize("mean", [0.02, 0.3])
def test_the_rate_process_is_worth_one_on_average_while_its_null_holds(mean: float) -> None:
    """Exactly: summed over all outcomes of ten requests whose rates drift around the tested mean."""
    rates = [mean * (0.5 + n / 9) for n in range(10)]
    for log in (Bernoulli.log_above, Bernoulli.log_below):
        chance = np.array([1.0])
        for rate in rates:
            chance = np.convolve(chance, [1 - rate, rate])
        worth = np.exp(log(Bernoulli(np.full(11, 10), np.arange(11)), np.asarray(mean)))
        assert float((chance * worth).sum()) <= 1 + 1e-9


def test_the_process_of_amounts_is_worth_at_most_one_on_average() -> None:
    """Exactly: over all outcomes of six amounts of three sizes, each compared with the mean so far."""
    sizes, chances = (0.0, 0.3, 1.0), (0.6, 0.3, 0.1)
    mean = sum(s * c for s, c in zip(sizes, chances, strict=True))
    for above in (True, False):
        worth = 0.0
        for outcome in itertools.product(range(3), repeat=6):
            sums, chance = Amounts(), 1.0
            for i in outcome:
                sums, chance = sums.and_one(sizes[i]), chance * chances[i]
            arm = Bounded(sums.n, sums.total, sums.deviation)
            log = arm.log_above(np.asarray(mean)) if above else arm.log_below(np.asarray(mean))
            worth += chance * math.exp(float(log))
        assert 0.5 < worth <= 1 + 1e-9


@pytest.mark.parametrize(("mean", "guess"), [(0.5, 0.5), (0.1, 0.1), (0.9, 0.5), (0.05, 0.3)])
def test_the_process_of_amounts_pays_enough_for_its_variance(mean: float, guess: float) -> None:
    """Exactly: forty amounts of 0 or 1, each compared with the same guess."""
    hits, n = np.arange(41), 40
    chance = np.array([math.comb(n, k) * mean**k * (1 - mean) ** (n - k) for k in hits])
    arm = Bounded(np.full(41, n), hits, hits * (1 - guess) ** 2 + (n - hits) * guess**2)
    for log in (arm.log_above, arm.log_below):
        assert float((chance * np.exp(log(np.asarray(mean)))).sum()) <= 1 + 1e-9


counts = st.integers(0, 3000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@settings(deadline=None, max_examples=40)
@given(stable=counts, candidate=counts, margin=st.floats(0, 0.5), ratio=st.floats(1, 2))
def test_the_search_finds_the_smallest_evidence(
    stable: tuple[int, int], candidate: tuple[int, int], margin: float, ratio: float
) -> None:
    s, c = Bernoulli(*stable), Bernoulli(*candidate)
    grid = np.linspace(0, (1 - margin) / ratio, 4001)
    worse = (c.log_above(ratio * grid + margin) + s.log_below(grid)).min()
    better = (c.log_below(ratio * grid + margin) + s.log_above(grid)).min()
    assert float(log_worse(s, c, margin, ratio)) <= worse + 1e-6
    assert float(log_not_worse(s, c, margin, ratio)) <= better + 1e-6
    assert float(log_worse(s, c, margin, ratio)) >= worse - 0.2 - 1e-3 * stable[0] - 1e-3 * candidate[0]


@settings(deadline=None, max_examples=40)
@given(stable=counts, candidate=counts, margin=st.floats(0, 0.5))
def test_nothing_is_both_worse_and_not_worse(
    stable: tuple[int, int], candidate: tuple[int, int], margin: float
) -> None:
    s, c = Bernoulli(*stable), Bernoulli(*candidate)
    assert min(float(log_worse(s, c, margin)), float(log_not_worse(s, c, margin))) < math.log(20)


def test_a_plain_case_reads_as_one_would_expect() -> None:
    stable = Bernoulli(2850, 57)
    assert float(log_worse(stable, Bernoulli(100, 20), 0.02)) > math.log(1000)
    assert float(log_not_worse(stable, Bernoulli(100, 20), 0.02)) < 0
    assert float(log_not_worse(Bernoulli(200_000, 4000), Bernoulli(10_000, 200), 0.02)) > math.log(1000)
    nothing = Bernoulli(0, 0)
    assert float(log_worse(nothing, nothing, 0.02)) == pytest.approx(0)
    assert float(log_not_worse(nothing, nothing, 0.02)) == pytest.approx(0)


def test_costs_are_told_apart() -> None:
    random = np.random.default_rng(1)
    cheap, dear = Amounts(), Amounts()
    for amount in random.beta(2, 18, 4000):
        cheap, dear = cheap.and_one(amount), dear.and_one(min(1.5 * amount, 1.0))
    arms = [Bounded(a.n, a.total, a.deviation) for a in (cheap, dear)]
    assert float(log_worse(arms[0], arms[1], 0.01, 1.1)) > math.log(1000)
    assert float(log_not_worse(arms[0], arms[0], 0.01, 1.1)) > math.log(20)
    assert float(log_worse(arms[0], arms[0], 0.01, 1.1)) < 0


@given(parts=st.lists(st.lists(st.floats(0, 1), max_size=20), max_size=4))
def test_what_workers_counted_adds_up(parts: list[list[float]]) -> None:
    summed, latencies = Amounts(), Latencies()
    for part in parts:
        mine = Amounts()
        for amount in part:
            mine = mine.and_one(amount)
        summed, latencies = summed + mine, latencies + Latencies.of(part)
    everything = [amount for part in parts for amount in part]
    assert summed.n == latencies.n == len(everything)
    assert summed.total == pytest.approx(sum(everything))


@given(ms=st.floats(0, 1e7))
def test_a_latency_lies_in_its_bin(ms: float) -> None:
    place = bin_of(ms)
    assert place == BINS or ms <= FIRST_MS * GROWTH**place * (1 + 1e-9)
    assert place == 0 or ms > FIRST_MS * GROWTH ** (place - 1) * (1 - 1e-9)


@pytest.mark.parametrize("ms", [-1.0, float("nan")])
def test_what_is_no_latency_is_refused(ms: float) -> None:
    with pytest.raises(ValueError, match="0 ms or more"):
        bin_of(ms)


def test_latency_quantiles_are_told_apart() -> None:
    random = np.random.default_rng(2)

    def sample(n: int, factor: float) -> np.ndarray:
        return Latencies.of(factor * 20 * np.exp(random.normal(size=n) / 2)).dense()

    stable = sample(8000, 1)
    assert float(log_slower(stable, sample(1000, 1.5), 0.95, 1.2)) > math.log(1000)
    assert float(log_not_slower(stable, sample(1500, 1), 0.95, 1.2)) > math.log(20)
    for ratio in (1.0, 1.2):
        assert float(log_slower(stable, sample(2000, 1), 0.95, ratio)) < math.log(20)
    assert float(log_not_slower(stable, sample(1500, 1.4), 0.95, 1.2)) < math.log(20)


@given(edge=st.sampled_from([0, BINS]), n=st.integers(1, 5000), ratio=st.floats(1, 3))
def test_latencies_off_either_end_of_the_bins_prove_nothing(edge: int, n: int, ratio: float) -> None:
    same = Latencies({edge: n}).dense()
    assert float(log_slower(same, same, 0.95, ratio)) < math.log(20)
    assert float(log_not_slower(same, same, 0.95, ratio)) < math.log(20) or edge == 0


def test_the_split_is_tested_with_the_published_formula() -> None:
    """Against the Bayes factor worked out step by step, one key after another (Lindon and Malek 2022)."""
    seen = [0, 0]
    log = 0.0
    for n in range(200):
        to = int(n % 7 == 0)
        share = (0.05, 0.95)[1 - to]
        log += math.log((100 * share + seen[to]) / (100 + n)) - math.log(share)
        seen[to] += 1
    assert log_mismatch(seen[0], seen[1], 0.05) == pytest.approx(log)


@pytest.mark.parametrize("weight", [0.0, 1.0, float("nan")])
def test_a_split_of_everything_is_no_split(weight: float) -> None:
    with pytest.raises(ValueError, match="candidate's share"):
        log_mismatch(1, 1, weight)


def test_a_margin_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="margin"):
        log_worse(Bernoulli(1, 0), Bernoulli(1, 0), -0.1)


def test_equal_candidates_are_seldom_called_worse_however_often_one_looks() -> None:
    random = np.random.default_rng(3)
    assert share_rolled_back(random, 100, 60) <= 0.05
    for weight in (5, 50):
        assert share_ever_worse(random, 200, 120, weight, 0.02, 0.02, 0.0) <= 0.05
    assert share_ever_worse(random, 200, 120, 5, 0.02, 0.03, 0.01) <= 0.05
    assert share_passed_though_worse(random, 100, 30, 25, 0.02, 0.01) <= 0.05
    assert share_mismatched(random, 100, 100, 0.05, 0.05) <= 0.01
    assert latencies_called_slower(random, 40, 12, 50, 1.0, math.log(20)).mean() <= 0.05


def test_a_fifth_of_wrong_answers_is_found_within_60_seconds_at_5_percent_of_50_a_second() -> None:
    times = seconds_to_worse(np.random.default_rng(4), 300, 5, 0.02, 0.20, 60)
    assert (times <= 60).mean() >= 0.99
    assert np.median(times) <= 40


@pytest.mark.soak
def test_the_published_table_holds() -> None:
    """All of docs/rollout-statistics.md: 1,000 rollouts a row, with another seed."""
    bounds = {"at most 5 %": 5.0, "at most 0.1 %": 0.1, "60 s": 60.0}
    for name, found, asked in rows(seed=11, rollouts=1000, seconds=200):
        if asked in bounds:
            assert float(found.split()[0]) <= bounds[asked], name
