"""How much may one label, or one tenant, count among what is learned? Pure, and drawn with a seed."""

from collections.abc import Sequence

import numpy as np

from feature_checks.suspects import Bools


def balanced(labels: Sequence[str], weak: Sequence[bool], most: int, seed: int) -> Bools:
    """Which rows stay when no label may have more than `most`: strong labels first, then by lot."""
    kept = np.zeros(len(labels), bool)
    for rows in _groups(labels):
        order = _shuffled(rows, seed)
        order = sorted(order, key=lambda row: weak[row])
        kept[order[:most]] = True
    return kept


def capped(labels: Sequence[str], tenants: Sequence[str], share: float, seed: int, fewest: int = 5) -> Bools:
    """Which rows stay when no tenant may hold more than `share` of a label's rows.

    A tenant that is alone with a label keeps up to `fewest` rows of it: a cap cannot make others speak.
    """
    kept = np.ones(len(labels), bool)
    names = np.asarray(tenants, dtype=object)
    for rows in _groups(labels):
        own = {name: rows[names[rows] == name] for name in sorted(set(names[rows].tolist()))}
        for of_tenant in own.values():
            others = len(rows) - len(of_tenant)
            allowed = len(of_tenant) if share >= 1 else max(fewest, int(share / (1 - share) * others))
            kept[_shuffled(of_tenant, seed)[allowed:]] = False
    return kept


def _groups(labels: Sequence[str]) -> list[np.ndarray]:
    names = np.asarray(labels, dtype=object)
    return [np.flatnonzero(names == name) for name in sorted(set(labels))]


def _shuffled(rows: np.ndarray, seed: int) -> list[int]:
    return [int(row) for row in np.random.default_rng(seed).permutation(rows)]
