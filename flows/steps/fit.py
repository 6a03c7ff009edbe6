"""fit: trains the use case's kind of model, and exports it at once in the form that is served."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.kinds import KINDS
from flows.steps.deferring import apart, learned_deferral
from flows.steps.federated import Learned, learn, write_weights
from flows.steps.files import fresh, write_json
from flows.steps.local_build import open_exported
from flows.steps.rows import inputs, positions, read_rows
from registry.runtimes import judged

PARITY_LIMIT = 1e-4
PARITY_ROWS = 500


def fit(build: Path, usecase: UseCase, params: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train on prepared/train.parquet; write model/ (exported files), fit/oof.npz and fit/fit.json.

    `params` are those of the model kind. `oof.npz` holds `probabilities` (n, k) float64, each row
    from models that did not see it, `truth` (n,) int64, an index into fit.json's `labels`, `folds`
    (n,) int64: rows of the same number were held out together, and `confidences` (n,): what a threshold is
    on, with a learned deferral the trust in each answer by trees that had not seen it.
    Returns what fit.json holds. Raises `StepError` when a label of the rows was not learned, or when
    exported and original model differ by more than 1e-4 anywhere.
    """
    import numpy as np

    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no `local:` section, so there is no model to train")
    rows = read_rows(build, "train")
    kind = kind_module(usecase.local.kind)
    fitted = kind.fit(rows, usecase, params, seed)
    labels = list(fitted.labels)
    truth = positions(rows[usecase.label].tolist(), labels)

    model, notes = fresh(build / "model"), fresh(build / "fit")
    files = fitted.export(model)
    deferral = learned_deferral(fitted, rows, usecase, seed)
    files = sorted([*files, *(deferral.write(model) if deferral else [])])
    some = rows.iloc[:: max(1, len(rows) // PARITY_ROWS)]
    exported = open_exported(model, usecase, labels, files)
    probabilities, confidences = judged(exported, inputs(some, usecase))
    difference = float(np.abs(np.asarray(fitted.probabilities(some)) - probabilities).max())
    if deferral:
        difference = max(difference, apart(deferral, fitted, some, usecase, exported, confidences))
    if not difference <= PARITY_LIMIT:  # NaN must fail too
        raise StepError(
            f"exported and original model differ by {difference:.2g}, expected at most {PARITY_LIMIT:g}; "
            f"the export of kind '{usecase.local.kind}' is wrong"
        )
    oof = np.asarray(fitted.oof, dtype=np.float64)
    held = np.isfinite(oof).all(axis=1)  # in order of time, the first rows are learned from only
    folds = np.asarray(fitted.folds, dtype=np.int64)[held]
    learned = _combined(usecase, rows, oof, truth, np.asarray(fitted.folds, dtype=np.int64), fitted.labels)
    arrays: dict[str, Any] = {} if learned is None else {"combined": learned.oof[held]}
    arrays["confidences"] = oof[held].max(axis=1) if deferral is None else deferral.trust
    np.savez(
        notes / "oof.npz",
        probabilities=oof[held], truth=truth[held], folds=folds, rows=np.flatnonzero(held), **arrays,
    )  # fmt: skip
    if learned is not None:
        files = sorted([*files, write_weights(model, learned.weights)])
    found = {
        "kind": usecase.local.kind,
        "labels": labels,
        "files": files,
        "params": kind.settings(params),
        "seed": seed,
        "deferral": "confidence" if deferral is None else "learned",
        "rows": len(rows),
        "federated": learned.weights.model_dump() if learned else None,
        "parity": {"rows": len(some), "max_abs_difference": difference, "limit": PARITY_LIMIT},
    }
    write_json(notes / "fit.json", found)
    return found


def _combined(
    usecase: UseCase, rows: Any, oof: Any, truth: Any, folds: Any, labels: tuple[str, ...]
) -> Learned | None:
    """What is learned of a sender's own score, where the use case takes one."""
    if usecase.local is None or usecase.local.federated is None:
        return None
    scores = rows[usecase.local.federated.score].astype("float64").to_numpy()
    return learn(usecase, oof, truth, folds, scores, labels)


def kind_module(name: str) -> Any:
    """The module of a model kind; imported only now, since it brings its training libraries."""
    if name not in KINDS:
        raise StepError(f"kind '{name}' is not known; expected one of {', '.join(sorted(KINDS))}")
    return import_module(KINDS[name])
