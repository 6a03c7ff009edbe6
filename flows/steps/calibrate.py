"""calibrate: from which confidence on may the local model answer, so that a promise about errors holds?

The rule and its grounds are in `thresholds.py`; `label_rules.py` has rules for single labels.
"""

import csv
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_checks.risk_spec import RiskSpec
from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.steps.federated import LEAST
from flows.steps.files import fresh, need, read_json, write_json
from flows.steps.label_rules import label_rules
from flows.steps.thresholds import NEVER, choose_threshold, counts, default_grid, upper_bound

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]


def calibrate(build: Path, usecase: UseCase) -> dict[str, Any]:
    """Read fit/oof.npz; write calibration/calibration.json and coverage.csv (a row a threshold).

    Returns what calibration.json holds. Raises `StepError` when the probabilities are unusable.
    """
    import numpy as np

    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no local model to calibrate")
    risk = usecase.local.risk
    with np.load(need(build / "fit" / "oof.npz", "fit"), allow_pickle=False) as arrays:
        probabilities, truth = arrays["probabilities"].astype(np.float64), arrays["truth"]
        combined = arrays.get("combined")
        confidences = arrays["confidences"] if "confidences" in arrays else probabilities.max(axis=1)
    if probabilities.ndim != 2 or truth.shape != probabilities.shape[:1]:
        raise StepError(
            f"oof.npz: expected probabilities (n, k) and truth (n,), got {probabilities.shape} and "
            f"{truth.shape}; run step 'fit' again"
        )
    with_score: tuple[Any, Any] | None = None
    if combined is not None:
        probabilities, truth, with_score = _apart(probabilities, truth, combined)
        confidences = probabilities.max(axis=1)
    said = probabilities.argmax(axis=1)
    correct = said == truth
    try:
        found = choose_threshold(confidences, correct, risk.max_error, risk.confidence)
        relaxed = _relaxed(confidences, correct, risk)
    except ValueError as error:
        raise StepError(f"oof.npz cannot be calibrated on: {error}; run step 'fit' again") from error
    folder = fresh(build / "calibration")
    _write_curve(folder / "coverage.csv", confidences, correct, risk.confidence)
    labels = read_json(build / "fit" / "fit.json", "fit")["labels"] if risk.by_label else ()
    by_label = label_rules(confidences, said, truth, labels, risk)
    written = asdict(found) | {"relaxed": relaxed, "by_label": by_label.rules, "labels": by_label.found}
    written["deferral"] = "learned" if (confidences != probabilities.max(axis=1)).any() else "confidence"
    written["combined"], written["combined_labels"] = None, None
    if with_score is not None:
        sure, told = with_score[0].max(axis=1), with_score[0].argmax(axis=1)
        rules = label_rules(sure, told, with_score[1], labels, risk)
        written["combined"] = {**_combined_rule(*with_score, risk), "by_label": rules.rules}
        written["combined_labels"] = rules.found
    thresholds = [rule["threshold"] for rule in (by_label.rules or {}).values()] or [found.threshold]
    written["answers_anything"] = min(thresholds) < NEVER
    write_json(folder / "calibration.json", written)
    return written


def _apart(own: "Floats", truth: Any, combined: "Floats") -> tuple["Floats", Any, tuple[Any, Any]]:
    """Rows without a sender's score, and those with one: each request is like the rows of its own kind.

    Where too few come without, the model alone is judged by all rows.
    """
    import numpy as np

    there = np.isfinite(combined).all(axis=1)
    few = len(truth[~there]) == 0 or np.bincount(truth[~there], minlength=own.shape[1]).min() < LEAST
    alone = np.ones(len(truth), bool) if few else ~there
    return own[alone], truth[alone], (combined[there], truth[there])


def _combined_rule(combined: "Floats", truth: Any, risk: RiskSpec) -> dict[str, float]:
    correct = combined.argmax(axis=1) == truth
    found = choose_threshold(combined.max(axis=1), correct, risk.max_error, risk.confidence)
    return {"threshold": found.threshold, "max_error": found.max_error}


def _relaxed(confidences: "Floats", correct: "Bools", risk: RiskSpec) -> dict[str, float] | None:
    """The rule for while the budget is short: a promise of its own, at the same confidence."""
    if risk.max_error_when_short is None:
        return None
    found = choose_threshold(confidences, correct, risk.max_error_when_short, risk.confidence)
    return {"threshold": found.threshold, "max_error": found.max_error}


def _write_curve(file: Path, confidences: "Floats", correct: "Bools", confidence: float) -> None:
    """threshold, coverage, error and its upper bound, where at least one row is accepted."""
    thresholds = default_grid()
    accepted, wrong = counts(confidences, correct, thresholds)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("threshold", "coverage", "error", "error_upper_bound"))
        before = 0
        for threshold, size, errors in zip(thresholds, accepted.tolist(), wrong.tolist(), strict=True):
            if size == before:
                continue
            before = size
            bound = upper_bound(errors, size, confidence)
            point = (threshold, size / len(correct), errors / size, bound)
            writer.writerow([f"{value:.6g}" for value in point])
