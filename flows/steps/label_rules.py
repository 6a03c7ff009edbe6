"""A threshold for each label: among those that keep its promise, the one that is expected to cost least.

`thresholds.py` finds every threshold that keeps the promise of a label, on the held-out rows for which the
model says that label. All of them hold at once (learn-then-test controls the error over the whole sequence),
so that one may be picked by its cost, on the same rows: wrong answers at their price, and rows that are not
answered at the price of asking elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feature_checks.risk_spec import RiskSpec
from flows.errors import StepError
from flows.steps.thresholds import NEVER, Calibration, passing, upper_bound

if TYPE_CHECKING:
    from flows.steps.thresholds import Floats, Ints


@dataclass(frozen=True, slots=True)
class LabelRules:
    """`rules`: label -> threshold and max_error, or None where the use case has none; `found`: what is known
    of each, for calibration.json."""

    rules: Mapping[str, Mapping[str, float]] | None
    found: Mapping[str, Mapping[str, Any]]


def label_rules(
    confidences: "Floats", said: "Ints", truth: "Ints", labels: Sequence[str], risk: RiskSpec
) -> LabelRules:
    """The rule of every label in `risk.by_label`, from answers `said` (n,) with their `confidences` (n,).

    Raises `StepError` for a label that was not learned."""
    import numpy as np

    if not risk.by_label:
        return LabelRules(None, {})
    if unknown := set(risk.by_label) - set(labels):
        raise StepError(f"local.risk.by_label: not learned: {', '.join(sorted(unknown))}")
    rules: dict[str, dict[str, float]] = {}
    found: dict[str, dict[str, Any]] = {}
    for label, own in risk.by_label.items():
        mine = said == labels.index(label)
        correct = truth[mine] == said[mine]
        best, cost = _cheapest(
            np.asarray(confidences[mine]), np.asarray(correct), own.max_error, risk.confidence,
            own.cost_of_error, risk.cost_of_asking,
        )  # fmt: skip
        rules[label] = {"threshold": best.threshold, "max_error": best.max_error}
        found[label] = {
            "threshold": best.threshold,
            "rows": best.n,
            "coverage": best.coverage,
            "empirical_error": best.empirical_error,
            "error_upper_bound": best.error_upper_bound,
            "expected_cost": cost,
        }
    return LabelRules(rules, found)


def _cheapest(
    confidences: Any, correct: Any, max_error: float, confidence: float, of_error: float, of_asking: float
) -> tuple[Calibration, float]:
    """The cheapest threshold that passes, and its cost a row; `NEVER` where none passes or all cost more."""
    n = len(correct)
    never = Calibration(NEVER, max_error, confidence, 0.0, 0.0, 1.0, n, "")
    if not n:
        return never, 0.0
    thresholds, accepted, wrong = passing(confidences, correct, max_error, confidence)
    costs = (wrong * of_error + (n - accepted) * of_asking) / n
    if not len(costs) or costs.min() > of_asking:
        return never, of_asking
    at = int(costs.argmin())
    size, errors = int(accepted[at]), int(wrong[at])
    bound = upper_bound(errors, size, confidence)
    return Calibration(
        float(thresholds[at]), max_error, confidence, size / n, errors / size, bound, n, ""
    ), float(costs[at])
