"""Are these labels right? Errors one by one, and sources that are wrong too often. Pure.

Both look at out-of-fold probabilities: what models that had not seen a row say of it.

- Label errors: confident learning (Northcutt, Jiang and Chuang 2021, "Confident learning: estimating
  uncertainty in dataset labels"), as cleanlab has it.
- Sources: of each, the share of rows whose label is not the most probable one, against that of all other
  sources: an exact binomial test, corrected for the number of sources (Holm 1979), and an effect over its
  bound. From a source that is found out, every row that the models do not confirm is suspect.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from feature_checks.drift_measures import holm
from feature_checks.suspects import Bools, Floats, Ints, Suspect

EFFECT = 0.1
LEVEL = 0.01
MIN_ROWS = 20


def label_suspects(
    probabilities: Floats, given: Ints, sources: Sequence[str], trusted: frozenset[str] = frozenset()
) -> list[Suspect]:
    """Unreliable sources first; then label errors among the rows of all others: one who lies must not make
    the labels of everybody else look doubtful."""
    found = unreliable_sources(probabilities, given, sources, trusted)
    accused = {sources[one.row] for one in found}
    rest = np.array([row for row, name in enumerate(sources) if name not in accused], np.int64)
    errors = label_errors(probabilities[rest], given[rest])
    return found + [Suspect(int(rest[one.row]), one.check, one.why) for one in errors]


def label_errors(probabilities: Floats, given: Ints) -> list[Suspect]:
    """Rows whose label is most likely wrong. Shapes (n, k) and (n,)."""
    from cleanlab.filter import find_label_issues  # type: ignore[import-untyped]  # it ships no types

    if len(given) == 0:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a line for each label with few rows
        found: Bools = find_label_issues(
            given, probabilities, filter_by="both", min_examples_per_class=1, n_jobs=1
        )
    why = "models that had not seen it are sure of another label"
    return [Suspect(int(row), "label_error", why) for row in np.flatnonzero(found)]


def unreliable_sources(
    probabilities: Floats, given: Ints, sources: Sequence[str], trusted: frozenset[str] = frozenset()
) -> list[Suspect]:
    """Rows of sources that are contradicted far more often than the others."""
    from scipy.stats import binomtest

    names = np.asarray(sources, dtype=object)
    against = probabilities.argmax(axis=1) != given
    p_values: dict[str, float] = {}
    shares: dict[str, tuple[float, float]] = {}
    for name in sorted(set(sources) - trusted):
        mine = names == name
        if mine.sum() < MIN_ROWS or (~mine).sum() < MIN_ROWS:
            continue
        usual = (against[~mine].sum() + 1) / ((~mine).sum() + 2)
        shares[name] = float(against[mine].mean()), float(usual)
        count = int(against[mine].sum()), int(mine.sum())
        p_values[name] = float(binomtest(*count, usual, alternative="greater").pvalue)
    found: list[Suspect] = []
    for name, p_value in holm(p_values).items():
        share, usual = shares[name]
        if p_value >= LEVEL or share - usual < EFFECT:
            continue
        why = f"its source is contradicted in {share:.0%} of its labels, others in {usual:.0%}"
        hit = np.flatnonzero((names == name) & against)
        found += [Suspect(int(row), "unreliable_source", why) for row in hit]
    return found
