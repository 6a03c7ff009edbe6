"""Kind `text_classifier`: a linear machine on n-grams and a small network on embeddings, added up.

The out-of-fold scores of both give two weights that make the true labels most likely: temperature
scaling (Guo et al. 2017, "On calibration of modern neural networks", section 4.2) with a temperature
for each part. Labels with few rows are lifted, so that what people began to teach is answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError
from scipy import optimize, special
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.kinds.text_corpus import Corpus, Quantised, read_corpus, read_texts, read_wordllama
from flows.kinds.text_export import write_model
from flows.kinds.text_model import Floats, Ints, Model, Recipe, learn, lift
from registry.runtimes.text_features import TextTokenizer, clean
from registry.runtimes.trust_features import Signals

_WORTH_A_PROCESS = 3000  # rows; below, starting processes takes longer than the work


@dataclass(frozen=True, slots=True)
class FittedText:
    """The original model, with what its runtime needs."""

    labels: tuple[str, ...]
    oof: npt.NDArray[np.float64]  # (n, k)
    inputs: tuple[str, ...]
    model: Model
    corpus: Corpus  # of the training rows: its names say what the model's columns are
    embedding: Quantised
    tokenizer: bytes
    folds: Ints  # (n,)
    oof_scores: npt.NDArray[np.float64]  # (n, k): what `oof` is the softmax of

    def probabilities(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Probabilities by the matrices that were trained: shape (n, k)."""
        scores = self.model.scores(self._read(rows), self.embedding.table())
        return _probabilities(scores, self.model.blend, self.model.lift)

    def signals(self, rows: pd.DataFrame) -> Signals:
        """What a learned deferral looks at, by the matrices that were trained."""
        return self._signals(rows, self.probabilities(rows))

    def oof_signals(self, rows: pd.DataFrame) -> tuple[Signals, npt.NDArray[np.float64]]:
        """The same of the training rows, each by a model that had not seen it; and its scores (n, k)."""
        return self._signals(rows, self.oof), self.oof_scores

    def _read(self, rows: pd.DataFrame) -> Corpus:
        tokenizer, width = TextTokenizer(self.tokenizer), len(self.embedding.scales)
        return self.corpus.like(read_texts(rows, self.inputs), tokenizer, width)

    def _signals(self, rows: pd.DataFrame, probabilities: npt.NDArray[np.float64]) -> Signals:
        tokenizer = TextTokenizer(self.tokenizer)
        tokens = [np.asarray(tokenizer(clean(text)), np.int64) for text in read_texts(rows, self.inputs)]
        directions = self.model.reading.directions(self._read(rows), self.embedding.table())
        return Signals(probabilities, directions, tokens)

    def export(self, folder: Path) -> list[str]:
        """model.onnx, tokenizer.json and vocabulary.json."""
        return write_model(folder, self.model, self.corpus, self.embedding, self.tokenizer)


def fit(rows: pd.DataFrame, usecase: UseCase, params: Mapping[str, Any], seed: int) -> FittedText:
    """Fit on `rows` (the use case's inputs and its label column), with out-of-fold probabilities.

    Raises `StepError` for unknown parameters, for a label with a single row, and without any text.
    """
    recipe = _recipe(params)
    inputs = tuple(name for name, spec in usecase.input.items() if spec.type == "string")
    if not inputs:
        raise StepError(f"use case '{usecase.name}': kind 'text_classifier' needs an input of type string")
    found = rows[usecase.label].to_numpy(dtype=object)
    names, truth, counts = np.unique(found, return_inverse=True, return_counts=True)
    labels = tuple(str(name) for name in names)
    if len(labels) < 2 or counts.min() < 2:
        raise StepError(
            f"use case '{usecase.name}': expected at least 2 labels with 2 training rows each, got "
            f"{len(labels)} labels, of which the rarest has {counts.min() if len(counts) else 0}; add rows"
        )
    quantised, tokenizer = read_wordllama()
    embedding = quantised.table()
    corpus = read_corpus(read_texts(rows, inputs), TextTokenizer(tokenizer), len(embedding), recipe.min_rows)
    parts = StratifiedKFold(min(recipe.folds, int(counts.min())), shuffle=True, random_state=seed)
    folds = list(parts.split(truth, truth))
    jobs = recipe.jobs if len(rows) >= _WORTH_A_PROCESS else 1
    # The model on all rows is one job more, so that it is not waited for alone.
    work = [(train, test) for train, test in folds] + [(np.arange(len(rows)), np.arange(0))]
    results = Parallel(n_jobs=jobs)(
        delayed(_learn_and_score)(corpus, embedding, truth, len(labels), recipe, seed + index, *split)
        for index, split in enumerate(work)
    )
    held_out = np.zeros(len(rows), np.int64)
    for number, (_, test) in enumerate(folds):
        held_out[test] = number
    scores = (np.zeros((len(rows), len(labels))), np.zeros((len(rows), len(labels))))
    for (_, test), (_, found_scores) in zip(folds, results[:-1], strict=True):
        for target, part in zip(scores, found_scores, strict=True):
            target[test] = part
    blend = _blend(scores, truth)
    lifted = lift(np.asarray(counts, np.int64), recipe.rare_lift)
    model = replace(results[-1][0], blend=blend, lift=lifted)
    oof = _probabilities(scores, blend, lifted)
    return FittedText(
        labels, oof, inputs, model, corpus, quantised, tokenizer, held_out, _scores(scores, blend, lifted)
    )


def settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that shapes such a model, those that `params` leaves out included. Raises `StepError`."""
    return _recipe(params).model_dump(mode="json")


def _recipe(params: Mapping[str, Any]) -> Recipe:
    try:
        return Recipe(**params)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        known = ", ".join(Recipe.model_fields)
        raise StepError(f"params.yaml: kinds.text_classifier: {problems}; known keys: {known}") from None


def _learn_and_score(
    corpus: Corpus,
    embedding: Floats,
    truth: Ints,
    labels: int,
    recipe: Recipe,
    seed: int,
    train: Ints,
    test: Ints,
) -> tuple[Model | None, tuple[Floats, Floats]]:
    """One fold: scores of `test` by what was learned from `train`. Without a `test`, the model itself."""
    with threadpool_limits(1):  # a process a core, and the same sums in the same order each time
        model = learn(corpus.rows(train), embedding, truth[train], labels, recipe, seed)
        if len(test):
            return None, model.scores(corpus.rows(test), embedding)
    empty = np.zeros((0, labels), np.float32)
    return model, (empty, empty)


def _blend(scores: tuple[npt.NDArray[Any], npt.NDArray[Any]], truth: Ints) -> tuple[float, float]:
    """The weights of both parts that make the true labels most likely."""

    def loss(logs: npt.NDArray[np.float64]) -> float:
        first, second = np.exp(logs)
        found = special.log_softmax(first * scores[0] + second * scores[1], axis=1)
        return float(-found[np.arange(len(truth)), truth].mean())

    best = optimize.minimize(loss, np.zeros(2), method="Nelder-Mead", bounds=[(-4, 4), (-4, 4)])
    first, second = np.exp(best.x)
    return float(first), float(second)


def _probabilities(
    scores: tuple[npt.NDArray[Any], npt.NDArray[Any]], blend: tuple[float, float], lifted: Floats
) -> npt.NDArray[np.float64]:
    return cast("npt.NDArray[np.float64]", special.softmax(_scores(scores, blend, lifted), axis=1))


def _scores(
    scores: tuple[npt.NDArray[Any], npt.NDArray[Any]], blend: tuple[float, float], lifted: Floats
) -> npt.NDArray[np.float64]:
    both = blend[0] * scores[0].astype(np.float64) + blend[1] * scores[1].astype(np.float64)
    return np.asarray(both + lifted, np.float64)
