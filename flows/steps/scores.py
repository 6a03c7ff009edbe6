"""How good predictions are: pure functions over probabilities (n, k) and true label positions (n,), and over
confidences (n,) with whether the answer was right (n,)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.records import Acceptance

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a threshold lets through: its share of all rows, and the wrong share of those let through."""

    coverage: float
    error: float


def accuracy(probabilities: "Floats", truth: "Ints") -> float:
    """Share of rows whose most probable label is the true one."""
    return float((probabilities.argmax(axis=1) == truth).mean())


def per_label(probabilities: "Floats", truth: "Ints", labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """precision, recall, f1 and rows of each label that occurs among the true ones."""
    guess = probabilities.argmax(axis=1)
    found: dict[str, dict[str, float]] = {}
    for index, label in enumerate(labels):
        actual, said = truth == index, guess == index
        if not actual.any():
            continue
        hits = float((actual & said).sum())
        precision = hits / float(said.sum()) if said.any() else 0.0
        recall = hits / float(actual.sum())
        f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
        found[label] = {"precision": precision, "recall": recall, "f1": f1, "rows": int(actual.sum())}
    return found


def macro_f1(by_label: dict[str, dict[str, float]]) -> float:
    """Unweighted mean of F1 over the labels that occur."""
    return sum(scores["f1"] for scores in by_label.values()) / len(by_label) if by_label else 0.0


def accepted(confidences: "Floats", right: "Bools", threshold: "float | Floats") -> Accepted:
    """Coverage and error of answering only where the confidence is `threshold` or more.

    `threshold` is one for all, or one for each row.
    """
    if not len(right):
        return Accepted(0.0, 0.0)
    taken, wrong = confidences >= threshold, ~right
    return Accepted(float(taken.mean()), float(wrong[taken].mean()) if taken.any() else 0.0)


def row_thresholds(probabilities: "Floats", labels: Sequence[str], rule: Acceptance) -> "Floats":
    """(n,) the threshold that holds for each row's most probable label."""
    import numpy as np

    of_label = np.array([rule.rule_for(label)[0] for label in labels])
    found: Floats = of_label[probabilities.argmax(axis=1)] if len(probabilities) else np.zeros(0)
    return found


def accepted_share(confidences: "Floats", threshold: "float | Floats") -> float:
    """Share of rows whose confidence is `threshold` or more; 0 when there are none."""
    return float((confidences >= threshold).mean()) if len(confidences) else 0.0


def coverage_curve(
    confidence: "Floats", right: "Bools", points: int = 200
) -> list[tuple[float, float, float]]:
    """(threshold, coverage, error) from the strictest threshold down, at most about `points` of them."""
    import numpy as np

    order = np.argsort(-confidence, kind="stable")
    wrong = (~right)[order].cumsum()
    size = len(right)
    # Rows of equal confidence come and go together, so only the last of them is a point.
    last = np.append(np.flatnonzero(np.diff(confidence[order])), size - 1) if size else np.array([], int)
    chosen = last[:: max(1, len(last) // points)]
    if size and chosen[-1] != last[-1]:
        chosen = np.append(chosen, last[-1])
    return [
        (float(confidence[order][i]), (int(i) + 1) / size, float(wrong[i]) / (int(i) + 1)) for i in chosen
    ]
