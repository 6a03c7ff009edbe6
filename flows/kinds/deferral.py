"""Kind `deferral`: is the local answer right? Trees on top of the model's own confidence (LightGBM).

Learning to defer as a second stage (Madras, Pitassi and Zemel 2018, "Predict responsibly"; Mao et al. 2023,
two-stage surrogate): the classifier stays as it is, and a small model learns from its out-of-fold answers
when it is wrong. The trees begin at the log-odds of the model's confidence and correct them, with monotone
constraints: more confidence, or more neighbours that agree, never makes an answer less trusted.

Features come from this machine alone: the model's probabilities, the nearest training rows with their
labels, how long a text is and how many of its words training knows, and the use case's numeric fields.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

RISING = ("log_odds", "margin", "nearest_agrees", "agree_of_5", "agree_of_15", "agree_weighted",
          "nearest_same", "gap")  # fmt: skip
FALLING = ("entropy",)
FREE = ("second_margin", "nearest", "nearest_other")
TREES, BAGS, SHARP = 150, 3, 10.0
_TINY = 1e-12
_PARAMETERS: dict[str, Any] = {
    "objective": "binary", "num_leaves": 4, "learning_rate": 0.04, "min_data_in_leaf": 40,
    "feature_fraction": 0.6, "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 5.0,
    "verbose": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True,
}  # fmt: skip
"""Small trees, chosen by cross-validation on training rows alone: docs/adr/0016-learned-deferral.md."""


@dataclass(frozen=True, slots=True)
class Table:
    """Features of n answers: `values` (n, names)."""

    names: tuple[str, ...]
    values: Floats

    def beside(self, name: str, column: Floats) -> "Table":
        """With one column more."""
        return Table((*self.names, name), np.column_stack([self.values, column]))


def of_probabilities(probabilities: Floats) -> Table:
    """How sure the model is: (n, k) with k >= 2."""
    ranked = -np.sort(-probabilities, axis=1)
    logs = np.log(ranked[:, : min(3, ranked.shape[1])] + _TINY)
    second = logs[:, 1] - logs[:, 2] if logs.shape[1] > 2 else np.zeros(len(ranked))
    entropy = -(probabilities * np.log(probabilities + _TINY)).sum(axis=1)
    columns = [log_odds(ranked[:, 0]), logs[:, 0] - logs[:, 1], second, entropy]
    return Table(("log_odds", "margin", "second_margin", "entropy"), np.column_stack(columns))


def of_neighbours(
    vectors: Floats,
    said: Ints,
    known: Floats,
    labels: Ints,
    folds: tuple[Ints, Ints] | None = None,
    most: int = 15,
) -> Table:
    """What the nearest known rows are labelled, beside the label `said`: (n, d), (n,), (m, d), (m,).

    Vectors have length 1. `folds` are those of both lists, where they are the same rows: a row's neighbours
    are then those of other folds, the ones that its model had seen. O(n m d), in blocks of 500.
    """
    most = min(most, len(known) - 1)
    found = np.zeros((len(vectors), 8))
    for start in range(0, len(vectors), 500):
        here = slice(start, start + 500)
        near = vectors[here] @ known.T
        if folds is not None:
            near = np.where(folds[0][here, None] == folds[1][None, :], -1.0, near)
        best = np.argpartition(-near, most, axis=1)[:, :most]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(near, best, 1), axis=1), 1)
        closeness = np.take_along_axis(near, best, 1)
        agrees = labels[best] == said[here, None]
        weights = np.exp(SHARP * (closeness - closeness[:, :1]))
        own = labels[None, :] == said[here, None]
        same, other = np.where(own, near, -1.0).max(axis=1), np.where(own, -1.0, near).max(axis=1)
        shares = [agrees[:, :1].mean(1), agrees[:, :5].mean(1), agrees.mean(1)]
        weighted = (weights * agrees).sum(axis=1) / weights.sum(axis=1)
        columns = [*shares, weighted, closeness[:, 0], same, other, same - other]
        found[here] = np.column_stack(columns)
    names = ("nearest_agrees", "agree_of_5", "agree_of_15", "agree_weighted", "nearest", "nearest_same",
             "nearest_other", "gap")  # fmt: skip
    return Table(names, found)


def joined(tables: Sequence[Table]) -> Table:
    """All columns side by side."""
    names = tuple(name for table in tables for name in table.names)
    return Table(names, np.hstack([table.values for table in tables]))


def log_odds(confidences: Floats) -> Floats:
    """Of probabilities, bounded at both ends."""
    clipped = np.clip(confidences, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


class Deferral:
    """Fitted trees. `trust` is the probability that the local answer is right, by all features."""

    def __init__(self, boosters: Sequence[Any], names: tuple[str, ...]) -> None:
        self.boosters, self.names = tuple(boosters), names

    def trust(self, table: Table) -> Floats:
        """(n,) in 0..1."""
        start = table.values[:, table.names.index("log_odds")]
        moved = [b.predict(table.values, raw_score=True, num_threads=1) for b in self.boosters]
        return np.asarray(special.expit(start + np.mean(moved, axis=0)))


def fit_deferral(table: Table, correct: Bools, seed: int) -> Deferral:
    """Learn from answers that were given out of fold: (n, features) and (n,)."""
    import lightgbm

    signs = [1 if name in RISING else -1 if name in FALLING else 0 for name in table.names]
    start = table.values[:, table.names.index("log_odds")]
    boosters = []
    for bag in range(BAGS):
        data = lightgbm.Dataset(table.values, correct.astype(float), init_score=start)
        settings = {**_PARAMETERS, "monotone_constraints": signs, "seed": 1000 * seed + bag}
        boosters.append(lightgbm.train(settings, data, TREES))
    return Deferral(boosters, table.names)


def cross_fitted(table: Table, correct: Bools, seed: int, parts: int = 5) -> Floats:
    """Trust in each answer by trees that had not seen it: what a threshold may be calibrated on."""
    from sklearn.model_selection import StratifiedKFold

    found = np.zeros(len(correct))
    for train, test in StratifiedKFold(parts, shuffle=True, random_state=seed).split(correct, correct):
        fitted = fit_deferral(Table(table.names, table.values[train]), correct[train], seed)
        found[test] = fitted.trust(Table(table.names, table.values[test]))
    return found
