"""Exact TreeSHAP of an ensemble of trees, one row at a time: what each feature added to the log-odds.

Path-dependent Shapley values (Lundberg, Erion, Lee 2018, arXiv 1802.03888). A leaf with value v and the
features U on its path adds to feature i

    v (o_i - p_i) sum over S in U \\ {i} of |S|! (|U|-|S|-1)! / |U|!  prod_{j in S} o_j  prod_{j not in S} p_j

where o_j says whether the row satisfies all conditions on j, and p_j is the share of training rows that
would. Only the o_j depend on the row, so that all 2^|U| outcomes of every leaf are worked out when the model
is opened (as in Yang 2021, arXiv 2109.09847), and a row is a table look-up.
"""

import json
from itertools import pairwise
from math import factorial

import numpy as np
import numpy.typing as npt

from registry.errors import PackageInvalid

TREES = "trees.json"
MOST_FEATURES_OF_A_PATH = 8


class TreeReasons:
    """Contributions of features to a row's log-odds: they and `base` add up to the model's own."""

    def __init__(self, raw: bytes, features: int) -> None:
        """`raw` is trees.json: of each leaf its `value`, and for each feature on its path (padded with
        feature 0, everything, 1) `feature`, `low` < x <= `high`, `share`. Raises `PackageInvalid`."""
        read = json.loads(raw)
        self._feature = np.array(read["feature"], np.int64)  # (leaves, width)
        self._low = _bounds(read["low"], -np.inf)
        self._high = _bounds(read["high"], np.inf)
        share, value = np.array(read["share"], np.float64), np.array(read["value"], np.float64)
        shapes = {array.shape for array in (self._feature, self._low, self._high, share)}
        if len(shapes) != 1 or self._feature.ndim != 2 or value.shape != (len(self._feature),):
            raise PackageInvalid(f"{TREES}: its lists do not have the same shape")
        width = self._feature.shape[1]
        if width > MOST_FEATURES_OF_A_PATH or self._feature.min() < 0 or self._feature.max() >= features:
            raise PackageInvalid(
                f"{TREES}: expected paths of at most {MOST_FEATURES_OF_A_PATH} known features"
            )
        self._features = features
        self._flat = self._feature.ravel()
        self._powers = 1 << np.arange(width)
        self._rows = np.arange(len(value))
        self._table = _table(value, share)
        self.base = float(read["base"]) + float((value * share.prod(axis=1)).sum())

    def __call__(self, row: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Contributions (features,) of a row (features,), in log-odds."""
        seen = row[self._feature]
        outcome = ((seen > self._low) & (seen <= self._high)) @ self._powers
        found = np.bincount(
            self._flat, weights=self._table[self._rows, outcome].ravel(), minlength=self._features
        )
        return np.asarray(found, np.float64)


def _bounds(values: list[list[float | None]], absent: float) -> npt.NDArray[np.float32]:
    return np.array([[absent if v is None else v for v in row] for row in values], np.float32)


def _table(value: npt.NDArray[np.float64], share: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """(leaves, 2^width, width): what a leaf adds to each feature on its path, for each outcome."""
    leaves, width = share.shape
    outcomes = (np.arange(1 << width)[:, None] >> np.arange(width) & 1).astype(np.float64)
    weight = [factorial(k) * factorial(width - 1 - k) / factorial(width) for k in range(width)]
    table = np.empty((leaves, 1 << width, width), np.float32)
    for one in range(width):
        # Coefficients, by |S|, of the product over the other features of (p_j + o_j z).
        sums = [np.ones((leaves, 1 << width))]
        for other in range(width):
            if other == one:
                continue
            p, o = share[:, other, None], outcomes[None, :, other]
            sums = [sums[0] * p, *(below * o + here * p for below, here in pairwise(sums)), sums[-1] * o]
        total = sum(w * s for w, s in zip(weight, sums, strict=True))
        table[:, :, one] = value[:, None] * (outcomes[None, :, one] - share[:, one, None]) * total
    return table
