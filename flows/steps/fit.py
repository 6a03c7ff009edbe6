"""fit: trains the use case's kind of model, and exports it at once in the form that is served."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.steps.files import fresh, need, write_json


def fit(build: Path, usecase: UseCase, params: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train on prepared/train.parquet; write model/ (exported files), fit/oof.npz and fit/fit.json.

    `params` are those of the model kind. `oof.npz` holds `probabilities` (n, k) float64, each row
    from models that did not see it, and `truth` (n,) int64, an index into fit.json's `labels`.
    Returns what fit.json holds. Raises `StepError` when a label of the rows was not learned.
    """
    import numpy as np
    import pandas as pd

    from flows.kinds import open_kind

    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no `local:` section, so there is no model to train")
    rows = pd.read_parquet(need(build / "prepared" / "train.parquet", "prepare"))
    fitted = open_kind(usecase.local.kind).fit(rows, usecase, params, seed)
    labels = list(fitted.labels)
    truth = _indices(rows[usecase.label].tolist(), labels)

    model, notes = fresh(build / "model"), fresh(build / "fit")
    files = sorted(fitted.export(model))
    np.savez(notes / "oof.npz", probabilities=np.asarray(fitted.oof, dtype=np.float64), truth=truth)
    found = {"labels": labels, "files": files, "params": dict(params), "seed": seed, "rows": len(rows),
             "kind": usecase.local.kind}
    write_json(notes / "fit.json", found)
    return found


def _indices(values: list[str], labels: list[str]) -> Any:
    import numpy as np

    position = {label: index for index, label in enumerate(labels)}
    if unknown := {value for value in values if value not in position}:
        raise StepError(f"the model did not learn {len(unknown)} of the labels in its training rows")
    return np.array([position[value] for value in values], dtype=np.int64)
