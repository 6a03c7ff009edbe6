"""Tests that stay valid however often one looks: is the candidate worse, is it not worse, is the split off?

Each function returns the logarithm of an e-process: a non-negative supermartingale, or smaller than one,
while its null hypothesis holds, so that P(it ever reaches log(1/alpha)) <= alpha (Ville's inequality).
All state is counts and sums, so workers' parts add up. Arguments are numpy arrays that broadcast.

Formulas, with the mean of an arm allowed to drift (what is tested is its running mean):
- rates: exp(l*S - n*log(1 - m + m*e^l)), Chernoff for Bernoulli (Howard, Ramdas, McAuliffe, Sekhon 2021,
  "Time-uniform, nonparametric, nonasymptotic confidence sequences", sub-Bernoulli processes); log(1 - m +
  m*e^l) is concave in m, so by Jensen n times its value at the running mean bounds the sum over requests.
- bounded amounts: exp(l*(S - n*m) - (-log(1 - l) - l)*V), the empirical-Bernstein process (same paper,
  theorem 4; Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting").
- `l` is mixed over a fixed grid (discrete mixture, same paper, section 3.3).
- two arms: the product of the two arms' e-processes, at the pair of means within the null that makes it
  smallest (as in Turner and Gruenwald 2023, "Exact anytime-valid confidence intervals for contingency
  tables and beyond"). Its logarithm is convex in that pair, so a golden-section search finds the smallest.
"""

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TILTS = np.geomspace(0.01, 5.0, 16)  # log odds ratios: from far apart to almost alike
_BETS = np.geomspace(0.001, 0.9, 16)
_SEARCH_STEPS = 56  # of the golden section: 1 shrinks to 2e-12
_GOLDEN = (math.sqrt(5) - 1) / 2


class Arm(Protocol):
    """What one side of a rollout showed, as evidence on its mean in [0, 1]."""

    def log_above(self, mean: Array) -> Array:
        """Evidence that the running mean is above `mean`; decreasing and convex in it."""
        ...

    def log_below(self, mean: Array) -> Array:
        """Evidence that the running mean is below `mean`; increasing and convex in it."""
        ...


class Bernoulli:
    """`hits` of `n` requests had it (an error, a fallback, a wrong answer)."""

    def __init__(self, n: object, hits: object) -> None:
        self._n = np.asarray(n, dtype=float)[..., None]
        self._hits = np.asarray(hits, dtype=float)[..., None]

    def log_above(self, mean: Array) -> Array:
        return self._log(_TILTS, mean)

    def log_below(self, mean: Array) -> Array:
        return self._log(-_TILTS, mean)

    def _log(self, tilts: Array, mean: Array) -> Array:
        at = np.asarray(mean, dtype=float)[..., None]
        with np.errstate(invalid="ignore"):
            return _mixture(tilts * self._hits - self._n * np.log1p(at * np.expm1(tilts)))


class Bounded:
    """`n` amounts in [0, 1]: their sum, and the sum of squared distances of each from a guess that was made
    before it came (such as the mean so far; each worker may keep its own)."""

    def __init__(self, n: object, total: object, deviation: object) -> None:
        self._n = np.asarray(n, dtype=float)[..., None]
        self._total = np.asarray(total, dtype=float)[..., None]
        self._price = (-np.log1p(-_BETS) - _BETS) * np.asarray(deviation, dtype=float)[..., None]

    def log_above(self, mean: Array) -> Array:
        at = np.asarray(mean, dtype=float)[..., None]
        return _mixture(_BETS * (self._total - self._n * at) - self._price)

    def log_below(self, mean: Array) -> Array:
        at = np.asarray(mean, dtype=float)[..., None]
        return _mixture(-_BETS * (self._total - self._n * at) - self._price)


def log_worse(stable: Arm, candidate: Arm, margin: float, ratio: float = 1.0) -> Array:
    """Evidence against "the candidate's mean is at most ratio * stable's + margin"."""
    return _smallest(lambda m: candidate.log_above(ratio * m + margin) + stable.log_below(m), margin, ratio)


def log_not_worse(stable: Arm, candidate: Arm, margin: float, ratio: float = 1.0) -> Array:
    """Evidence against "the candidate's mean is at least ratio * stable's + margin" (non-inferiority)."""
    return _smallest(lambda m: candidate.log_below(ratio * m + margin) + stable.log_above(m), margin, ratio)


def log_mismatch(stable: int, candidate: int, weight: float, concentration: float = 100.0) -> float:
    """Evidence that people were not divided by `weight` (the candidate's share, in (0, 1)).

    The Bayes factor of a Dirichlet(concentration * weights) against the weights that were meant (Lindon
    and Malek 2022, "Anytime-valid inference for multinomial count data"). Counts are of sticky
    keys, each once: the requests of one key go together.
    """
    if not 0 < weight < 1:
        raise ValueError("weight: expected above 0 and below 1, the candidate's share")
    log = math.log(1 - weight) * -stable + math.log(weight) * -candidate
    log += math.lgamma(concentration) - math.lgamma(concentration + stable + candidate)
    for count, share in ((stable, 1 - weight), (candidate, weight)):
        log += math.lgamma(concentration * share + count) - math.lgamma(concentration * share)
    return log


def _mixture(logs: Array) -> Array:
    """log(mean(exp(logs))) over the last axis."""
    most = logs.max(axis=-1)
    mixed: Array = most + np.log(np.exp(logs - most[..., None]).mean(axis=-1))
    return mixed


def _smallest(log_e: Callable[[Array], Array], margin: float, ratio: float) -> Array:
    """The minimum over stable's mean for which the bound on the candidate's lies in [0, 1].

    Beyond that range the null holds of every candidate, and the evidence against it only grows.
    """
    if not (0 <= margin < 1 and ratio >= 1):
        raise ValueError("expected 0 <= margin < 1 and ratio >= 1")
    low: Array = np.zeros(())
    high: Array = np.full((), (1 - margin) / ratio)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = log_e(left), log_e(right)
    least = np.minimum(log_e(low), log_e(high))
    for _ in range(_SEARCH_STEPS):
        go_left = at_left < at_right
        low, high = np.where(go_left, low, left), np.where(go_left, right, high)
        probe = np.where(go_left, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        found = log_e(probe)
        left, at_left, right, at_right = (
            np.where(go_left, probe, right),
            np.where(go_left, found, at_right),
            np.where(go_left, left, probe),
            np.where(go_left, at_left, found),
        )
    return np.minimum(least, np.minimum(at_left, at_right))
