"""Learns how much a sender's own score counts beside the model's: three weights, from held-out rows alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from feature_checks.usecase import UseCase
from flows.errors import StepError
from registry.runtimes.federated import CLIP, FEDERATED, TINY, Weights, log_odds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

LEAST = 30
"""Rows of either label that must come with a score, or nothing is learned of it."""
_L2 = 1e-3  # towards the model alone


@dataclass(frozen=True, slots=True)
class Learned:
    """`weights` of the package; `oof` (n, 2) as `Fitted.oof`, NaN where a row has no score. Every row's were
    combined by weights of the other folds."""

    weights: Weights
    oof: "Floats"


def learn(
    usecase: UseCase, oof: "Floats", truth: "Ints", folds: "Ints", scores: "Floats", labels: tuple[str, ...]
) -> Learned | None:
    """From held-out rows: `scores` (n,) are NaN where none came. None where too few came."""
    import numpy as np

    spec = usecase.local.federated if usecase.local else None
    if spec is None:
        return None
    positive = usecase.features.positive if usecase.features else None
    if len(labels) != 2 or positive not in (None, labels[1]):
        raise StepError("local.federated: expected a model of two labels whose second one the score is about")
    there = np.isfinite(scores) & np.isfinite(oof).all(axis=1)
    if min((truth[there] == 1).sum(), (truth[there] == 0).sum()) < LEAST:
        return None
    own, theirs = log_odds(oof[:, 1], TINY), log_odds(scores, CLIP)
    combined = np.full((len(truth), 2), np.nan)
    for fold in np.unique(folds[there]):
        out, rest = there & (folds == fold), there & (folds != fold)
        if not 0 < truth[rest].sum() < rest.sum():
            continue
        weights = _fit(spec.score, own[rest], theirs[rest], truth[rest])
        p = weights.combine(oof[out, 1], scores[out])
        combined[out] = np.stack([1.0 - p, p], axis=1)
    return Learned(_fit(spec.score, own[there], theirs[there], truth[there]), combined)


def write_weights(folder: Path, weights: Weights) -> str:
    """federated.json in `folder`; returns its name."""
    (folder / FEDERATED).write_text(weights.model_dump_json() + "\n", encoding="utf-8")
    return FEDERATED


def _fit(score: str, own: "Floats", theirs: "Floats", truth: "Ints") -> Weights:
    """The weights that make the labels most likely; none is below zero: a score that speaks against itself
    is not believed, and counts for nothing."""
    import numpy as np
    from scipy import optimize

    def loss(found: "Floats") -> tuple[float, "Floats"]:
        a, b, c = found
        odds = a * own + b * theirs + c
        wrong = 1.0 / (1.0 + np.exp(-odds)) - truth
        value = (np.logaddexp(0.0, odds) - truth * odds).mean() + _L2 * ((a - 1) ** 2 + b**2)
        slope = np.array([(wrong * own).mean(), (wrong * theirs).mean(), wrong.mean()])
        return float(value), slope + 2 * _L2 * np.array([a - 1, b, 0.0])

    best = optimize.minimize(
        loss, np.array([1.0, 0.0, 0.0]), jac=True, method="L-BFGS-B",
        bounds=[(1e-3, 10.0), (0.0, 10.0), (-20.0, 20.0)],
    )  # fmt: skip
    a, b, c = (float(value) for value in best.x)
    return Weights(score=score, own=a, theirs=b, offset=c, usual=float(theirs.mean()))
