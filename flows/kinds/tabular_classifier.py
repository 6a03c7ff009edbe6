"""Kind `tabular_classifier`: gradient-boosted trees on numbers, for two labels, calibrated.

LightGBM (Ke et al. 2017). Rows of events are validated in the order of time: each part by a model of what
came before it. The held-out scores give a slope and an offset that make the true labels most likely (Platt
1999), so that a probability is what it says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy import optimize, special

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.kinds.tabular_export import write_model

if TYPE_CHECKING:
    import lightgbm

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_LEAST_OF_A_LABEL = 10
_FEW_ROWS = 50_000  # below, processes take longer to start than to work


class Recipe(BaseModel):
    """`params.yaml`: kinds.tabular_classifier."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    trees: int = Field(default=200, ge=1, le=5000)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    leaves: int = Field(default=16, ge=2, le=256)
    depth: int = Field(default=5, ge=1, le=8)  # also bounds the tables of exact reasons
    min_rows: int = Field(default=50, ge=1)  # of a leaf
    l2: float = Field(default=5.0, ge=0)
    rows_share: float = Field(default=0.8, gt=0, le=1)  # of rows, for each tree
    columns_share: float = Field(default=0.6, gt=0, le=1)
    folds: int = Field(default=4, ge=2, le=20)
    common_per_rare: int = Field(default=28, ge=1)  # rows of the common label for each of the rare one
    jobs: int = Field(default=2, ge=1)  # processes, one thread each


@dataclass(frozen=True, slots=True)
class FittedTable:
    """The trained trees with their calibration. `oof` is NaN for rows before the first validated part."""

    labels: tuple[str, ...]
    oof: Floats  # (n, 2)
    folds: Ints  # (n,): which part held the row out; -1 for none
    columns: tuple[str, ...]
    model: "lightgbm.Booster"
    slope: float
    offset: float

    def probabilities(self, rows: pd.DataFrame) -> Floats:
        """By the original trees: shape (n, 2)."""
        return _both(special.expit(self.slope * self._scores(rows) + self.offset))

    def export(self, folder: Path) -> list[str]:
        """model.onnx, trees.json and columns.json."""
        return write_model(folder, self.model.dump_model(), self.columns, self.slope, self.offset)

    def _scores(self, rows: pd.DataFrame) -> Floats:
        found: Floats = self.model.predict(numbers(rows, self.columns), raw_score=True, num_threads=1)
        return found


def fit(rows: pd.DataFrame, usecase: UseCase, params: Mapping[str, Any], seed: int) -> FittedTable:
    """Fit on `rows` (the model's inputs and the label column), with probabilities held out in time.

    Raises `StepError` for unknown parameters, and without two labels that have rows enough.
    """
    recipe = _recipe(params)
    columns = tuple(usecase.model_inputs)
    labels = _labels(rows, usecase)
    order = np.arange(len(rows))
    if usecase.features is not None:
        order = np.argsort(rows[usecase.features.time].to_numpy(), kind="stable")
    seen = numbers(rows, columns)[order]
    truth = (rows[usecase.label].to_numpy() == labels[1]).astype(np.int64)[order]
    scores = np.full(len(rows), np.nan)
    folds = np.full(len(rows), -1)
    parts = _parts(len(rows), truth, recipe, by_time=usecase.features is not None, seed=seed)
    every = np.arange(len(rows))
    *validated, model = _train_all([*(train for train, _ in parts), every], seen, truth, recipe, seed)
    for number, ((_, test), held_out) in enumerate(zip(parts, validated, strict=True)):
        scores[test] = held_out.predict(seen[test], raw_score=True, num_threads=1)
        folds[order[test]] = number
    held = np.isfinite(scores)
    slope, offset = _calibrate(scores[held], truth[held])
    oof = np.full((len(rows), 2), np.nan)
    oof[order[held]] = _both(special.expit(slope * scores[held] + offset))
    return FittedTable(labels, oof, folds, columns, model, slope, offset)


def numbers(rows: pd.DataFrame, columns: tuple[str, ...]) -> Floats:
    """(n, columns) as the runtime sees them: rounded to 32 bits, so that no split lies between."""
    return rows[list(columns)].astype("float64").to_numpy().astype(np.float32).astype(np.float64)


def _labels(rows: pd.DataFrame, usecase: UseCase) -> tuple[str, ...]:
    found = rows[usecase.label].value_counts()
    if len(found) != 2 or found.min() < _LEAST_OF_A_LABEL:
        raise StepError(
            f"use case '{usecase.name}': kind 'tabular_classifier' needs two labels with {_LEAST_OF_A_LABEL} "
            f"rows each, got {len(found)}, of which the rarest has {found.min() if len(found) else 0}"
        )
    names = sorted(str(name) for name in found.index)
    positive = usecase.features.positive if usecase.features else names[-1]
    return (next(name for name in names if name != positive), positive)


def _parts(n: int, truth: Ints, recipe: Recipe, by_time: bool, seed: int) -> list[tuple[Ints, Ints]]:
    """(train, test) places. By time: each part after the first third from all that came before it."""
    if by_time:
        edges = np.linspace(n // 3, n, recipe.folds + 1).astype(np.int64)
        parts = [(np.arange(start), np.arange(start, end)) for start, end in pairwise(edges)]
        return [(train, test) for train, test in parts if len(test) and 0 < truth[train].sum() < len(train)]
    from sklearn.model_selection import StratifiedKFold

    splits = StratifiedKFold(recipe.folds, shuffle=True, random_state=seed).split(truth, truth)
    return list(splits)


def _train_all(
    parts: list[Ints], seen: Floats, truth: Ints, recipe: Recipe, seed: int
) -> "list[lightgbm.Booster]":
    """A model of each part, `recipe.jobs` at a time, one thread each: threads of one model wait for each
    other at every split, and for long where something else runs too."""
    import lightgbm

    if recipe.jobs == 1 or len(truth) < _FEW_ROWS:
        return [_train(seen[part], truth[part], recipe, seed) for part in parts]
    from joblib import Parallel, delayed

    # The largest first, so that no process is left with it alone at the end.
    order = sorted(range(len(parts)), key=lambda place: -len(parts[place]))
    work = (delayed(_trained)(seen, truth, parts[place], recipe, seed) for place in order)
    texts = dict(zip(order, Parallel(n_jobs=recipe.jobs)(work), strict=True))
    return [lightgbm.Booster(model_str=texts[place]) for place in range(len(parts))]


def _trained(seen: Floats, truth: Ints, part: Ints, recipe: Recipe, seed: int) -> str:
    text: str = _train(seen[part], truth[part], recipe, seed).model_to_string()
    return text


def _drawn(truth: Ints, recipe: Recipe, seed: int) -> tuple[Ints, Floats] | None:
    """Of many rows: all of the rare label, and so many of the common one, which then weigh as all of them."""
    rare = int(truth.sum() * 2 <= len(truth))
    common, wanted = np.flatnonzero(truth != rare), recipe.common_per_rare * int((truth == rare).sum())
    if len(truth) < _FEW_ROWS or len(common) <= wanted:
        return None
    chosen = np.random.default_rng(seed).choice(common, wanted, replace=False)
    places = np.sort(np.concatenate([np.flatnonzero(truth == rare), chosen]))
    return places, np.where(truth[places] == rare, 1.0, len(common) / wanted)


def _train(seen: Floats, truth: Ints, recipe: Recipe, seed: int) -> "lightgbm.Booster":
    import lightgbm

    weights = None
    if (drawn := _drawn(truth, recipe, seed)) is not None:
        places, weights = drawn
        seen, truth = seen[places], truth[places]
    settings: dict[str, Any] = {
        "objective": "binary",
        "learning_rate": recipe.learning_rate,
        "num_leaves": recipe.leaves,
        "max_depth": recipe.depth,
        "min_data_in_leaf": min(recipe.min_rows, max(1, len(truth) // 20)),
        "lambda_l2": recipe.l2,
        "bagging_fraction": recipe.rows_share,
        "bagging_freq": 1,
        "feature_fraction": recipe.columns_share,
        "use_missing": False,  # absent numbers have values of their own
        "num_threads": 1,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    return lightgbm.train(
        settings, lightgbm.Dataset(seen, truth, weight=weights), num_boost_round=recipe.trees
    )


def _calibrate(scores: Floats, truth: Ints) -> tuple[float, float]:
    """The slope and offset of the log-odds that make the true labels most likely; the slope is positive."""
    if not 0 < truth.sum() < len(truth):
        raise StepError("the rows held out have one label only; train on more days")

    def loss(found: Floats) -> float:
        logits = np.exp(found[0]) * scores + found[1]
        return float((np.logaddexp(0.0, logits) - truth * logits).mean())

    best = optimize.minimize(loss, np.zeros(2), method="Nelder-Mead", bounds=[(-3, 3), (-10, 10)])
    return float(np.exp(best.x[0])), float(best.x[1])


def _both(positive: Floats) -> Floats:
    return np.stack([1.0 - positive, positive], axis=1)


def settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that shapes such a model, those that `params` leaves out included. Raises `StepError`."""
    return _recipe(params).model_dump(mode="json")


def _recipe(params: Mapping[str, Any]) -> Recipe:
    try:
        return Recipe(**params)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        known = ", ".join(Recipe.model_fields)
        raise StepError(f"params.yaml: kinds.tabular_classifier: {problems}; known keys: {known}") from None
