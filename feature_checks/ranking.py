"""How well do scores rank events, where few are positive? The handbook's metrics by their usual names.

`roc_auc` (Mann-Whitney), `average_precision` (sum over thresholds of precision times the gain in recall),
and `card_precision_at_k`: of the k keys (cards) that a day's highest scores name, the share with a positive
event that day; a key found once is not looked at on later days (Le Borgne, Siblini, Lebichot, Bontempi 2022,
Fraud Detection Handbook, chapter 4, "Precision top-k metrics"). Pure; ties are as in scikit-learn.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]
    Ints = npt.NDArray[np.int64]

K = 100


def roc_auc(scores: "Floats", positive: "Bools") -> float | None:
    """Chance that a positive event scores above another one, ties counted half; None without both."""
    from scipy import stats

    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return None
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def average_precision(scores: "Floats", positive: "Bools") -> float | None:
    """Area under the precision-recall steps; None without a positive event."""
    import numpy as np

    if not positive.any():
        return None
    order = np.argsort(-scores, kind="stable")
    hits = positive[order].cumsum()
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each run of equal scores
    precision, found = hits[last] / (last + 1), hits[last]
    return float((np.diff(found, prepend=0) * precision).sum() / hits[-1])


def card_precision_at_k(
    scores: "Floats", positive: "Bools", keys: "Ints", days: "Ints", k: int = K
) -> list[float]:
    """Of each day, in order: see the top of this module. `keys` are numbers from 0 on."""
    import numpy as np

    found: list[float] = []
    known = np.zeros(int(keys.max(initial=-1)) + 1, bool)
    for day in np.unique(days):
        here = (days == day) & ~known[keys]
        best = np.full(len(known), -np.inf)
        np.maximum.at(best, keys[here], scores[here])
        bad = np.zeros(len(known), bool)
        bad[keys[here & positive]] = True
        top = np.argsort(-best, kind="stable")[:k]
        hits = top[bad[top] & np.isfinite(best[top])]
        known[hits] = True
        found.append(len(hits) / k)
    return found


def resampled(
    measure: "Callable[[Ints, Ints], float | None]", keys: "Ints", times: int, seed: int = 7
) -> tuple[float, float] | None:
    """The middle 95 % of a measure over redrawn keys: whole cards, since a card's events belong together.

    `measure` takes places of rows and the key of each: a card that is drawn twice counts as two.
    """
    import numpy as np

    draw = np.random.default_rng(seed)
    order = np.argsort(keys, kind="stable")
    known, starts = np.unique(keys[order], return_index=True)
    ends = np.append(starts[1:], len(keys))
    values: list[float] = []
    for _ in range(times):
        chosen = draw.integers(0, len(known), len(known))
        sizes = ends[chosen] - starts[chosen]
        own = np.repeat(np.arange(len(chosen)), sizes)
        offsets = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        rows = order[np.repeat(starts[chosen], sizes) + offsets]
        if (value := measure(rows, own)) is not None:
            values.append(value)
    if len(values) < times // 2:
        return None
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
