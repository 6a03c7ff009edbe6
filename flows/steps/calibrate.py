"""calibrate: above which confidence may the local model answer, so that the use case's promise holds?

Learn-then-test (Angelopoulos, Bates, Candès, Jordan, Lei 2021, arXiv 2110.01052): each threshold of
a grid that was fixed beforehand is a null hypothesis, "more than `max_error` of the answers above it
are wrong". Fixed-sequence testing (their section 2.3.2) goes from the most careful threshold
downwards and stops at the first hypothesis that is not rejected at level 1 - `confidence`; no
further correction is needed.
The p-value is exact: the chance of so few mistakes among the n answers above the threshold, were each
wrong with probability `max_error` (the binomial tail behind Clopper and Pearson 1934).

Assumed: requests to come are exchangeable with the rows that were held out, and out-of-fold
probabilities stand for those of the final model, which has seen more rows.
"""

import csv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from feature_checks.usecase import RiskSpec, UseCase
from flows.errors import StepError
from flows.steps.files import fresh, need, write_json

if TYPE_CHECKING:
    import numpy as np

METHOD = (
    "learn-then-test, fixed sequence, exact binomial p-values, on out-of-fold predictions (arXiv 2110.01052)"
)
NEVER = 1.01
"""A threshold that no confidence reaches: nothing is answered locally."""
GRID = 1000
"""Thresholds (GRID - 1) / GRID, ..., 1 / GRID are tested, in that order."""
START_MISTAKES = 3
"""So that one unlucky mistake among the most confident answers does not end the sequence at once."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The rule, and what it does on the held-out rows."""

    threshold: float
    max_error: float
    confidence: float
    method: str
    coverage: float  # share of held-out rows at or above the threshold
    empirical_error: float  # wrong share of those
    error_upper_bound: float  # Clopper-Pearson, one-sided, at `confidence`, for those rows alone
    n: int  # held-out rows


def choose_threshold(confidences: "np.ndarray", correct: "np.ndarray", risk: RiskSpec) -> Calibration:
    """The lowest threshold for which the promise of `risk` can be kept.

    `confidences` (n,) in 0..1 and `correct` (n,) bool are of rows that the scoring models did not see.
    Where no threshold can be trusted, `threshold` is `NEVER` and `coverage` 0.
    """
    import numpy as np
    from scipy.stats import beta, binom

    order = np.argsort(-confidences, kind="stable")
    ranked = confidences[order]
    mistakes = np.concatenate([[0], np.cumsum(~correct[order])])
    grid = np.arange(GRID - 1, 0, -1) / GRID
    answered = np.searchsorted(-ranked, -grid, side="right")
    wrong = mistakes[answered]
    p_values = binom.cdf(wrong, answered, risk.max_error)
    rejected = p_values <= 1 - risk.confidence
    # Few rows above a threshold cannot reject it. The sequence starts where START_MISTAKES could be
    # borne; that depends on confidences alone, never on which answers were right.
    least = _rows_to_bear(START_MISTAKES, risk)
    start = int(np.argmax(answered >= least)) if (answered >= least).any() else len(grid)
    stop = start + int(np.argmin(np.append(rejected[start:], False)))
    if stop == start:
        return Calibration(NEVER, risk.max_error, risk.confidence, METHOD, 0.0, 0.0, 1.0, len(ranked))
    best = stop - 1
    n, k = int(answered[best]), int(wrong[best])
    return Calibration(
        threshold=float(grid[best]),
        max_error=risk.max_error,
        confidence=risk.confidence,
        method=METHOD,
        coverage=n / len(ranked),
        empirical_error=k / n,
        error_upper_bound=float(beta.ppf(risk.confidence, k + 1, n - k)) if k < n else 1.0,
        n=len(ranked),
    )


def _rows_to_bear(mistakes: int, risk: RiskSpec) -> int:
    """The fewest answers of which `mistakes` may be wrong while the null hypothesis is still rejected."""
    from scipy.stats import beta

    n = mistakes + 1
    while beta.ppf(risk.confidence, mistakes + 1, n - mistakes) > risk.max_error:
        n += 1
    return n


def calibrate(build: Path, usecase: UseCase) -> Calibration:
    """From fit/oof.npz to calibration/calibration.json and coverage.csv (threshold, coverage, error)."""
    import numpy as np

    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no local model to calibrate")
    with np.load(need(build / "fit" / "oof.npz", "fit"), allow_pickle=False) as arrays:
        probabilities, truth = arrays["probabilities"], arrays["truth"]
    confidences = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    found = choose_threshold(confidences, correct, usecase.local.risk)
    folder = fresh(build / "calibration")
    write_json(folder / "calibration.json", asdict(found))
    with (folder / "coverage.csv").open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(("threshold", "coverage", "error"))
        for threshold in np.arange(GRID - 10, 0, -10) / GRID:
            taken = confidences >= threshold
            if taken.any():
                error = 1 - correct[taken].mean()
                table.writerow((f"{threshold:.2f}", f"{taken.mean():.6f}", f"{error:.6f}"))
    return found
