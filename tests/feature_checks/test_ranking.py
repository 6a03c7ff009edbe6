"""The handbook's metrics are what they are called: checked against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from feature_checks.ranking import average_precision, card_precision_at_k, resampled, roc_auc


@pytest.mark.parametrize("decimals", [1, 2, 8])
def test_auc_and_average_precision_are_those_of_scikit_learn_ties_too(decimals: int) -> None:
    draw = np.random.default_rng(1)
    scores, positive = np.round(draw.random(3000), decimals), draw.random(3000) < 0.05
    assert average_precision(scores, positive) == pytest.approx(average_precision_score(positive, scores))
    assert roc_auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


def test_without_both_kinds_there_is_no_figure() -> None:
    nothing = np.zeros(5, bool)
    assert roc_auc(np.arange(5.0), nothing) is None
    assert average_precision(np.arange(5.0), nothing) is None


def test_a_card_found_once_is_not_looked_at_again() -> None:
    """Day 1: cards 0 and 1 are named, 0 is bad. Day 2: 0 is known, so that 1 and 2 are named, both bad."""
    days = np.array([1, 1, 1, 2, 2, 2])
    keys = np.array([0, 1, 2, 0, 1, 2])
    scores = np.array([0.9, 0.8, 0.1, 0.9, 0.8, 0.1])
    positive = np.array([True, False, False, True, True, True])
    assert card_precision_at_k(scores, positive, keys, days, k=2) == [0.5, 1.0]


def test_of_few_cards_the_share_is_still_of_k() -> None:
    one = np.array([0.5])
    assert card_precision_at_k(one, np.array([True]), np.array([0]), np.array([1]), k=4) == [0.25]


def test_the_interval_of_a_mean_is_the_known_one() -> None:
    """Of 400 cards with one 0/1 value each, the mean's interval is the normal one, ±1.96 standard errors."""
    values = (np.arange(400) < 100).astype(float)
    found = resampled(lambda rows, keys: float(values[rows].mean()), np.arange(400), times=600)
    assert found is not None
    assert found == pytest.approx((0.25 - 1.96 * 0.0217, 0.25 + 1.96 * 0.0217), abs=0.008)


def test_a_card_that_is_drawn_twice_counts_as_two() -> None:
    keys = np.array([0, 0, 1, 1, 1])
    seen: list[int] = []

    def look(rows: np.ndarray, own: np.ndarray) -> float:
        for one in np.unique(own):
            assert len(set(keys[rows[own == one]].tolist())) == 1
        seen.append(len(np.unique(own)))
        return 0.0

    resampled(look, keys, times=5)
    assert seen == [2] * 5
