"""What tells a right answer of a local model from a wrong one: the same code for training and for serving.

Everything comes from this machine: the model's probabilities, the nearest known rows with their labels, and
how much of a text is known. Rows of a batch do not depend on each other.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

NEAREST, SHARP = 15, 10.0
_TINY = 1e-12
_ABSENT = -1.0  # a closeness that no row has: cosines are more


@dataclass(frozen=True, slots=True)
class Signals:
    """What a model lets be seen of n answers."""

    probabilities: Floats  # (n, k)
    vectors: Singles  # (n, d): where a text lies, of length 1
    tokens: Sequence[npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Table:
    """Features of n answers: `values` (n, names)."""

    names: tuple[str, ...]
    values: Floats


@dataclass(frozen=True, slots=True)
class Known:
    """Rows that the model learned from, sorted by label: `vectors` (m, d) of length 1; the rows of label i
    are `starts[i]` to `starts[i + 1]`. `usual` (tokens + 1,) is in how many of them a token is, as its
    logarithm; the last stands for all tokens that none has."""

    vectors: Singles
    labels: Ints
    starts: Ints
    usual: Singles


def of_probabilities(probabilities: Floats) -> Table:
    """How sure the model is: (n, k) with k >= 2."""
    ranked = -np.sort(-probabilities, axis=1)
    logs = np.log(ranked[:, : min(3, ranked.shape[1])] + _TINY)
    second = logs[:, 1] - logs[:, 2] if logs.shape[1] > 2 else np.zeros(len(ranked))
    entropy = -(probabilities * np.log(probabilities + _TINY)).sum(axis=1)
    columns = [log_odds(ranked[:, 0]), logs[:, 0] - logs[:, 1], second, entropy]
    return Table(("log_odds", "margin", "second_margin", "entropy"), np.column_stack(columns))


def of_neighbours(near: Singles, said: Ints, known: Known) -> Table:
    """What the nearest known rows are labelled, beside the label `said` (n,); `near` is (n, m)."""
    most = min(NEAREST, near.shape[1])
    best = np.argpartition(near, -most, axis=1)[:, -most:]
    best = np.take_along_axis(best, np.argsort(-np.take_along_axis(near, best, 1), axis=1), 1)
    closeness = np.take_along_axis(near, best, 1).astype(np.float64)
    agrees = known.labels[best] == said[:, None]
    weights = np.exp(SHARP * (closeness - closeness[:, :1]))
    same, other = np.empty(len(said)), np.empty(len(said))
    for row, label in enumerate(said.tolist()):
        first, end = int(known.starts[label]), int(known.starts[label + 1])
        here = near[row]
        same[row] = here[first:end].max(initial=_ABSENT)
        other[row] = max(here[:first].max(initial=_ABSENT), here[end:].max(initial=_ABSENT))
    columns = [
        agrees[:, :1].mean(axis=1),
        agrees[:, :5].mean(axis=1),
        agrees.mean(axis=1),
        (weights * agrees).sum(axis=1) / weights.sum(axis=1),
        closeness[:, 0],
        closeness.mean(axis=1),
        same,
        other,
        same - other,
    ]
    names = ("nearest_agrees", "agree_of_5", "agree_of_15", "agree_weighted", "nearest", "near_15",
             "nearest_same", "nearest_other", "gap")  # fmt: skip
    return Table(names, np.column_stack(columns))


def of_tokens(tokens: Sequence[npt.NDArray[np.int64]], usual: Singles, own: float = 0.0) -> Table:
    """How many tokens, the share that known rows have, and how usual the rarest and the mean one are. `own`
    is taken off each count where the rows are themselves known ones."""
    found = np.zeros((len(tokens), 4))
    last = len(usual) - 1
    for row, tokens_of in enumerate(tokens):
        ids = np.minimum(tokens_of, last)
        counts = np.log1p(np.maximum(np.expm1(usual[ids]) - own, 0.0)) if own else usual[ids]
        found[row] = len(ids), (counts > 0.1).mean(), counts.min(), counts.mean()
    return Table(("tokens", "known_tokens", "rarest_token", "usual_tokens"), found)


def of_fields(rows: Sequence[Mapping[str, object]], names: Sequence[str]) -> Table:
    """The use case's own numbers; one that is not there is 0."""
    found = [[_number(fields.get(name)) for name in names] for fields in rows]
    return Table(
        tuple(f"field.{name}" for name in names), np.array(found, float).reshape(len(rows), len(names))
    )


def joined(tables: Sequence[Table]) -> Table:
    """All columns side by side."""
    names = tuple(name for table in tables for name in table.names)
    return Table(names, np.hstack([table.values for table in tables]))


def rounded(table: Table) -> Table:
    """To 32-bit numbers: what trees are trained on, and what serving compares."""
    return Table(table.names, table.values.astype(np.float32).astype(np.float64))


def softmax(scores: Floats) -> Floats:
    """Probabilities (n, k)."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Floats = raised / raised.sum(axis=1, keepdims=True)
    return found


def log_odds(confidences: Floats) -> Floats:
    """Of probabilities, bounded at both ends."""
    clipped = np.clip(confidences, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _number(value: object) -> float:
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    return 0.0
