"""evaluate: the exported model, run by the code that will serve it, on rows that it never saw."""

import csv
from pathlib import Path
from typing import Any

from feature_checks.usecase import UseCase
from flows.steps.files import fresh, write_json
from flows.steps.local_build import open_local_build
from flows.steps.plots import confusion_plot
from flows.steps.rows import inputs, positions, read_rows
from flows.steps.scores import accuracy, macro_f1, per_label
from registry.runtimes import judged


def evaluate(build: Path, usecase: UseCase) -> dict[str, Any]:
    """Score model/ on prepared/test.parquet and run it on outside.parquet; write evaluation/.

    predictions.npz holds `test_probabilities` (n, k), `test_truth` (n,) and `outside_probabilities`
    (m, k), with `test_confidences` and `outside_confidences` as they are served; confusion.csv one
    `actual,predicted` line a test row. Returns evaluation.json's content.
    """
    import numpy as np

    predictor = open_local_build(build, usecase)
    labels = list(predictor.labels)
    test, outside = read_rows(build, "test"), read_rows(build, "outside")
    truth = positions(test[usecase.label].tolist(), labels)
    on_test, sure = judged(predictor, inputs(test, usecase))
    on_outside, outside_sure = np.zeros((0, len(labels))), np.zeros(0)
    if len(outside):
        on_outside, outside_sure = judged(predictor, inputs(outside, usecase))

    folder = fresh(build / "evaluation")
    np.savez(
        folder / "predictions.npz",
        test_probabilities=on_test,
        test_truth=truth,
        outside_probabilities=on_outside,
        test_confidences=sure,
        outside_confidences=outside_sure,
    )
    guess = on_test.argmax(axis=1)
    with (folder / "confusion.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("actual", "predicted"))
        writer.writerows((labels[a], labels[p]) for a, p in zip(truth, guess, strict=True))
    confusion_plot(truth, guess, labels, folder / "confusion.png")
    by_label = per_label(on_test, truth, labels)
    found = {
        "accuracy": accuracy(on_test, truth),
        "macro_f1": macro_f1(by_label),
        "test_rows": len(test),
        "outside_rows": len(outside),
        "labels": by_label,
        "confused": _most_confused(truth, guess, labels),
    }
    write_json(folder / "evaluation.json", found)
    return found


def _most_confused(truth: Any, guess: Any, labels: list[str], most: int = 10) -> list[dict[str, Any]]:
    """The pairs that are mistaken for each other most often, for people."""
    counts: dict[tuple[int, int], int] = {}
    for actual, said in zip(truth.tolist(), guess.tolist(), strict=True):
        if actual != said:
            counts[actual, said] = counts.get((actual, said), 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [{"actual": labels[a], "predicted": labels[p], "rows": n} for (a, p), n in ranked]
