"""How often is each route right? Estimated from the random sample of reviews. Pure.

A decision that was drawn with probability p stands for 1/p decisions (Horvitz and Thompson 1952), so that
days with a larger `sample_rate` do not count for more. The estimate is Hájek's ratio sum(w y) / sum(w),
w = 1/p. Its interval is Wilson's (1927) with Kish's effective sample size (sum w)^2 / sum(w^2) (Kish 1965,
11.7) in place of n; as a score interval it holds for few reviews, and near 0 and 1, where the usual one does
not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

ALL = "all"


@dataclass(frozen=True, slots=True)
class Sampled:
    """One decision of the random sample. `rate`: with which probability it was drawn; `correct` None: its
    review is not done, or was dropped."""

    route: str
    rate: float
    correct: bool | None


@dataclass(frozen=True, slots=True)
class RouteEstimate:
    """`drawn` decisions, `reviewed` of them; the share that is right, with its interval. None: no review."""

    route: str
    drawn: int
    reviewed: int
    correctness: float | None
    low: float | None
    high: float | None


def correctness_by_route(rows: Iterable[Sampled], confidence: float = 0.95) -> list[RouteEstimate]:
    """Each route by name, then all together. Two-sided intervals of that `confidence`."""
    routes: dict[str, list[Sampled]] = {}
    for row in rows:
        routes.setdefault(row.route, []).append(row)
    everything = [row for of_route in routes.values() for row in of_route]
    return [_estimate(route, routes[route], confidence) for route in sorted(routes)] + [
        _estimate(ALL, everything, confidence)
    ]


def judged(
    answered: str | None, reviewed: str | None, correct: bool | None, label: str | None
) -> bool | None:
    """Was this answer right, by a review that may have been of another answer to the very same request?

    `reviewed` is the label that was reviewed, `correct` and `label` what was said of it. One label is right:
    where another was, this one is wrong. None: not known.
    """
    if correct is None:
        return None
    if label is not None:
        return answered == label
    if answered == reviewed:
        return correct
    return False if correct else None


def _estimate(route: str, rows: Sequence[Sampled], confidence: float) -> RouteEstimate:
    weighted = [(1 / row.rate, row.correct) for row in rows if row.correct is not None]
    if not weighted:
        return RouteEstimate(route, len(rows), 0, None, None, None)
    total = sum(weight for weight, _ in weighted)
    share = sum(weight for weight, correct in weighted if correct) / total
    effective = total**2 / sum(weight**2 for weight, _ in weighted)
    low, high = _wilson(share, effective, confidence)
    return RouteEstimate(route, len(rows), len(weighted), share, low, high)


def _wilson(share: float, n: float, confidence: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
