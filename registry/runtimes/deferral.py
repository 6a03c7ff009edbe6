"""Learned deferral: is the local answer right? Trees that correct the model's own confidence, in numpy.

`deferral.json` has the trees as leaves (see `tree_reasons.py`) and the names of their features;
`deferral.npz` the known rows among which neighbours are looked for. Where the model is surer than `cutoff`
its confidence stands: in training, in calibration and here, so that most requests pay nothing. Below, trust
never passes it.
"""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from registry.errors import PackageInvalid, RegistryError
from registry.records import Contribution, Deferred, Prediction
from registry.runtimes.tree_reasons import TreeReasons
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
)

RULE, ROWS = "deferral.json", "deferral.npz"
FORMAT = 1
BLOCK = 500
TOLD = 2
"""So many features that lowered the trust most are told."""
_BYTE = np.float32(127)


class Deferral:
    """How far an answer is to be trusted: a probability, from what `Signals` say of it."""

    def __init__(self, rule: bytes, rows: bytes, labels: int) -> None:
        """Raises `PackageInvalid` when the two do not fit together, or are of another form."""
        read = json.loads(rule)
        if read.get("format") != FORMAT:
            raise PackageInvalid(
                f"{RULE}: expected format {FORMAT}, got {read.get('format')}; train it again"
            )
        with np.load(io.BytesIO(rows), allow_pickle=False) as arrays:
            self._projection = arrays["projection"].astype(np.float32)
            starts = arrays["starts"].astype(np.int64)
            vectors = arrays["vectors"].astype(np.float32) / _BYTE
            usual = np.log1p(arrays["counts"].astype(np.float32))
        if (
            len(starts) != labels + 1
            or starts[0]
            or (np.diff(starts) < 0).any()
            or starts[-1] != len(vectors)
        ):
            raise PackageInvalid(f"{ROWS}: expected rows of {labels} labels, one label after the other")
        of_rows = np.repeat(np.arange(labels), np.diff(starts))
        self.known = Known(vectors, of_rows, starts, usual)
        self.names: tuple[str, ...] = tuple(read["names"])
        self._fields: tuple[str, ...] = tuple(read["fields"])
        self._cutoff = float(read["cutoff"])
        self._top = float(log_odds(np.array([self._cutoff]))[0])
        self._trees = TreeReasons(json.dumps(read["trees"]).encode(), len(self.names))

    def trust(
        self, signals: Signals, rows: Sequence[Mapping[str, object]]
    ) -> tuple[Floats, list[tuple[Contribution, ...]]]:
        """Of n answers: how far each is to be trusted (n,), and what lowered that most."""
        plain = signals.probabilities.max(axis=1)
        found = plain.copy()
        told: list[tuple[Contribution, ...]] = [()] * len(plain)
        unsure = np.flatnonzero(~(plain >= self._cutoff))
        for first in range(0, len(unsure), BLOCK):
            here = unsure[first : first + BLOCK]
            table = self.table(signals, rows, here)
            for row, values in zip(here.tolist(), table.values.astype(np.float32), strict=True):
                added = self._trees(values)
                odds = values[0] + self._trees.base + float(added.sum())
                found[row] = 1.0 / (1.0 + np.exp(-min(odds, self._top)))
                told[row] = self._lowered(values, added)
        return found, told

    def table(self, signals: Signals, rows: Sequence[Mapping[str, object]], chosen: Ints) -> Table:
        """The features of some of the answers, log-odds of the model's own confidence first."""
        probabilities = signals.probabilities[chosen]
        near = self.placed(signals.vectors[chosen]) @ self.known.vectors.T
        return rounded(
            joined(
                [
                    of_probabilities(probabilities),
                    of_neighbours(near, probabilities.argmax(axis=1), self.known),
                    of_tokens([signals.tokens[at] for at in chosen], self.known.usual),
                    of_fields([rows[at] for at in chosen], self._fields),
                ]
            )
        )

    def placed(self, vectors: Singles) -> Singles:
        """Where vectors lie among the known ones, (n, d) of length 1."""
        return placed(vectors, self._projection)

    def _lowered(self, values: Singles, added: Floats) -> tuple[Contribution, ...]:
        order = np.argsort(added.round(9), kind="stable")[:TOLD]
        return tuple(
            Contribution(self.names[at], float(values[at]), float(added[at])) for at in order if added[at] < 0
        )


def placed(vectors: Singles, projection: Singles) -> Singles:
    """Fewer dimensions, of length 1 again: (n, e) by (e, d)."""
    found = vectors @ projection
    scaled: Singles = found / (np.linalg.norm(found, axis=1, keepdims=True) + np.float32(1e-9))
    return scaled


class Telling(Protocol):
    """What a predictor must offer for a deferral: `signals`, of one row or more, beside what each has."""

    labels: tuple[str, ...]

    def probabilities(self, rows: Sequence[Mapping[str, object]]) -> np.ndarray: ...

    def signals(self, rows: Sequence[Mapping[str, object]]) -> Signals: ...


class DeferringPredictor:
    """A predictor whose confidence is how far its answer is to be trusted."""

    def __init__(self, inner: Telling, deferral: Deferral) -> None:
        self.labels = inner.labels
        self._inner, self.deferral = inner, deferral

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        """The most probable label of one request, how far it is to be trusted, and, where that is not the
        model's own confidence, why."""
        signals = self._inner.signals([fields])
        trust, told = self.deferral.trust(signals, [fields])
        row = signals.probabilities[0]
        best = int(row.argmax())
        plain, sure = float(row[best]), float(trust[0])
        return Prediction(
            self.labels[best], sure, deferred=None if sure == plain else Deferred(plain, told[0])
        )

    def probabilities(self, rows: Sequence[Mapping[str, object]]) -> np.ndarray:
        """The model's own: shape (n, k), each row sums to 1."""
        return self._inner.probabilities(rows)

    def judged(self, rows: Sequence[Mapping[str, object]]) -> tuple[np.ndarray, np.ndarray]:
        """The model's own probabilities (n, k), and how far each answer is to be trusted (n,)."""
        if not rows:
            return np.zeros((0, len(self.labels))), np.zeros(0)
        signals = self._inner.signals(rows)
        return signals.probabilities, self.deferral.trust(signals, rows)[0]


def with_deferral(predictor: object, rule: bytes, rows: bytes, shown: str) -> DeferringPredictor:
    """`predictor` with the deferral of its package. Raises `PackageInvalid`."""
    if not hasattr(predictor, "signals"):
        raise PackageInvalid(f"{shown}: holds {RULE}, and its kind of model tells nothing that one could use")
    inner: Telling = predictor  # type: ignore[assignment]  # asked just above
    try:
        return DeferringPredictor(inner, Deferral(rule, rows, len(inner.labels)))
    except RegistryError:
        raise
    except Exception as error:  # json and numpy raise what they like
        raise PackageInvalid(f"{shown}: {RULE} cannot be used: {type(error).__name__}") from error
