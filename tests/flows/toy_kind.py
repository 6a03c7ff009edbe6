"""A model kind for tests: naive Bayes over words and rounded numbers, trained in milliseconds.

One module is both the kind (`fit`) and its runtime (`open_package`); `BREAK_EXPORT` in its parameters
makes the exported model differ from the original.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from registry.records import Prediction
from registry.runtimes import Package

FILE = "toy.json"


def tokens(fields: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name, value in sorted(fields.items()):
        words = value.lower().split() if isinstance(value, str) else [f"{float(value) // 100:g}"]
        found += [f"{name}={word}" for word in words]
    return found


class Toy:
    def __init__(self, labels: Sequence[str], weights: Mapping[str, Mapping[str, float]]) -> None:
        self.labels = tuple(labels)
        self.weights = weights

    def of(self, fields: Mapping[str, Any]) -> np.ndarray:
        scores = np.array([sum(self.weights[x].get(t, -3.0) for t in tokens(fields)) for x in self.labels])
        odds = np.exp((scores - scores.max()) / 2)
        return np.asarray(odds / odds.sum())

    def probabilities(self, rows: Any) -> np.ndarray:
        listed = rows.to_dict("records") if isinstance(rows, pd.DataFrame) else rows
        found = [self.of(fields) for fields in listed]
        return np.stack(found) if found else np.zeros((0, len(self.labels)))

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        row = self.of(fields)
        return Prediction(self.labels[int(row.argmax())], float(row.max()))


class FittedToy:
    def __init__(
        self, toy: Toy, oof: np.ndarray, inputs: Sequence[str], broken: bool, folds: np.ndarray
    ) -> None:
        self.labels, self.oof, self.folds = toy.labels, oof, folds
        self._toy, self._inputs, self._broken = toy, list(inputs), broken

    def probabilities(self, rows: pd.DataFrame) -> np.ndarray:
        return self._toy.probabilities(rows[self._inputs])

    def export(self, folder: Path) -> list[str]:
        weights = {x: {} for x in self.labels} if self._broken else self._toy.weights
        (folder / FILE).write_text(json.dumps({"labels": self.labels, "weights": weights}, sort_keys=True))
        return [FILE]


def _learn(rows: Sequence[Mapping[str, Any]], truth: Sequence[str], labels: Sequence[str]) -> Toy:
    counts: dict[str, Counter[str]] = {label: Counter() for label in labels}
    for fields, label in zip(rows, truth, strict=True):
        counts[label].update(tokens(fields))
    weights = {
        x: {t: math.log(n / (c.total() / 10 + 1)) for t, n in sorted(c.items())} for x, c in counts.items()
    }
    return Toy(labels, weights)


def settings(params: Mapping[str, Any]) -> dict[str, Any]:
    return dict(params)


def fit(rows: pd.DataFrame, usecase: Any, params: Mapping[str, Any], seed: int) -> FittedToy:
    inputs = list(usecase.input)
    fields = rows[inputs].to_dict("records")
    truth = rows[usecase.label].tolist()
    labels = sorted(set(truth))
    fold = np.random.default_rng(seed).permutation(len(rows)) % 4
    oof = np.zeros((len(rows), len(labels)))
    for part in range(4):
        seen = [i for i in range(len(rows)) if fold[i] != part]
        model = _learn([fields[i] for i in seen], [truth[i] for i in seen], labels)
        for i in np.flatnonzero(fold == part):
            oof[i] = model.of(fields[i])
    return FittedToy(_learn(fields, truth, labels), oof, inputs, bool(params.get("BREAK_EXPORT")), fold)


def open_package(package: Package) -> Toy:
    content = json.loads(package.read(FILE))
    return Toy(content["labels"], content["weights"])
