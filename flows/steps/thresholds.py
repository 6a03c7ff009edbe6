"""From which confidence on may the local model answer, so that a promise about errors holds?

Learn-then-test (Angelopoulos, Bates, Candès, Jordan, Lei 2021, arXiv 2110.01052): every threshold of a
grid that was fixed beforehand is a hypothesis "more than `max_error` of the answers given at it are
wrong"; an exact binomial p-value (Clopper and Pearson 1934) tests it (their section 2.1), and the
thresholds are tested in a fixed order, strictest first, until one fails (their section 2.2,
fixed-sequence testing), so that with probability `confidence` no threshold that passed is a bad one.

It holds for requests exchangeable with the training rows, on these grounds:
- the probabilities are out-of-fold, so each row's model had not seen it; they stand for those of the
  final model, which learned from more rows (cross-fitting; rows of one fold share a model);
- given how many rows a threshold accepts, the wrong ones among them are binomial;
- the first threshold tested is the strictest that accepts `first_size` rows or more. That depends on
  confidences but never on which answers are wrong, and keeps the guarantee as long as a lower
  threshold does not mean a lower error.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]

METHOD = (
    "learn-then-test, fixed sequence over a grid of thresholds, exact binomial p-values "
    "(arXiv 2110.01052; Clopper-Pearson 1934), on out-of-fold probabilities"
)
NEVER = 2.0
"""The threshold that no probability reaches: nothing is answered locally."""

_GRID_LOGITS = (16.0, -6.0, 441)  # from, to, points: confidences 0.9999999 down to 0.0025


@dataclass(frozen=True, slots=True)
class Calibration:
    """An acceptance threshold and what is known about it.

    With probability `confidence`, at most `max_error` of the answers with confidence >= `threshold` are
    wrong. `coverage`, `empirical_error` and `error_upper_bound` (one-sided Clopper-Pearson bound at
    `confidence`) are of the `n` rows it was found on. `threshold` is `NEVER` and the bound 1 when no
    threshold could be shown to keep the promise.
    """

    threshold: float
    max_error: float
    confidence: float
    coverage: float
    empirical_error: float
    error_upper_bound: float
    n: int
    method: str


def default_grid() -> "Floats":
    """Thresholds, strictest first, evenly spaced in log-odds: fine where confidences crowd."""
    import numpy as np

    start, stop, points = _GRID_LOGITS
    found: Floats = 1.0 / (1.0 + np.exp(-np.linspace(start, stop, points)))
    return found


def first_size(n: int, max_error: float, confidence: float) -> int:
    """Rows that the first tested threshold accepts at least.

    With fewer than `ln(1 - confidence) / ln(1 - max_error)` rows not even zero errors prove anything;
    with few more a single unlucky error ends the whole sequence, hence a quarter of the rows, up to
    1,000. The second part does not depend on `max_error`, so that allowing more never answers less.
    """
    provable = math.ceil(math.log(1 - confidence) / math.log(1 - max_error))
    return max(provable, min(n // 4, 1000), 1)


def choose_threshold(
    confidences: "Floats",
    correct: "Bools",
    max_error: float,
    confidence: float = 0.95,
    grid: "Floats | None" = None,
) -> Calibration:
    """The lowest threshold that passes; pure. `confidences` and `correct` are (n,), held out.

    `grid` must fall and be chosen without looking at `correct`. O(n log n + grid). Raises `ValueError`.
    """
    n = len(correct)
    thresholds, accepted, wrong = passing(confidences, correct, max_error, confidence, grid)
    if not len(thresholds):
        return Calibration(NEVER, max_error, confidence, 0.0, 0.0, 1.0, n, METHOD)
    size, errors = int(accepted[-1]), int(wrong[-1])
    return Calibration(
        threshold=float(thresholds[-1]),
        max_error=max_error,
        confidence=confidence,
        coverage=size / n,
        empirical_error=errors / size,
        error_upper_bound=upper_bound(errors, size, confidence),
        n=n,
        method=METHOD,
    )


def passing(
    confidences: "Floats",
    correct: "Bools",
    max_error: float,
    confidence: float = 0.95,
    grid: "Floats | None" = None,
) -> "tuple[Floats, Ints, Ints]":
    """Every threshold that passes, strictest first, with how many rows it accepts and how many are wrong.

    With probability `confidence` each one of them keeps the promise. Raises `ValueError`.
    """
    import numpy as np
    from scipy import special

    thresholds = default_grid() if grid is None else np.asarray(grid, dtype=np.float64)
    check(confidences, correct, max_error, confidence, thresholds)
    accepted, wrong = counts(confidences, correct, thresholds)
    tested = accepted >= first_size(len(correct), max_error, confidence)
    # P(Binomial(accepted, max_error) <= wrong): small when so few errors would be luck.
    p_values = special.bdtr(wrong, accepted, max_error)
    passed = p_values <= 1 - confidence
    failed = np.flatnonzero(tested & ~passed)
    end = failed[0] if len(failed) else len(thresholds)
    kept = np.flatnonzero(tested[:end])
    return thresholds[kept], accepted[kept], wrong[kept]


def upper_bound(errors: int, size: int, confidence: float) -> float:
    """One-sided Clopper-Pearson upper bound of an error rate, from `errors` among `size`."""
    from scipy import special

    if errors >= size:
        return 1.0
    return float(special.betaincinv(errors + 1, size - errors, confidence))


def counts(confidences: "Floats", correct: "Bools", thresholds: "Floats") -> "tuple[Ints, Ints]":
    """How many rows each threshold accepts, and how many of those are wrong."""
    import numpy as np

    order = np.argsort(-confidences, kind="stable")
    accepted = np.searchsorted(-confidences[order], -thresholds, side="right").astype(np.int64)
    wrong = np.concatenate([[0], np.cumsum(~correct[order])]).astype(np.int64)
    return accepted, wrong[accepted]


def check(
    confidences: "Floats", correct: "Bools", max_error: float, confidence: float, thresholds: "Floats"
) -> None:
    import numpy as np

    if confidences.shape != correct.shape or confidences.ndim != 1 or not len(confidences):
        raise ValueError(f"expected two equal lists, got shapes {confidences.shape} and {correct.shape}")
    if correct.dtype != np.bool_:
        raise ValueError(f"expected `correct` as booleans, got {correct.dtype}")
    if not np.isfinite(confidences).all() or confidences.min() < 0 or confidences.max() > 1 + 1e-6:
        raise ValueError("expected confidences from 0 to 1")
    if not (0 < max_error < 1 and 0 < confidence < 1):
        raise ValueError(f"expected max_error and confidence between 0 and 1, got {max_error}, {confidence}")
    if not len(thresholds) or (np.diff(thresholds) > 0).any():
        raise ValueError("expected a grid of thresholds that falls, strictest first")
