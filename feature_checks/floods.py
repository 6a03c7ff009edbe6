"""Many rows at once that are alike, or alike in being strange: what a flood or a burst looks like. Pure.

- A flood: rows whose texts nearly repeat each other (cosine of character n-grams at least `ALIKE`), more of
  them from one source than chance has it. All but the first few of a group are suspect.
- A burst: rows further from everything known than 99 % of the known rows are from each other, which come
  from one source in a number that chance does not explain.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from feature_checks.drift_measures import holm
from feature_checks.suspects import Floats, Suspect

ALIKE = 0.9
FLOOD = 5
STRANGE_SHARE = 0.01
LEVEL = 0.01
MIN_BURST = 10


def near_duplicates(texts: Sequence[str], sources: Sequence[str], most: int = FLOOD) -> list[Suspect]:
    """Rows beyond the first `most` of a group that says nearly the same. O(n^2) in blocks of 1,000."""
    if len(texts) < 2:
        return []
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components
    from sklearn.feature_extraction.text import HashingVectorizer

    read = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 4), n_features=2**18, alternate_sign=False)
    vectors = csr_matrix(read.transform(texts))
    left: list[np.ndarray] = []
    right: list[np.ndarray] = []
    for start in range(0, len(texts), 1000):
        near = (vectors[start : start + 1000] @ vectors.T).tocoo()
        close = near.data >= ALIKE
        left.append(near.row[close] + start)
        right.append(near.col[close])
    ends = (np.concatenate(left), np.concatenate(right))
    graph = csr_matrix((np.ones(len(ends[0]), bool), ends), shape=(len(texts), len(texts)))
    _, group = connected_components(graph, directed=False)
    sizes = np.bincount(group)
    found: list[Suspect] = []
    for one in np.flatnonzero(sizes > most):
        rows = [int(row) for row in np.flatnonzero(group == one)]
        source, count = Counter(sources[row] for row in rows).most_common(1)[0]
        if count <= most:
            continue  # many people say it: that is what users do
        why = f"one of {count} rows from one source that say nearly the same"
        mine = [row for row in rows if sources[row] == source]
        found += [Suspect(row, "flood", why) for row in mine[most:]]
    return found


def strange_bursts(known: Floats, vectors: Floats, sources: Sequence[str]) -> list[Suspect]:
    """Rows unlike all `known` ones, where one source brings more of them than chance does.

    (m, d) and (n, d), each row of length 1.
    """
    from scipy.stats import binomtest

    if len(known) < 100 or len(vectors) == 0:
        return []
    usual = 1 - _nearest(known, known, itself=True)
    border = float(np.quantile(usual, 1 - STRANGE_SHARE))
    strange = 1 - _nearest(vectors, known) > border
    names = np.asarray(sources, dtype=object)
    p_values: dict[str, float] = {}
    for name in sorted(set(sources)):
        mine = names == name
        hits = int(strange[mine].sum())
        if hits >= MIN_BURST:
            p_values[name] = float(binomtest(hits, int(mine.sum()), 0.05, alternative="greater").pvalue)
    found: list[Suspect] = []
    for name, p_value in holm(p_values).items():
        if p_value < LEVEL:
            why = "one of many rows from one source that are unlike everything known"
            hit = np.flatnonzero(strange & (names == name))
            found += [Suspect(int(row), "strange_burst", why) for row in hit]
    return found


def _nearest(rows: Floats, known: Floats, itself: bool = False) -> Floats:
    """Cosine to the nearest known row; to another one than itself where both are the same list."""
    found = np.zeros(len(rows))
    for start in range(0, len(rows), 1000):
        near = rows[start : start + 1000] @ known.T
        if itself:
            size = len(near)
            near[np.arange(size), start + np.arange(size)] = -1.0
        found[start : start + len(near)] = near.max(axis=1)
    return found
