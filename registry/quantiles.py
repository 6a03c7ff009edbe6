"""Latency quantiles of two arms, tested so that one may look at any time, from counts in fixed bins.

That a quantile lies below x says how often requests are faster than x: a rate. So the quantile is tested by
the e-process of that rate at every x (Howard and Ramdas 2022, "Sequential estimation of quantiles with
applications to A/B testing and best-arm identification", a fixed quantile), and both arms'
evidence is multiplied at the x that makes it smallest. Bins only make the tests more careful.
"""

import math

import numpy as np

from registry.sequential import Array, Bernoulli

FIRST_MS = 0.1
GROWTH = 1.02  # each bin ends 2 % above the one before
BINS = 790  # the last one that ends does so at about ten minutes


def bin_of(ms: float) -> int:
    """The bin of one latency; bin i ends at `FIRST_MS * GROWTH ** i`, the last one nowhere.

    Raises `ValueError` for what is no latency.
    """
    if not ms >= 0:  # NaN fails this too
        raise ValueError("latency: expected 0 ms or more")
    if ms <= FIRST_MS:
        return 0
    return min(math.ceil(math.log(ms / FIRST_MS) / math.log(GROWTH)), BINS) if ms < math.inf else BINS


def log_slower(stable: Array, candidate: Array, q: float, ratio: float) -> Array:
    """Evidence against "the candidate's q-quantile is at most ratio times stable's".

    `stable` and `candidate`: counts for each of the BINS + 1 bins, along the last axis. The ratio is
    rounded up to whole bins.
    """
    theirs, ours, shift = _cumulative(stable), _cumulative(candidate), math.ceil(_bins(ratio) - 1e-9)
    # Were stable's quantile in bin i, its requests in earlier bins would be a share of q at most, and the
    # candidate's up to `shift` bins later at least one of q.
    reached = np.concatenate([ours[..., shift:], np.repeat(ours[..., -1:], shift, axis=-1)], axis=-1)
    before = np.concatenate([np.zeros_like(theirs[..., :1]), theirs[..., :-1]], axis=-1)
    slow = Bernoulli(ours[..., -1:], reached).log_below(np.asarray(q))
    early = Bernoulli(theirs[..., -1:], before).log_above(np.asarray(q))
    least: Array = (slow + early).min(axis=-1)
    return least


def log_not_slower(stable: Array, candidate: Array, q: float, ratio: float) -> Array:
    """Evidence against "the candidate's q-quantile is at least ratio times stable's"; see `log_slower`.

    The ratio is rounded down to whole bins.
    """
    theirs, ours = _cumulative(stable), _cumulative(candidate)
    shift = math.floor(_bins(ratio) + 1e-9)
    before = np.concatenate([np.zeros_like(ours[..., :1]), ours[..., :-1]], axis=-1)
    reached = np.concatenate([before[..., shift:], np.repeat(ours[..., -2:-1], shift, axis=-1)], axis=-1)
    reached[..., 0] = 0  # the first bin has no lower end to multiply
    fast = Bernoulli(ours[..., -1:], reached).log_above(np.asarray(q))
    late = Bernoulli(theirs[..., -1:], theirs).log_below(np.asarray(q))
    least: Array = (fast + late).min(axis=-1)
    return least


def _cumulative(counts: Array) -> Array:
    summed: Array = np.cumsum(np.asarray(counts, dtype=float), axis=-1)
    return summed


def _bins(ratio: float) -> float:
    if not ratio >= 1:
        raise ValueError("ratio: expected 1 or more")
    return math.log(ratio) / math.log(GROWTH)
