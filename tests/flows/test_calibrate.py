"""The acceptance threshold keeps its promise, and says so when none can."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_checks.risk_spec import RiskSpec
from feature_checks.usecase import UseCase, load_usecase
from flows.errors import StepError
from flows.steps.calibrate import calibrate
from flows.steps.report import acceptance_of
from flows.steps.thresholds import (
    NEVER,
    choose_threshold,
    default_grid,
    first_size,
    upper_bound,
)
from registry.records import Relaxed
from tests.toy import write_text_usecase


def simulated(
    n: int, rng: np.random.Generator, trust: float, bend: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and answers right with a probability that grows with them; `trust` shifts it."""
    odds = rng.normal(2.5, 2.0, n)
    return 1 / (1 + np.exp(-odds)), rng.random(n) < 1 / (1 + np.exp(-(bend * odds + trust)))


def true_error(threshold: float, trust: float, bend: float = 1.0) -> float:
    """The error among accepted answers in that population."""
    odds = np.linspace(-8, 13, 20_001)
    density = np.exp(-(((odds - 2.5) / 2.0) ** 2) / 2) * (1 / (1 + np.exp(-odds)) >= threshold)
    return float((density / (1 + np.exp(bend * odds + trust))).sum() / max(density.sum(), 1e-300))


@pytest.mark.parametrize(
    ("n", "max_error", "trust", "bend"),
    [(4000, 0.02, 0.0, 1.0), (1000, 0.05, 0.0, 1.0), (800, 0.05, -2.4, 0.1), (600, 0.1, 1.0, 0.5)],
)
def test_the_promise_is_broken_in_at_most_one_of_twenty_data_sets(
    n: int, max_error: float, trust: float, bend: float
) -> None:
    """Over 300 simulated data sets; 3 standard errors of noise are allowed."""
    rng = np.random.default_rng(5)
    sets, broken = 300, 0
    for _ in range(sets):
        found = choose_threshold(*simulated(n, rng, trust, bend), max_error)
        broken += found.threshold < NEVER and true_error(found.threshold, trust, bend) > max_error
    assert broken / sets <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / sets)


def test_the_promise_is_not_kept_by_answering_nothing() -> None:
    """A threshold that keeps 2 % answers nearly as much as one that knew the population would."""
    confidences, correct = simulated(10_000, np.random.default_rng(1), 1.0)
    best = max(float((confidences >= t).mean()) for t in default_grid() if true_error(t, 1.0) <= 0.02)
    assert best - 0.06 < choose_threshold(confidences, correct, 0.02).coverage < best + 0.02


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 3000),
    trust=st.floats(-4, 4),
    max_error=st.floats(0.002, 0.6),
    confidence=st.floats(0.6, 0.999),
)
def test_no_threshold_is_lower_than_its_bound_allows(
    seed: int, n: int, trust: float, max_error: float, confidence: float
) -> None:
    """Recounted from the rows: accepted, wrong, and the Clopper-Pearson bound within `max_error`."""
    confidences, correct = simulated(n, np.random.default_rng(seed), trust)
    found = choose_threshold(confidences, correct, max_error, confidence)
    taken = confidences >= found.threshold
    assert found.coverage == taken.mean()
    if found.threshold == NEVER:
        assert (found.coverage, found.error_upper_bound) == (0.0, 1.0)
        return
    wrong = int((~correct[taken]).sum())
    assert found.empirical_error == pytest.approx(wrong / taken.sum())
    assert upper_bound(wrong, int(taken.sum()), confidence) <= max_error + 1e-9
    assert taken.sum() >= first_size(n, max_error, confidence)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(20, 2000),
    trust=st.floats(-3, 3),
    pair=st.tuples(st.floats(0.003, 0.4), st.floats(0.003, 0.4)),
)
def test_allowing_more_errors_never_answers_less(
    seed: int, n: int, trust: float, pair: tuple[float, float]
) -> None:
    """The threshold falls or stays when `max_error` grows, on the same rows."""
    data = simulated(n, np.random.default_rng(seed), trust)
    strict, loose = (choose_threshold(*data, max_error) for max_error in sorted(pair))
    assert loose.threshold <= strict.threshold


def test_the_bound_is_the_exact_binomial_one() -> None:
    """Against published values: the rule of three, and 10 of 100 (Clopper and Pearson 1934)."""
    assert upper_bound(0, 149, 0.95) == pytest.approx(1 - 0.05 ** (1 / 149))
    assert upper_bound(10, 100, 0.975) == pytest.approx(0.17622, abs=1e-4)
    assert upper_bound(5, 5, 0.95) == 1.0


def test_a_threshold_after_the_first_failure_is_never_taken() -> None:
    """Wrong answers in the middle end the sequence, although all below them would pass again."""
    confidences = np.repeat([0.99, 0.9, 0.8], [2000, 500, 20_000])
    correct = confidences != 0.9
    found = choose_threshold(confidences, correct, 0.05, grid=np.array([0.95, 0.85, 0.75]))
    assert (found.threshold, found.empirical_error) == (0.95, 0.0)
    assert choose_threshold(confidences, correct, 0.05, grid=np.array([0.75])).threshold == 0.75


def test_too_few_rows_prove_nothing() -> None:
    """148 right answers of 148 are no proof of 2 % at 95 %; 149 are."""
    for n, proven in ((148, False), (149, True)):
        found = choose_threshold(np.full(n, 0.9), np.ones(n, dtype=bool), 0.02)
        assert (found.threshold < NEVER) is proven
        assert found.coverage == float(proven)


def test_one_unlucky_error_at_the_top_does_not_silence_the_model() -> None:
    """The surest answer of 4,000 is the only wrong one; nearly all of them may still be given."""
    confidences = np.linspace(0.999, 0.6, 4000)
    correct = np.arange(4000) > 0
    assert choose_threshold(confidences, correct, 0.02).coverage > 0.98


def test_ten_thousand_grid_points_take_milliseconds() -> None:
    """10,000 rows and 10,000 thresholds in well under a second."""
    data = simulated(10_000, np.random.default_rng(0), 1.0)
    started = time.perf_counter()
    choose_threshold(*data, 0.02, grid=np.linspace(1, 0, 10_000))
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("confidences", "correct", "max_error", "says"),
    [
        ([0.5, float("nan")], [True, True], 0.02, "from 0 to 1"),
        ([0.5, 1.5], [True, True], 0.02, "from 0 to 1"),
        ([0.5], [True, False], 0.02, "two equal lists"),
        ([], [], 0.02, "two equal lists"),
        ([0.5], [True], 1.0, "between 0 and 1"),
    ],
)
def test_unusable_numbers_are_refused(
    confidences: list[float], correct: list[bool], max_error: float, says: str
) -> None:
    """Each with a message that says what was expected."""
    with pytest.raises(ValueError, match=says):
        choose_threshold(np.array(confidences), np.array(correct, dtype=bool), max_error)


def test_a_grid_that_rises_is_refused() -> None:
    """Testing the loosest first would void the guarantee."""
    with pytest.raises(ValueError, match="strictest first"):
        choose_threshold(np.array([0.5]), np.array([True]), 0.1, grid=np.array([0.1, 0.9]))


@pytest.fixture
def usecase(tmp_path: Path) -> UseCase:
    write_text_usecase(tmp_path / "usecases")
    return load_usecase("parcels", tmp_path / "usecases")


def write_oof(build: Path, probabilities: np.ndarray, truth: np.ndarray) -> None:
    (build / "fit").mkdir(parents=True)
    np.savez(build / "fit" / "oof.npz", probabilities=probabilities, truth=truth)


def test_the_step_writes_the_rule_and_its_curve(tmp_path: Path, usecase: UseCase) -> None:
    """calibration.json holds the use case's risk; the last point of the curve answers everything."""
    truth = np.arange(300) % 3
    probabilities = np.full((300, 3), 0.05)
    probabilities[np.arange(300), truth] = 0.9
    write_oof(tmp_path, probabilities, truth)
    found = calibrate(tmp_path, usecase)
    assert json.loads((tmp_path / "calibration" / "calibration.json").read_text()) == found
    assert (found["max_error"], found["confidence"]) == (0.2, 0.9)
    assert found["coverage"] == 1.0
    assert found["answers_anything"] is True
    rows = (tmp_path / "calibration" / "coverage.csv").read_text().splitlines()
    assert rows[0] == "threshold,coverage,error,error_upper_bound"
    assert rows[-1].split(",")[1:3] == ["1", "0"]


def test_a_promise_for_when_money_is_short_gets_a_threshold_of_its_own(
    tmp_path: Path, usecase: UseCase
) -> None:
    """Both by the same test, each at the use case's confidence; a weaker promise never answers less."""
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(3, 0.3), 3000)
    truth = np.array([rng.choice(3, p=row) for row in probabilities])
    write_oof(tmp_path, probabilities, truth)
    assert usecase.local is not None
    risk = RiskSpec(max_error=0.05, confidence=0.95, max_error_when_short=0.15)
    local = usecase.local.model_copy(update={"risk": risk})
    found = calibrate(tmp_path, usecase.model_copy(update={"local": local}))
    assert 0 < found["relaxed"]["threshold"] < found["threshold"] < 1
    assert found["relaxed"]["max_error"] == 0.15
    confidences, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    alone = choose_threshold(confidences, correct, 0.15, 0.95)
    assert found["relaxed"]["threshold"] == alone.threshold
    assert acceptance_of(tmp_path).relaxed == Relaxed(threshold=alone.threshold, max_error=0.15)


def test_a_promise_for_when_money_is_short_is_never_stricter() -> None:
    with pytest.raises(ValueError, match="max_error_when_short: expected at least max_error"):
        RiskSpec(max_error=0.05, max_error_when_short=0.01)


def test_a_model_that_guesses_answers_nothing_and_says_so(tmp_path: Path, usecase: UseCase) -> None:
    """The threshold is one that no probability reaches."""
    rng = np.random.default_rng(0)
    write_oof(tmp_path, rng.dirichlet(np.ones(3), 300), rng.integers(0, 3, 300))
    found = calibrate(tmp_path, usecase)
    assert (found["threshold"], found["coverage"], found["answers_anything"]) == (NEVER, 0.0, False)


def test_the_step_names_what_is_missing_or_broken(tmp_path: Path, usecase: UseCase) -> None:
    """No oof.npz: run fit. Shapes that do not fit, or NaN: run fit again."""
    with pytest.raises(StepError, match="run step 'fit' first"):
        calibrate(tmp_path / "none", usecase)
    write_oof(tmp_path / "shape", np.ones((3, 2)), np.zeros(4, dtype=int))
    with pytest.raises(StepError, match=r"got \(3, 2\) and \(4,\)"):
        calibrate(tmp_path / "shape", usecase)
    write_oof(tmp_path / "nan", np.full((3, 2), np.nan), np.zeros(3, dtype=int))
    with pytest.raises(StepError, match="from 0 to 1"):
        calibrate(tmp_path / "nan", usecase)


def test_the_threshold_is_on_what_a_learned_deferral_trusts(tmp_path: Path, usecase: UseCase) -> None:
    """The model is sure of all, wrong in a third; the deferral tells which."""
    truth = np.arange(300) % 3
    probabilities = np.full((300, 3), 0.05)
    probabilities[:, 0], probabilities[truth == 1] = 0.9, [0.05, 0.9, 0.05]
    trust = np.where(probabilities.argmax(axis=1) == truth, 0.9, 0.2)
    write_oof(tmp_path, probabilities, truth)
    plain = calibrate(tmp_path, usecase)
    assert (plain["deferral"], plain["answers_anything"]) == ("confidence", False)
    np.savez(tmp_path / "fit" / "oof.npz", probabilities=probabilities, truth=truth, confidences=trust)
    found = calibrate(tmp_path, usecase)
    assert found["deferral"] == "learned"
    assert found["coverage"] == pytest.approx(2 / 3)
    assert found["empirical_error"] == 0
