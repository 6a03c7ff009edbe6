"""defer: what the learned deferral does, side by side with plain confidence. Changes no model.

Both thresholds are calibrated on answers that neither had seen, by the bound of step `calibrate`; test rows,
and those that no label fits, are looked at once, at the end, as they are served.
"""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.steps.files import fresh, need, read_json, write_json
from flows.steps.plots import deferral_plot
from flows.steps.scores import accepted, accepted_share, coverage_curve
from flows.steps.thresholds import choose_threshold

if TYPE_CHECKING:
    from flows.steps.scores import Bools, Floats


def defer(build: Path, usecase: UseCase) -> dict[str, Any]:
    """Read what `fit` and `evaluate` left; write deferral/deferral.json, curves.csv and curves.svg; returns
    the first. Raises `StepError` where no deferral was learned."""
    import numpy as np

    fitted = read_json(build / "fit" / "fit.json", "fit")
    if usecase.local is None or fitted.get("deferral") != "learned":
        raise StepError(
            f"use case '{usecase.name}': there is no learned deferral to compare with; say "
            "`deferral: learned` under `local:` in usecase.yaml, and run step 'fit' and those after it again"
        )
    with np.load(need(build / "fit" / "oof.npz", "fit"), allow_pickle=False) as arrays:
        held = {"plain": arrays["probabilities"].max(axis=1), "learned": arrays["confidences"]}
        correct = arrays["probabilities"].argmax(axis=1) == arrays["truth"]
    with np.load(need(build / "evaluation" / "predictions.npz", "evaluate"), allow_pickle=False) as arrays:
        test = {"plain": arrays["test_probabilities"].max(axis=1), "learned": arrays["test_confidences"]}
        right = arrays["test_probabilities"].argmax(axis=1) == arrays["test_truth"]
        strange = {
            "plain": arrays["outside_probabilities"].max(axis=1, initial=0.0),
            "learned": arrays["outside_confidences"],
        }
    found: dict[str, Any] = {"seed": fitted["seed"]}
    for name in held:
        found[name] = _one(held[name], correct, test[name], right, strange[name], usecase)
    folder = fresh(build / "deferral")
    curves = {name: coverage_curve(scores, right) for name, scores in test.items()}
    with (folder / "curves.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("rule", "threshold", "coverage", "error"))
        writer.writerows(
            (name, *(f"{value:.6g}" for value in point)) for name, curve in curves.items() for point in curve
        )
    deferral_plot(curves, usecase.local.risk.max_error, folder / "curves.svg")
    write_json(folder / "deferral.json", found)
    return found


def _one(
    scores: "Floats", correct: "Bools", on_test: "Floats", right: "Bools", strange: "Floats", usecase: UseCase
) -> dict[str, Any]:
    """One rule: calibrated on `scores`, looked at on test rows."""
    assert usecase.local is not None
    risk = usecase.local.risk
    rule = choose_threshold(scores, correct, risk.max_error, risk.confidence)
    local = accepted(on_test, right, rule.threshold)
    return {
        "threshold": rule.threshold,
        "out_of_fold": {
            "auroc_right": _auroc(scores[correct], scores[~correct]),
            "coverage": rule.coverage,
            "error": rule.empirical_error,
            "error_upper_bound": rule.error_upper_bound,
        },
        "test": {
            "auroc_right": _auroc(on_test[right], on_test[~right]),
            "coverage": local.coverage,
            "error": local.error,
        },
        "outside": {
            "rows": len(strange),
            "auroc": _auroc(on_test, strange),
            "accepted": accepted_share(strange, rule.threshold),
        },
    }


def _auroc(high: "Floats", low: "Floats") -> float | None:
    """How often one of `high` is above one of `low`; None where either is empty."""
    from sklearn.metrics import roc_auc_score

    if not len(high) or not len(low):
        return None
    return float(roc_auc_score([1] * len(high) + [0] * len(low), [*high, *low]))
