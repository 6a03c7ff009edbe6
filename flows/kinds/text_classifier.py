"""Kind `text_classifier`: a linear support vector machine over wordllama embeddings and n-grams.

scikit-learn's LinearSVC (Fan et al. 2008, LIBLINEAR) gives one score a label; a softmax with one
temperature, fitted on out-of-fold scores, turns them into probabilities (Guo et al. 2017, "On
calibration of modern neural networks", section 4.2). All that is linear collapses into one matrix, so
serving is a lookup, a weighted sum and a softmax.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import wordllama
from scipy import optimize, sparse, special
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from feature_checks.usecase import UseCase
from flows.kinds.text_export import LinearText, write_package_files
from registry.runtimes.text_features import Block, Features, Featuriser, clean, join_fields, ngrams

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hyperparameters; chosen by cross-validation on training data alone (ADR 0003)."""

    c: float = 0.3
    embedding_weight: float = 2.0
    min_rows: int = 2  # an n-gram counts when at least so many training rows have it


@dataclass(frozen=True, slots=True)
class FittedText:
    """The original model, with what its runtime needs."""

    labels: tuple[str, ...]
    oof: np.ndarray
    model: LinearText
    featuriser: Featuriser
    inputs: tuple[str, ...]

    def probabilities(self, rows: pd.DataFrame) -> np.ndarray:
        """Probabilities by scikit-learn's own arithmetic: shape (n, k)."""
        design = _design([self.featuriser(t) for t in _texts(rows, self.inputs)], self.model)
        weights = np.vstack([self.model.sparse_weights, self.model.dense_weights]).astype(np.float64)
        scores = design @ weights + self.model.bias
        return np.asarray(special.softmax(scores * self.model.scale, axis=1))

    def export(self, folder: Path) -> list[str]:
        """model.onnx, tokenizer.json and vocabulary.json."""
        return write_package_files(folder, self.model)


def fit(rows: pd.DataFrame, usecase: UseCase, params: Mapping[str, Any], seed: int) -> FittedText:
    """Fit on `rows` (the use case's inputs and its label column), with out-of-fold probabilities."""
    recipe = Recipe(**params)
    inputs = tuple(usecase.input)
    labels = tuple(sorted(set(rows[usecase.label])))
    truth = np.searchsorted(np.asarray(labels, dtype=object), rows[usecase.label].to_numpy(dtype=object))
    embedding, tokenizer = _wordllama()
    texts = _texts(rows, inputs)
    featuriser, vocabulary = _featuriser(tokenizer, texts, recipe.min_rows)
    features = [featuriser(text) for text in texts]
    center = _mean(features, embedding).mean(axis=0)
    untrained = LinearText(
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        embedding=embedding,
        center=center.astype(np.float32),
        sparse_weights=np.zeros((vocabulary.width, 0), np.float16),
        dense_weights=np.zeros((0, 0), np.float32),
        bias=np.zeros(0, np.float32),
        scale=1.0,
        embedding_weight=recipe.embedding_weight,
    )
    design = _design(features, untrained)
    oof_scores = np.zeros((len(rows), len(labels)))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for seen, unseen in folds.split(texts, truth):
        oof_scores[unseen] = _scores(
            _svm(design[seen], truth[seen], recipe, seed), design[unseen], len(labels)
        )
    scale = _temperature(oof_scores, truth)
    model = untrained.with_weights(*_coefficients(_svm(design, truth, recipe, seed), len(labels)), scale)
    return FittedText(labels, special.softmax(oof_scores * scale, axis=1), model, featuriser, inputs)


def _svm(design: sparse.csr_matrix, truth: np.ndarray, recipe: Recipe, seed: int) -> LinearSVC:
    return LinearSVC(C=recipe.c, random_state=seed).fit(design, truth)


def _coefficients(svm: LinearSVC, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (features, k) and bias (k,). Two labels have one score in LIBLINEAR: make it two."""
    coefficients, bias = svm.coef_.T, svm.intercept_
    if labels == 2:
        coefficients, bias = np.hstack([-coefficients, coefficients]) / 2, np.array([-bias[0], bias[0]]) / 2
    return coefficients, bias


def _scores(svm: LinearSVC, design: sparse.csr_matrix, labels: int) -> np.ndarray:
    coefficients, bias = _coefficients(svm, labels)
    return np.asarray(design @ coefficients + bias)


def _temperature(scores: np.ndarray, truth: np.ndarray) -> float:
    """The factor before the softmax that makes the true labels most likely."""

    def loss(log_scale: float) -> float:
        logs = special.log_softmax(scores * np.exp(log_scale), axis=1)
        return float(-logs[np.arange(len(truth)), truth].mean())

    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-3.0, 5.0), method="bounded").x))


def _wordllama() -> tuple[np.ndarray, bytes]:
    """wordllama's embedding table (tokens, 256) in half precision, and its tokenizer; both from its wheel."""
    folder = Path(wordllama.__file__).parent
    model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
    return np.asarray(model.embedding, dtype=np.float16), model.tokenizer.to_str().encode()


def _texts(rows: pd.DataFrame, inputs: Sequence[str]) -> list[str]:
    records: list[dict[str, object]] = rows[list(inputs)].to_dict("records")  # type: ignore[assignment]  # keys are column names
    return [join_fields(row, inputs) for row in records]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Names and inverse document frequencies of both blocks, in column order."""

    tokens: tuple[list[str], list[float]]
    chars: tuple[list[str], list[float]]

    @property
    def width(self) -> int:
        return len(self.tokens[0]) + len(self.chars[0])


def _featuriser(tokenizer: bytes, texts: Sequence[str], min_rows: int) -> tuple[Featuriser, Vocabulary]:
    empty = Block({}, [], 0)
    bare = Featuriser(tokenizer, empty, empty)
    cleaned = [clean(text) for text in texts]
    counted = [ngrams(text, bare.tokens(text)) for text in cleaned]
    tokens = _block((c[0] for c in counted), len(texts), min_rows)
    chars = _block((c[1] for c in counted), len(texts), min_rows)
    columns = [{name: i for i, name in enumerate(names)} for names, _ in (tokens, chars)]
    blocks = Block(columns[0], tokens[1], 0), Block(columns[1], chars[1], len(tokens[0]))
    return Featuriser(tokenizer, *blocks), Vocabulary(tokens, chars)


def _block(counts: Iterable[Counter[str]], rows: int, min_rows: int) -> tuple[list[str], list[float]]:
    """Names kept, and their smoothed inverse document frequency: ln((1 + n) / (1 + df)) + 1."""
    frequency: Counter[str] = Counter()
    for one in counts:
        frequency.update(one.keys())
    names = sorted(name for name, df in frequency.items() if df >= min_rows)
    return names, [float(np.log((1 + rows) / (1 + frequency[name])) + 1) for name in names]


def _mean(features: Sequence[Features], embedding: np.ndarray) -> np.ndarray:
    """The mean embedding of each text's tokens: shape (n, 256)."""
    return np.stack([embedding[f.tokens].astype(np.float32).mean(axis=0) for f in features])


def _design(features: Sequence[Features], model: LinearText) -> sparse.csr_matrix:
    """n-gram weights, then the centred embedding at length `embedding_weight`: shape (n, features)."""
    starts = np.cumsum([0, *(len(f.columns) for f in features)])
    columns = np.concatenate([f.columns for f in features])
    weights = np.concatenate([f.weights for f in features])
    grams = sparse.csr_matrix((weights, columns, starts), shape=(len(features), model.vocabulary.width))
    mean = _mean(features, model.embedding) - model.center
    length = np.linalg.norm(mean, axis=1, keepdims=True) + 1e-12
    return sparse.csr_matrix(
        sparse.hstack([grams, sparse.csr_matrix(mean / length * model.embedding_weight)])
    )
