"""How far is a window from its reference, in one feature? Pure: size from 0 to about 1, p-value, examples.

Sizes are freed of what mere chance gives to a small window: a hundred undrifted rows over 77 labels have a
large raw PSI (Yurdakul 2018). Everything is deterministic: the same data give the same measure.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
FEW = 20
"""Up to so many categories PSI is the measure; beyond, empty cells dominate it: Jensen-Shannon's."""
DRAWS = 999
SHOWN = 3
NEIGHBOURS = 15
MOST_COMPARED = 2000
"""Rows of a window whose distances are looked at: a square of them must fit into memory."""
_WORD = re.compile(r"[^\W\d_]{2,}")
_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*_\d+>")  # redaction's; training texts may hold none
_WORD_SHOWN_FROM = 5
"""A new word is shown if it is in so many texts of a window: one that only one person wrote may be a name."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One comparison. `name` is the measure's; `examples` are what changed most, fit for a report."""

    name: str
    size: float
    p_value: float
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of the reference as hashes, and how usual an unknown one is there: `hits` of `rows` texts."""

    words: frozenset[int] = field(repr=False)
    hits: int
    rows: int

    @classmethod
    def of(cls, texts: Sequence[str], most: int = 60_000) -> "Vocabulary":
        """The `most` frequent words. Usual is the share of one half against the other: a smaller vocabulary,
        so rather too many."""
        half = _hashes(texts[::2], most)
        found = [any(_hash(word) not in half for word in _words(text)) for text in texts[1::2]]
        return cls(_hashes(texts, most), sum(found), len(found))


def numbers(reference: Sequence[float], window: Sequence[float]) -> Measure:
    """Kolmogorov-Smirnov: the largest distance of the two distribution functions, and its asymptotic test."""
    from scipy.stats import ks_2samp

    before, now = np.asarray(reference, float), np.asarray(window, float)
    found = ks_2samp(before, now, method="asymp")
    moved = f"median {np.median(before):.4g} -> {np.median(now):.4g}"
    return Measure("kolmogorov_smirnov", float(found.statistic), float(found.pvalue), (moved,))


def categories(reference: Sequence[str], window: Sequence[str]) -> Measure:
    """PSI (Siddiqi 2006), or the Jensen-Shannon distance (Lin 1991, base 2) where there are many categories.

    Both less their mean in random splits of all rows; the p-value is the share of splits that are as far.
    """
    before, now = Counter(reference), Counter(window)
    names = sorted(before.keys() | now.keys())
    counts = np.array([[c[name] for name in names] for c in (before, now)], float)
    psi = len(names) <= FEW
    pooled = counts.sum(axis=0)
    draw = np.random.default_rng(0)
    drawn = draw.multivariate_hypergeometric(pooled.astype(np.int64), int(counts[1].sum()), DRAWS).astype(
        float
    )
    distance = _psi if psi else _jensen_shannon
    by_chance = distance(pooled - drawn, drawn)
    raw = distance(counts[:1], counts[1:])[0]
    size = max(0.0, float(raw - by_chance.mean()))
    p_value = (1 + int((by_chance >= raw).sum())) / (1 + DRAWS)
    shares = counts / counts.sum(axis=1, keepdims=True)
    most = np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")[:SHOWN]
    examples = tuple(f"{names[i]}: {shares[0, i]:.1%} -> {shares[1, i]:.1%}" for i in most)
    return Measure("psi" if psi else "jensen_shannon", size if psi else size**0.5, p_value, examples)


def embeddings(reference: Floats, window: Floats, texts: Sequence[str] = ()) -> Measure:
    """A classifier two-sample test (Lopez-Paz and Oquab 2017): can the two be told apart?

    (n, d) and (m, d), of which at most `MOST_COMPARED` and twice as many are compared. The classifier is that
    of the nearest neighbours by cosine, each row without itself: what is new comes in clusters, which a plane
    finds less often. Size is 2 AUC - 1 of the share of window rows among them, its p-value that of Mann and
    Whitney.
    `texts` are the window's, in its order: those that look least like the reference are the examples.
    """
    from scipy.stats import mannwhitneyu

    spaced = np.arange(len(window))[:: -(-len(window) // MOST_COMPARED)]
    window = window[spaced]
    reference = reference[:: max(1, len(reference) // (2 * len(window)))]
    rows = np.concatenate([reference, window])
    rows = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    is_new = np.repeat([False, True], [len(reference), len(window)])
    near = rows @ rows.T
    np.fill_diagonal(near, -np.inf)
    k = min(NEIGHBOURS, len(rows) - 1)
    neighbours = np.argpartition(-near, k - 1, axis=1)[:, :k]
    scores = is_new[neighbours].mean(axis=1)
    new, old = scores[is_new], scores[~is_new]
    found = mannwhitneyu(new, old, alternative="greater")
    auc = float(found.statistic) / (len(new) * len(old))
    examples = tuple(texts[spaced[i]] for i in np.argsort(-new, kind="stable")[:SHOWN]) if texts else ()
    return Measure("classifier_two_sample", max(0.0, 2 * auc - 1), float(found.pvalue), examples)


def vocabulary(known: Vocabulary, window: Sequence[str]) -> Measure:
    """The share of texts with a word that the reference does not know, beyond what is usual there.

    The p-value is Fisher's exact one.
    """
    found = [{word for word in _words(text) if _hash(word) not in known.words} for text in window]
    told = shares((known.hits, known.rows), (sum(bool(words) for words in found), len(found)))
    counts = Counter(word for words in found for word in words).most_common(SHOWN)
    examples = tuple(f"{word}: {n} texts" for word, n in counts if n >= _WORD_SHOWN_FROM)
    return Measure("new_vocabulary", told.size, told.p_value, examples)


def shares(reference: tuple[int, int], window: tuple[int, int]) -> Measure:
    """By how much a share (hits, rows) has grown, and Fisher's exact test of that."""
    from scipy.stats import fisher_exact

    (hits, rows), (usual, usual_rows) = window, reference
    table = [[hits, rows - hits], [usual, usual_rows - usual]]
    p_value = float(fisher_exact(table, alternative="greater").pvalue)
    before, now = usual / max(1, usual_rows), hits / max(1, rows)
    return Measure("share", max(0.0, now - before), p_value, (f"{before:.1%} -> {now:.1%}",))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted so that the chance of any false alarm among all of them stays below the level (Holm 1979)."""
    adjusted: dict[str, float] = {}
    most = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda pair: pair[1])):
        most = max(most, min(1.0, (len(p_values) - rank) * p))
        adjusted[name] = most
    return adjusted


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_PLACEHOLDER.sub(" ", text).lower()))


def _hashes(texts: Sequence[str], most: int) -> frozenset[int]:
    counts = Counter(word for text in texts for word in _words(text))
    return frozenset(_hash(word) for word, _ in counts.most_common(most))


def _hash(word: str) -> int:
    """64 bits: a reference is kept with its model, and must hold no text."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")


def _psi(before: Floats, now: Floats) -> Floats:
    p, q = _shares(before + 0.5), _shares(now + 0.5)  # half a row each, so that no share is zero
    distances: Floats = ((q - p) * np.log(q / p)).sum(axis=1)
    return distances


def _jensen_shannon(before: Floats, now: Floats) -> Floats:
    """The divergence, in bits: the square of the distance."""
    p, q = _shares(before), _shares(now)
    middle = (p + q) / 2
    distances: Floats = (_relative(p, middle) + _relative(q, middle)) / 2
    return distances


def _relative(p: Floats, q: Floats) -> Floats:
    terms: Floats = np.where(p > 0, p * np.log2(np.where(p > 0, p, 1) / np.where(p > 0, q, 1)), 0).sum(axis=1)
    return terms


def _shares(counts: Floats) -> Floats:
    shares: Floats = counts / counts.sum(axis=1, keepdims=True)
    return shares
