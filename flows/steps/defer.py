"""defer: what a learned deferral would do, side by side with the plain confidence. Changes no model.

Trees are fitted on out-of-fold answers, the threshold is calibrated on answers that they had not seen, by
the same bound as step `calibrate`; test rows, and those that no label fits, are looked at once, at the end.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_checks.usecase import UseCase
from flows.embedding import text_inputs, unit_vectors
from flows.errors import StepError
from flows.steps.files import fresh, need, read_json, write_json
from flows.steps.rows import positions, read_rows
from flows.steps.thresholds import choose_threshold

if TYPE_CHECKING:
    import pandas as pd

    from flows.kinds.deferral import Floats, Ints, Table

_WORD = re.compile(r"\w+")


def defer(build: Path, usecase: UseCase, seed: int) -> dict[str, Any]:
    """Read what `fit` and `evaluate` left; write deferral/deferral.json and the trees; returns the former."""
    import numpy as np

    from flows.kinds.deferral import (
        cross_fitted,
        fit_deferral,
        joined,
        of_neighbours,
        of_probabilities,
    )

    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no local model")
    labels = read_json(build / "fit" / "fit.json", "fit")["labels"]
    with np.load(need(build / "fit" / "oof.npz", "fit"), allow_pickle=False) as arrays:
        held_out, truth = arrays["probabilities"].astype(np.float64), arrays["truth"]
        if "folds" not in arrays:
            raise StepError("oof.npz of step 'fit' does not say its folds; run step 'fit' again")
        folds = arrays["folds"]
        rows = arrays["rows"] if "rows" in arrays else np.arange(len(truth))
    with np.load(need(build / "evaluation" / "predictions.npz", "evaluate"), allow_pickle=False) as arrays:
        test, outside = arrays["test_probabilities"], arrays["outside_probabilities"]
    parts = {name: read_rows(build, name) for name in ("train", "test", "outside")}
    parts["train"] = parts["train"].iloc[rows]  # those that were held out
    vectors = {name: unit_vectors(rows, usecase) for name, rows in parts.items()}
    center = vectors["train"].mean(axis=0)
    vectors = {name: _unit(found - center) for name, found in vectors.items()}
    words = _known_words(parts["train"], usecase)

    def table(name: str, probabilities: "Floats", own: "tuple[Ints, Ints] | None" = None) -> "Table":
        said = probabilities.argmax(axis=1)
        tables = [of_probabilities(probabilities)]
        if vectors["train"].shape[1]:
            tables.append(of_neighbours(vectors[name], said, vectors["train"], truth, own))
        return joined([*tables, _of_fields(parts[name], usecase, words)])

    seen, correct = table("train", held_out, (folds, folds)), held_out.argmax(axis=1) == truth
    trust = cross_fitted(seen, correct, seed)
    fitted = fit_deferral(seen, correct, seed)
    tested = positions(parts["test"][usecase.label].tolist(), labels)
    right = test.argmax(axis=1) == tested
    strange = np.zeros(0) if not len(outside) else fitted.trust(table("outside", outside))
    found = {
        "seed": seed,
        "features": list(seen.names),
        "plain": _one(held_out.max(axis=1), correct, test.max(axis=1), right, outside.max(axis=1), usecase),
        "learned": _one(trust, correct, fitted.trust(table("test", test)), right, strange, usecase),
    }
    folder = fresh(build / "deferral")
    for bag, booster in enumerate(fitted.boosters):
        booster.save_model(folder / f"trees{bag}.txt")
    write_json(folder / "deferral.json", found)
    return found


def _one(
    scores: "Floats", correct: Any, on_test: "Floats", right: Any, strange: "Floats", usecase: UseCase
) -> dict[str, Any]:
    """One rule: calibrated on `scores`, looked at on test rows."""
    from sklearn.metrics import roc_auc_score

    assert usecase.local is not None
    risk = usecase.local.risk
    rule = choose_threshold(scores, correct, risk.max_error, risk.confidence)
    taken = on_test >= rule.threshold
    both = [*right.astype(int).tolist(), *([0] * len(strange))]
    return {
        "threshold": rule.threshold,
        "out_of_fold": {
            "auroc_right": float(roc_auc_score(correct, scores)),
            "coverage": rule.coverage,
            "error": rule.empirical_error,
            "error_upper_bound": rule.error_upper_bound,
        },
        "test": {
            "auroc_right": float(roc_auc_score(right, on_test)),
            "coverage": float(taken.mean()),
            "error": float((~right[taken]).mean()) if taken.any() else 0.0,
        },
        "outside": {
            "rows": len(strange),
            "auroc": _outside_auroc(on_test, strange),
            "accepted": float((strange >= rule.threshold).mean()) if len(strange) else None,
            "auroc_right_or_not": float(roc_auc_score(both, [*on_test, *strange])),
        },
    }


def _outside_auroc(on_test: "Floats", strange: "Floats") -> float | None:
    """How well low scores tell rows that no label fits from test rows."""
    from sklearn.metrics import roc_auc_score

    if not len(strange):
        return None
    return float(roc_auc_score([1] * len(on_test) + [0] * len(strange), [*on_test, *strange]))


def _of_fields(rows: "pd.DataFrame", usecase: UseCase, known: frozenset[str]) -> "Table":
    """Length and vocabulary coverage of the texts, and every number."""
    import numpy as np

    from flows.kinds.deferral import Table

    texts = _texts(rows, usecase)
    said = [_WORD.findall(text) for text in texts]
    coverage = [sum(word in known for word in words) / max(1, len(words)) for words in said]
    names, columns = (
        ["length", "words", "known_words"],
        [[len(t) for t in texts], [len(w) for w in said], coverage],
    )
    for name, spec in usecase.input.items():
        if spec.type in ("number", "integer"):
            names.append(name)
            columns.append(rows[name].astype(float).tolist())
    return Table(tuple(names), np.asarray(columns, float).T.reshape(len(rows), len(names)))


def _known_words(rows: "pd.DataFrame", usecase: UseCase) -> frozenset[str]:
    """Words of at least two training rows, so that a row's own words do not all count as known."""
    from collections import Counter

    counts = Counter(word for text in _texts(rows, usecase) for word in set(_WORD.findall(text)))
    return frozenset(word for word, n in counts.items() if n > 1)


def _texts(rows: "pd.DataFrame", usecase: UseCase) -> list[str]:
    columns = [rows[name].astype(str).tolist() for name in text_inputs(usecase)]
    return [" ".join(parts).lower() for parts in zip(*columns, strict=True)] if columns else [""] * len(rows)


def _unit(found: "Floats") -> "Floats":
    import numpy as np

    scaled: Floats = found / (np.linalg.norm(found, axis=1, keepdims=True) + 1e-12)
    return scaled
