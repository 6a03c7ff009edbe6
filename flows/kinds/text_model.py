"""A text model in its parts: what a fold fits, and how its scores come about, in scikit-learn's terms.

Two readings of a text are added up: a linear support vector machine on n-grams (Fan et al. 2008,
LIBLINEAR), and a small network on the mean embedding beside a latent semantic analysis of the n-grams
(Deerwester et al. 1990). Everything is learned inside the fold, vocabulary and weights included.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.svm import LinearSVC

from flows.kinds import network
from flows.kinds.text_corpus import Corpus, Quantised

TINY = np.float32(1e-12)
_RAREST = 32  # beyond, a few rows would outweigh all others; what was measured: docs/adr/0003
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class Recipe(BaseModel):
    """Hyperparameters (`kinds.text_classifier` in params.yaml); ADR 0003 has the figures behind them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    folds: int = Field(default=5, ge=2)
    min_rows: int = Field(default=5, ge=1)  # an n-gram counts when at least so many training rows have it
    svm_c: float = Field(default=0.5, gt=0)
    topics: int = Field(default=200, ge=1)  # dimensions of the latent semantic analysis
    embedding_length: float = Field(default=16.0, gt=0)
    topics_length: float = Field(default=8.0, gt=0)
    hidden: int = Field(default=512, ge=1)
    epochs: int = Field(default=30, ge=1)
    drop_input: float = Field(default=0.25, ge=0, lt=1)
    drop_hidden: float = Field(default=0.6, ge=0, lt=1)
    decay: float = Field(default=0.1, ge=0)
    rare_lift: float = Field(default=0.65, ge=0)  # of labels with fewer rows than most: see `lift`
    jobs: int = Field(default=2, ge=1)  # processes; one thread each


@dataclass(frozen=True, slots=True)
class Reading:
    """How counts become the two designs. Columns are those of the corpus that it was learned on."""

    columns: tuple[Ints, Ints]  # n-grams kept, of each block
    idf: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
    center: Floats  # (e,) mean embedding of the training texts
    topics: Quantised  # (n-grams, t)
    topics_center: Floats  # (t,)
    topics_scale: float
    embedding_length: float

    def ngrams(self, corpus: Corpus) -> sparse.csr_matrix:
        """TF-IDF with sublinear counts, each block of length 1: shape (n, n-grams)."""
        found = []
        for counts, kept, idf in zip(corpus.blocks(), self.columns, self.idf, strict=True):
            weigher = TfidfTransformer(sublinear_tf=True)
            weigher.idf_ = idf
            found.append(weigher.transform(counts[:, kept]))
        return sparse.csr_matrix(sparse.hstack(found)).astype(np.float32)

    def directions(self, corpus: Corpus, embedding: Floats) -> Floats:
        """The centred mean embedding, of length 1: shape (n, e)."""
        direction = _mean(corpus, embedding) - self.center
        direction /= np.linalg.norm(direction, axis=1, keepdims=True) + TINY
        return direction

    def dense(self, corpus: Corpus, embedding: Floats) -> Floats:
        """Direction of the centred mean embedding, then the topics: shape (n, e + t)."""
        direction = self.directions(corpus, embedding)
        topics = self.ngrams(corpus) @ self.topics.table() - self.topics_center
        return np.hstack(
            [direction * np.float32(self.embedding_length), topics * np.float32(self.topics_scale)]
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted reading with both scorers. `blend` weighs their scores before the softmax."""

    reading: Reading
    svm_weights: npt.NDArray[np.float16]  # (n-grams, k): rounded here, so that original and export agree
    svm_bias: Floats  # (k,)
    network: network.Network
    blend: tuple[float, float] = field(default=(1.0, 1.0))  # of machine and network
    lift: Floats = field(default_factory=lambda: np.zeros(0, np.float32))  # (k,), added to the blended scores

    def scores(self, corpus: Corpus, embedding: Floats) -> tuple[Floats, Floats]:
        """Scores of machine and network: (n, k) each."""
        linear = self.reading.ngrams(corpus) @ self.svm_weights.astype(np.float32) + self.svm_bias
        return np.asarray(linear), self.network.scores(self.reading.dense(corpus, embedding))


def learn(corpus: Corpus, embedding: Floats, truth: Ints, labels: int, recipe: Recipe, seed: int) -> Model:
    """Fit on all rows of `corpus`; every label must occur."""
    reading = _read(corpus, embedding, recipe, seed)
    machine = LinearSVC(C=recipe.svm_c, random_state=seed).fit(reading.ngrams(corpus), truth)
    weights, bias = machine.coef_.T, machine.intercept_
    if labels == 2:  # LIBLINEAR has one score for two labels
        weights, bias = np.hstack([-weights, weights]) / 2, np.array([-bias[0], bias[0]]) / 2
    how = network.Settings(
        hidden=recipe.hidden,
        epochs=recipe.epochs,
        decay=recipe.decay,
        drop_input=recipe.drop_input,
        drop_hidden=recipe.drop_hidden,
    )
    counting = rarity(np.bincount(truth, minlength=labels))
    trained = network.train(reading.dense(corpus, embedding), truth, counting, how, seed)
    return Model(reading, weights.astype(np.float16), bias.astype(np.float32), trained)


def rarity(counts: Ints) -> Floats:
    """How many times fewer rows than the median label has each label, 1 to 32: (k,). Rows of a rare label
    count so much more in the network (inverse class frequency, bounded as in Cui et al. 2019)."""
    return np.clip(np.median(counts) / np.maximum(counts, 1), 1, _RAREST).astype(np.float32)


def lift(counts: Ints, strength: float) -> Floats:
    """What is added to the scores of rare labels: (k,). Post-hoc logit adjustment (Menon et al. 2021,
    "Long-tail learning via logit adjustment", section 4.1), towards the median label only: how many rows of a
    label people have given so far says little of how often it will come."""
    return np.float32(strength) * np.log(rarity(counts))


def _read(corpus: Corpus, embedding: Floats, recipe: Recipe, seed: int) -> Reading:
    kept, idf = [], []
    for counts in corpus.blocks():
        columns = np.flatnonzero(counts.getnnz(axis=0) >= recipe.min_rows)
        kept.append(columns)
        idf.append(TfidfTransformer(sublinear_tf=True).fit(counts[:, columns]).idf_)
    reading = Reading(
        columns=(kept[0], kept[1]),
        idf=(idf[0], idf[1]),
        center=_mean(corpus, embedding).mean(axis=0),
        topics=Quantised(np.zeros((0, 0), np.int8), np.zeros(0, np.float32)),
        topics_center=np.zeros(0, np.float32),
        topics_scale=1.0,
        embedding_length=recipe.embedding_length,
    )
    ngrams = reading.ngrams(corpus)
    size = min(recipe.topics, min(ngrams.shape) - 1)
    topics = Quantised.of(TruncatedSVD(size, n_iter=2, random_state=seed).fit(ngrams).components_.T)
    placed = ngrams @ topics.table()
    center = placed.mean(axis=0)
    length = float(np.sqrt(((placed - center) ** 2).sum(axis=1).mean()))
    return Reading(
        reading.columns, reading.idf, reading.center, topics, center,
        recipe.topics_length / max(length, 1e-6), recipe.embedding_length,
    )  # fmt: skip


def _mean(corpus: Corpus, embedding: Floats) -> Floats:
    """Mean embedding of each text's tokens: (n, e)."""
    mean: Floats = np.asarray(corpus.ids @ embedding) / np.asarray(corpus.ids.sum(axis=1))
    return mean
