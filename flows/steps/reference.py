"""What monitoring will compare with, made from the rows and the predictions of this build."""

from pathlib import Path

from feature_checks.drift import Feature, Share
from feature_checks.drift_reference import ARRAYS, VALUES, Reference, inputs_version, write_reference
from feature_checks.usecase import UseCase
from flows.embedding import open_embedder
from flows.monitored import event_features, input_features, prediction_features
from flows.steps.files import need, read_json
from flows.steps.report import acceptance_of
from flows.steps.rows import read_rows
from flows.steps.scores import row_thresholds

MOST_ROWS = 50_000
"""So many training rows stand for all of them: what is kept of numbers are their quantiles."""


def keep_reference(build: Path, usecase: UseCase, folder: Path) -> None:
    """Write reference.json and reference.npz into `folder`.

    Inputs are those of the training rows. Predictions are those on test rows, by the exported model: those
    on rows that it learned from would be too sure.
    """
    import numpy as np

    rows = read_rows(build, "train")
    if len(rows) > MOST_ROWS:
        rows = rows.sample(MOST_ROWS, random_state=0)
    labels = read_json(build / "fit" / "fit.json", "fit")["labels"]
    rule = acceptance_of(build)
    with np.load(need(build / "evaluation" / "predictions.npz", "evaluate"), allow_pickle=False) as arrays:
        probabilities, truth = arrays["test_probabilities"], arrays["test_truth"]
        confidences = arrays["test_confidences"]
    embed = open_embedder()
    columns = {
        name: rows[name].astype(object).where(rows[name].notna(), None).tolist() for name in usecase.input
    }
    features: dict[str, Feature] = dict(input_features(columns, usecase, embed))
    if usecase.features is not None:
        features |= event_features({name: rows[name].tolist() for name in usecase.features.columns}, usecase)
    if len(probabilities):
        threshold = row_thresholds(probabilities, labels, rule)
        features |= prediction_features(probabilities, confidences, labels, threshold)
        taken = confidences >= threshold
        wrong = (probabilities.argmax(axis=1) != truth) & taken
        if taken.any():
            features["concept.wrong"] = Share(int(wrong.sum()), int(taken.sum()))
    reference = Reference(usecase.name, usecase.version, inputs_version(usecase), embed.name, features)
    values, packed = write_reference(reference)
    (folder / VALUES).write_bytes(values)
    (folder / ARRAYS).write_bytes(packed)
