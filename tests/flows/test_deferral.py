"""Learned deferral on made answers: it must use what neighbours say, and never reward less confidence."""

import numpy as np
import pytest

from flows.kinds.deferral import (
    RISING,
    Table,
    cross_fitted,
    fit_deferral,
    joined,
    log_odds,
    of_neighbours,
    of_probabilities,
)


def made(n: int = 1500, seed: int = 0) -> tuple[Table, np.ndarray]:
    """Confidences that tell something, neighbours that tell more."""
    draw = np.random.default_rng(seed)
    hidden = draw.normal(size=n) + 1.5
    confidence = 1 / (1 + np.exp(-(hidden + draw.normal(size=n))))
    agree = np.clip(0.5 + 0.3 * hidden + 0.2 * draw.normal(size=n), 0, 1)
    table = Table(("log_odds", "agree_of_5"), np.column_stack([log_odds(confidence), agree]))
    return table, hidden + 0.3 * draw.normal(size=n) > 0


def auroc(scores: np.ndarray, right: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(right, scores))


def test_what_neighbours_say_makes_right_and_wrong_easier_to_tell_apart() -> None:
    table, right = made()
    trust = cross_fitted(table, right, seed=7)
    assert auroc(trust, right) > auroc(table.values[:, 0], right) + 0.01


def test_the_same_seed_gives_the_same_trust() -> None:
    table, right = made(400)
    assert np.array_equal(cross_fitted(table, right, 3), cross_fitted(table, right, 3))


@pytest.mark.parametrize("column", [0, 1])
def test_more_confidence_or_agreement_is_never_less_trust(column: int) -> None:
    table, right = made(600)
    fitted = fit_deferral(table, right, 1)
    lifted = table.values.copy()
    lifted[:, column] += 0.3
    assert table.names[column] in RISING
    assert (fitted.trust(Table(table.names, lifted)) >= fitted.trust(table) - 1e-12).all()


def test_a_row_is_no_neighbour_of_its_own_fold() -> None:
    """Its own label would give the answer away."""
    vectors = np.eye(6)[[0, 0, 1, 1, 2, 2]]
    labels = np.array([0, 1, 0, 1, 0, 1])
    folds = np.array([0, 1, 0, 1, 0, 1])
    own = of_neighbours(vectors, labels, vectors, labels, (folds, folds), most=2)
    assert (own.values[:, own.names.index("nearest_agrees")] == 0).all()
    assert (own.values[:, own.names.index("nearest")] == 1).all()


def test_features_are_finite_for_certain_answers_and_for_two_labels() -> None:
    found = joined([of_probabilities(np.array([[1.0, 0.0], [0.5, 0.5]]))])
    assert np.isfinite(found.values).all()
    assert found.beside("more", np.zeros(2)).names[-1] == "more"
