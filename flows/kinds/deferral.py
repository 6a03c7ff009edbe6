"""Learns when to defer: is the local answer right? Trees on top of the model's own confidence (LightGBM).

Learning to defer as a second stage (Madras, Pitassi and Zemel 2018, "Predict responsibly"; Mao et al. 2023,
two-stage surrogate): the classifier stays as it is, and a small model learns from its out-of-fold answers
when it is wrong. The trees begin at the log-odds of the model's confidence and correct them, with monotone
constraints: more confidence, or more neighbours that agree, never makes an answer less trusted.

What no label fits is learned from rows whose own label was taken out: of the scores, and of the neighbours.
To the model that is left they are messages of an intent that it does not know, and whatever it says is wrong.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from flows.kinds.tabular_export import leaves
from registry.runtimes.deferral import FORMAT, ROWS, RULE, placed
from registry.runtimes.trust_features import (
    Floats,
    Ints,
    Known,
    Signals,
    Singles,
    Table,
    joined,
    log_odds,
    of_fields,
    of_neighbours,
    of_probabilities,
    of_tokens,
    rounded,
    softmax,
)

Bools = npt.NDArray[np.bool_]

RISING = frozenset(
    {"log_odds", "margin", "nearest_agrees", "agree_of_5", "agree_of_15", "agree_weighted", "nearest",
    "near_15",
     "nearest_same", "gap", "known_tokens", "rarest_token", "usual_tokens"}
)  # fmt: skip
FALLING = frozenset({"entropy"})
CUTOFF = 0.98
STRANGE = 0.1
"""How much all rows without their own label weigh beside all others. Both:
docs/adr/0019-learned-deferral.md."""
DIMENSIONS = 64
TREES, BAGS = 150, 3
FEWEST = 100
"""With fewer unsure answers, or none that is wrong, there is nothing to learn from."""
_GONE = -60.0  # the score of a label that was taken out
_PARAMETERS: dict[str, Any] = {
    "objective": "binary", "num_leaves": 4, "learning_rate": 0.04, "min_data_in_leaf": 40,
    "feature_fraction": 0.6, "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 5.0,
    "verbose": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True,
}  # fmt: skip
"""Small trees, chosen by cross-validation on training rows alone: docs/adr/0019-learned-deferral.md."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What is learned from: out-of-fold answers to the rows of training. `fields` are the rows' inputs,
    `numbers` those inputs that are numbers."""

    signals: Signals
    scores: Floats  # (n, k), before the softmax
    truth: Ints  # (n,)
    folds: Ints  # (n,): the neighbours of a row are those of other folds, the ones that its model had seen
    fields: Sequence[Mapping[str, object]]
    numbers: tuple[str, ...]

    @property
    def said(self) -> Ints:
        return np.asarray(self.signals.probabilities.argmax(axis=1), np.int64)

    @property
    def plain(self) -> Floats:
        return np.asarray(self.signals.probabilities.max(axis=1), np.float64)


@dataclass(frozen=True, slots=True)
class Learned:
    """`trust` (n,) in each answer is by trees that had not seen it: what a threshold may be calibrated on."""

    trust: Floats
    trees: "Trees"
    answers: Answers
    projection: Singles
    starts: Ints
    order: Ints  # of the rows, by label
    vectors: npt.NDArray[np.int8]  # in that order
    counts: npt.NDArray[np.int32]  # rows that hold each token

    def write(self, folder: Path) -> list[str]:
        """deferral.json and deferral.npz; returns their names."""
        rule = {
            "format": FORMAT,
            "names": self.trees.names,
            "fields": self.answers.numbers,
            "cutoff": CUTOFF,
            "trees": self.trees.leaves(),
        }
        (folder / RULE).write_text(json.dumps(rule, separators=(",", ":")), encoding="utf-8")
        packed = io.BytesIO()
        np.savez_compressed(
            packed, projection=self.projection, starts=self.starts, vectors=self.vectors, counts=self.counts
        )
        (folder / ROWS).write_bytes(packed.getvalue())
        return [RULE, ROWS]


class Trees:
    """Fitted trees: what they add to the log-odds of the model's own confidence."""

    def __init__(self, boosters: Sequence[Any], names: tuple[str, ...]) -> None:
        self.boosters, self.names = tuple(boosters), names

    def trust(self, table: Table) -> Floats:
        """(n,) in 0..1; the model's own confidence from `CUTOFF` on, and never more than that below."""
        start, top = table.values[:, self.names.index("log_odds")], log_odds(np.array([CUTOFF]))[0]
        moved = [b.predict(table.values, raw_score=True, num_threads=1) for b in self.boosters]
        odds = np.where(start >= top, start, np.minimum(start + np.mean(moved, axis=0), top))
        return np.asarray(1.0 / (1.0 + np.exp(-odds)))

    def leaves(self) -> dict[str, Any]:
        """All leaves as serving reads them."""
        trees = [one["tree_structure"] for b in self.boosters for one in b.dump_model()["tree_info"]]
        return leaves(trees, 1.0 / len(self.boosters), 0.0)


def fit_trees(table: Table, right: Bools, seed: int, weights: Floats | None = None) -> Trees:
    """Learn from answers that were given out of fold: (n, features) and (n,)."""
    import lightgbm

    signs = [1 if name in RISING else -1 if name in FALLING else 0 for name in table.names]
    start = table.values[:, table.names.index("log_odds")].copy()  # LightGBM wants no slices
    boosters = []
    for bag in range(BAGS):
        data = lightgbm.Dataset(table.values, right.astype(float), init_score=start, weight=weights)
        settings = {**_PARAMETERS, "monotone_constraints": signs, "seed": 1000 * seed + bag}
        boosters.append(lightgbm.train(settings, data, TREES))
    return Trees(boosters, table.names)


def learn(answers: Answers, labels: int, seed: int) -> Learned | None:
    """Fit on all answers, with cross-fitted trust in each. None where there is nothing to learn from."""
    with threadpool_limits(1):  # the same sums in the same order each time
        return _learned(answers, labels, seed)


def _learned(answers: Answers, labels: int, seed: int) -> Learned | None:
    from sklearn.model_selection import StratifiedKFold

    right, unsure = answers.said == answers.truth, answers.plain < CUTOFF
    if min(int((unsure & right).sum()), int((unsure & ~right).sum())) < FEWEST:
        return None
    projection = _projection(answers.signals.vectors)
    vectors = np.round(placed(answers.signals.vectors, projection) * 127).astype(np.int8)
    order = np.argsort(answers.truth, kind="stable")
    starts = np.searchsorted(answers.truth[order], np.arange(labels + 1))
    counts = _counts(answers.signals.tokens)
    known = Known(
        vectors[order].astype(np.float32) / np.float32(127), answers.truth[order], starts, np.log1p(counts)
    )
    near_of = _Near(placed(answers.signals.vectors, projection), known, answers.folds, answers.folds[order])
    usual = _table(answers, answers.signals, known, near_of, None)
    strange = _table(answers, _without_own(answers), known, near_of, answers.truth)
    odd = np.exp(-np.log1p(np.exp(-strange.values[:, 0]))) < CUTOFF

    def fitted(rows: Bools) -> Trees:
        mine, others = unsure & rows, odd & rows
        table = Table(usual.names, np.vstack([usual.values[mine], strange.values[others]]))
        truths = np.concatenate([right[mine], np.zeros(int(others.sum()), bool)])
        share = STRANGE * mine.sum() / max(1, int(others.sum()))
        weights = np.concatenate([np.ones(int(mine.sum())), np.full(int(others.sum()), share)])
        return fit_trees(table, truths, seed, weights)

    trust = np.zeros(len(right))
    for seen, held in StratifiedKFold(5, shuffle=True, random_state=seed).split(right, right):
        rows = np.zeros(len(right), bool)
        rows[seen] = True
        trust[held] = fitted(rows).trust(Table(usual.names, usual.values[held]))
    everything = fitted(np.ones(len(right), bool))
    return Learned(trust, everything, answers, projection, starts, order, vectors[order], counts)


class _Near:
    """Cosines of training rows to known rows of other folds, and not of the label `gone` (n,)."""

    def __init__(self, vectors: Singles, known: Known, folds: Ints, of_known: Ints) -> None:
        self._vectors, self._known, self._folds, self._of_known = vectors, known, folds, of_known

    def __call__(self, rows: slice, gone: Ints | None) -> Singles:
        near = self._vectors[rows] @ self._known.vectors.T
        hidden = self._folds[rows, None] == self._of_known[None, :]
        if gone is not None:
            hidden |= gone[rows, None] == self._known.labels[None, :]
        near[hidden] = -1.0
        return np.asarray(near)


def _table(answers: Answers, signals: Signals, known: Known, near_of: _Near, gone: Ints | None) -> Table:
    """Features of all rows; `gone` (n,) are the labels that are not looked for among the neighbours."""
    said, parts = signals.probabilities.argmax(axis=1), []
    for first in range(0, len(said), 500):
        rows = slice(first, first + 500)
        parts.append(of_neighbours(near_of(rows, gone), said[rows], known).values)
        names = of_neighbours(near_of(slice(0, 1), gone), said[:1], known).names
    return rounded(
        joined(
            [
                of_probabilities(signals.probabilities),
                Table(names, np.vstack(parts)),
                of_tokens(signals.tokens, known.usual, own=1.0),
                of_fields(answers.fields, answers.numbers),
            ]
        )
    )


def _without_own(answers: Answers) -> Signals:
    scores = answers.scores.copy()
    scores[np.arange(len(answers.truth)), answers.truth] = _GONE
    return Signals(softmax(scores), answers.signals.vectors, answers.signals.tokens)


def _projection(vectors: Singles) -> Singles:
    """The directions along which the rows differ most: (e, d), principal components without centring."""
    wide = vectors.astype(np.float64)
    _, found = np.linalg.eigh(wide.T @ wide)
    return np.asarray(found[:, ::-1][:, :DIMENSIONS], np.float32)


def _counts(tokens: Sequence[Ints]) -> npt.NDArray[np.int32]:
    width = 1 + max(int(ids.max(initial=0)) for ids in tokens)
    counts = np.zeros(width + 1, np.int32)  # the last is for tokens that no row has
    for ids in tokens:
        counts[np.unique(ids)] += 1
    return counts
