"""What would another threshold have cost, and how often would it have been right? From the log. Pure.

Off-policy evaluation (Dudik, Langford and Li 2011) of "the local model answers from confidence t on". The
rows are the reviewed random sample: each stands for 1/p decisions (Hájek 1971). What the local model would
have said is logged for every decision it was asked about, so a lower t is judged by what was seen. What the
rest of the plan would have said of a decision that the local model answered was not seen, and there the
direct method steps in: the mean of the `NEAREST` seen decisions with the nearest confidence. Since nothing
was seen there, no method can say how good that guess is: `assumed` is its share, `low` and `high` hold
the doubt of the sampling alone (percentile bootstrap), and `worst` and `best` hold whatever is true
(Manski 1990): none, or all, of the guessed ones right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NEAREST = 50
RESAMPLES = 400
SEED = 7
POINTS = 20
FEWEST = 30
"""Reviewed decisions below which nothing is said: an interval from fewer would be read as knowledge."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One reviewed decision of the random sample, drawn with probability `rate`.

    `confidence` None: the local model was not asked (a rule answered), so no threshold changes it.
    `local_right`: would the local label have been right; `right`: was the answer that was given; None: the
    review does not tell. `by_local`: the local model gave it. `usd` None: what it cost is not known.
    """

    rate: float
    confidence: float | None
    local_right: bool | None
    right: bool | None
    by_local: bool
    usd: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Point:
    """One threshold: the share answered locally, correctness of all answers, and cost. Shares are 0 to 1.
    `gain`: how much more often right than at the threshold it is compared with, from the same resamples."""

    threshold: float
    local_share: float
    correct: Estimate
    worst: float
    best: float
    usd_per_1000: Estimate
    assumed: float
    gain: Estimate | None = None


def frontier(
    rows: Sequence[Logged],
    thresholds: Sequence[float] = (),
    points: int = POINTS,
    confidence: float = 0.95,
    against: float | None = None,
) -> list[Point]:
    """The points at those thresholds and at `points` steps of the decisions' own confidences, ascending;
    compared with the threshold `against`. Empty with fewer than `FEWEST` rows.
    """
    import numpy as np

    if len(rows) < FEWEST:
        return []
    seen = _Seen(rows)
    draws = np.random.default_rng(SEED).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), RESAMPLES)
    weights = seen.weight * np.vstack([np.ones(len(rows)), draws])
    base = None if against is None else seen.right(against, weights)
    wanted = sorted({*thresholds, *_spread(seen, points)})
    return [_point(seen, t, weights, confidence, base) for t in wanted]


class _Seen:
    """The rows as columns; nan where something was not seen."""

    def __init__(self, rows: Sequence[Logged]) -> None:
        import numpy as np

        def column(values: Sequence[float | None]) -> "Floats":
            return np.array([np.nan if value is None else float(value) for value in values])

        self.weight = column([1 / row.rate for row in rows])
        self.confidence = column([row.confidence for row in rows])
        self.local = column([row.local_right for row in rows])
        self.rest = column([None if row.by_local else row.right for row in rows])
        self.usd = column([None if row.by_local else row.usd for row in rows])
        self.fixed = np.isnan(self.confidence)

    def found(self, threshold: float) -> tuple["NDArray[np.bool_]", "Floats"]:
        """Which decisions the local model answers, and whether each answer is right; nan where not seen."""
        import numpy as np

        locally = ~self.fixed & (self.confidence >= threshold)
        return locally, np.where(locally, self.local, self.rest)

    def right(self, threshold: float, weights: "Floats") -> "Floats":
        """Share of right answers, for each row of weights."""
        import numpy as np

        locally, found = self.found(threshold)
        guess = np.where(locally, self.guessed(self.local, weights), self.guessed(self.rest, weights))
        return _mean(np.where(np.isnan(found), guess, found), weights)

    def guessed(self, values: "Floats", weights: "Floats") -> "Floats":
        """For each row of weights and each decision, the weighted mean of the `NEAREST` seen values by
        confidence; 0 where nothing was seen: an answer that nobody ever gave is not counted as right."""
        import numpy as np

        known = np.flatnonzero(~np.isnan(values) & ~self.fixed)
        known = known[np.argsort(self.confidence[known], kind="stable")]
        place = np.searchsorted(self.confidence[known], np.nan_to_num(self.confidence))
        first = np.clip(place - NEAREST // 2, 0, max(0, len(known) - NEAREST))
        last = np.minimum(first + NEAREST, len(known))

        def within(terms: "Floats") -> "Floats":
            upto = np.pad(np.cumsum(terms, axis=1), ((0, 0), (1, 0)))
            inside: Floats = upto[:, last] - upto[:, first]
            return inside

        heavy = within(weights[:, known])
        return np.divide(
            within(weights[:, known] * values[known]), heavy, out=np.zeros_like(heavy), where=heavy > 1e-9
        )


def _spread(seen: _Seen, points: int) -> list[float]:
    import numpy as np

    asked = seen.confidence[~seen.fixed]
    if not len(asked) or not points:
        return []
    return [float(t) for t in np.quantile(asked, np.linspace(0, 1, points + 1), method="lower")]


def _point(
    seen: _Seen, threshold: float, weights: "Floats", confidence: float, base: "Floats | None"
) -> Point:
    """`weights`: (1 + RESAMPLES, rows); the first row is the sample itself, the others are its resamples."""
    import numpy as np

    locally, found = seen.found(threshold)
    spent = np.where(locally, 0.0, seen.usd)
    unknown = np.isnan(found)
    right = seen.right(threshold, weights)
    usd = 1000 * _mean(np.where(np.isnan(spent), seen.guessed(seen.usd, weights), spent), weights)
    share = seen.weight / seen.weight.sum()
    return Point(
        threshold=threshold,
        local_share=float(share[locally].sum()),
        correct=_estimate(right, confidence),
        worst=float((share * np.where(unknown, 0.0, found)).sum()),
        best=float((share * np.where(unknown, 1.0, found)).sum()),
        usd_per_1000=_estimate(usd, confidence),
        assumed=float(share[unknown].sum()),
        gain=None if base is None else _estimate(right - base, confidence),
    )


def _mean(values: "Floats", weights: "Floats") -> "Floats":
    """Hájek's mean of each row of weights."""
    mean: Floats = (values * weights).sum(axis=1) / weights.sum(axis=1)
    return mean


def _estimate(means: "Floats", confidence: float) -> Estimate:
    import numpy as np

    tail = (1 - confidence) / 2
    low, high = np.quantile(means[1:], [tail, 1 - tail])
    return Estimate(float(means[0]), float(low), float(high))
