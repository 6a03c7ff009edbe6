"""Scores of predictions, held against plain definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from flows.steps.scores import accepted, accepted_share, accuracy, coverage_curve, macro_f1, per_label

LABELS = ["a", "b", "c"]
cases = st.lists(
    st.tuples(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.integers(0, 2)),
    min_size=1,
    max_size=40,
)
Case = list[tuple[list[float], int]]


def arrays(case: Case) -> tuple[np.ndarray, np.ndarray]:
    raw = np.array([row for row, _ in case])
    return raw / raw.sum(axis=1, keepdims=True), np.array([truth for _, truth in case])


def surely(probabilities: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == truth


@given(cases)
def test_macro_f1_is_that_of_scikit_learn_over_the_labels_that_occur(case: Case) -> None:
    probabilities, truth = arrays(case)
    said = f1_score(
        truth, probabilities.argmax(axis=1), labels=np.unique(truth), average="macro", zero_division=0
    )
    assert macro_f1(per_label(probabilities, truth, LABELS)) == pytest.approx(said)


@given(cases, st.floats(0, 1))
def test_coverage_and_error_count_the_rows_at_or_above_the_threshold(case: Case, threshold: float) -> None:
    probabilities, truth = arrays(case)
    taken = [(p, t) for p, t in zip(probabilities, truth, strict=True) if max(p) >= threshold]
    found = accepted(*surely(probabilities, truth), threshold)
    assert found.coverage == pytest.approx(len(taken) / len(truth))
    wrong = sum(int(p.argmax()) != t for p, t in taken)
    assert found.error == pytest.approx(wrong / len(taken) if taken else 0)


@given(cases)
def test_every_point_of_the_curve_is_what_its_threshold_does(case: Case) -> None:
    probabilities, truth = arrays(case)
    curve = coverage_curve(*surely(probabilities, truth), points=7)
    for threshold, coverage, error in curve:
        found = accepted(*surely(probabilities, truth), threshold)
        assert (coverage, error) == pytest.approx((found.coverage, found.error))
    assert curve[-1][1] == 1
    assert curve[-1][2] == pytest.approx(1 - accuracy(probabilities, truth))


def test_nothing_is_accepted_above_one_and_of_no_rows() -> None:
    probabilities, truth = arrays([([1, 1, 1], 0)])
    assert accepted(*surely(probabilities, truth), 1.01).coverage == 0
    assert accepted_share(np.zeros(0), 0.5) == 0
    assert coverage_curve(np.zeros(0), np.zeros(0, dtype=np.bool_)) == []
