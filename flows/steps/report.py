"""What the calibrated threshold does to rows that neither training nor calibration saw."""

import csv
from pathlib import Path
from typing import Any

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.steps.files import fresh, need, read_json, write_json
from flows.steps.plots import coverage_plot
from flows.steps.scores import accepted, accepted_share, coverage_curve, row_thresholds
from registry.records import Acceptance


def acceptance_of(build: Path) -> Acceptance:
    """The rule that step `calibrate` found."""
    found = read_json(build / "calibration" / "calibration.json", "calibrate")
    try:
        return Acceptance.model_validate({name: found[name] for name in Acceptance.model_fields})
    except (KeyError, ValueError) as error:
        raise StepError("calibration.json of step 'calibrate' has no valid acceptance rule") from error


def report(build: Path, usecase: UseCase) -> dict[str, Any]:
    """Write report/metrics.json, coverage.csv and coverage.png; returns the metrics, all of them numbers.

    `local_coverage` is the share of test rows that would be answered locally, `local_error` the wrong
    share of those, `outside_accept_share` the share of rows that no label fits and that would be
    answered all the same.
    """
    import numpy as np

    rule = acceptance_of(build)
    evaluation = read_json(build / "evaluation" / "evaluation.json", "evaluate")
    fitted = read_json(build / "fit" / "fit.json", "fit")
    with np.load(need(build / "evaluation" / "predictions.npz", "evaluate"), allow_pickle=False) as arrays:
        probabilities, truth = arrays["test_probabilities"], arrays["test_truth"]
        test, outside = arrays["test_confidences"], arrays["outside_confidences"]
        strange = arrays["outside_probabilities"]
    labels = fitted["labels"]
    right = probabilities.argmax(axis=1) == truth
    local = accepted(test, right, row_thresholds(probabilities, labels, rule))
    metrics = {
        "accuracy": evaluation["accuracy"],
        "macro_f1": evaluation["macro_f1"],
        "local_coverage": local.coverage,
        "local_error": local.error,
        "outside_accept_share": accepted_share(outside, row_thresholds(strange, labels, rule)),
        "threshold": rule.threshold,
        "parity_max_abs_difference": fitted["parity"]["max_abs_difference"],
        "train_rows": fitted["rows"],
        "test_rows": evaluation["test_rows"],
        "outside_rows": evaluation["outside_rows"],
    }
    folder = fresh(build / "report")
    curve = coverage_curve(test, right)
    with (folder / "coverage.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("threshold", "coverage", "error"))
        writer.writerows(tuple(f"{value:.6g}" for value in point) for point in curve)
    coverage_plot(curve, local, rule.threshold, rule.max_error, folder / "coverage.png")
    write_json(folder / "metrics.json", metrics)
    return metrics
