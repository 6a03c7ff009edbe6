"""Has the world moved away from what a model was trained on? Pure: reference and window in, verdict out.

An alarm needs three things of a feature: an effect over its bound, so that a large window does not cry wolf
over a trifle; enough rows; and significance after Holm's correction for the number of features, so that a
small window does not either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from feature_checks.drift_measures import (
    Floats,
    Measure,
    Vocabulary,
    categories,
    embeddings,
    holm,
    numbers,
    shares,
    vocabulary,
)
from feature_checks.errors import DriftInputError

BOUND = 0.2
LEVEL = 0.05
MIN_ROWS = 100


@dataclass(frozen=True, slots=True)
class Numbers:
    """A numeric feature: compared by Kolmogorov and Smirnov's distance."""

    values: Sequence[float] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Categories:
    """A categorical feature, such as the label mix: compared by PSI or Jensen and Shannon's distance."""

    values: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Texts:
    """Redacted texts with their embeddings (n, d): a classifier two-sample test, and new words.

    `names` stand for the texts in what is shown: ids of decisions. Without them, the texts are shown.
    """

    values: Sequence[str] = field(repr=False)
    embedded: Floats = field(repr=False)
    names: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class KnownTexts:
    """What is kept of texts as a reference: embeddings (n, d) of some, and the words of all as hashes."""

    embedded: Floats = field(repr=False)
    vocabulary: Vocabulary = field(repr=False)


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many rows: an alarm only where it grows, such as wrong answers."""

    hits: int
    rows: int


Feature = Numbers | Categories | Texts | KnownTexts | Share


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One measure of one feature; `adjusted` is its p-value after correction."""

    feature: str
    measure: str
    size: float
    bound: float
    adjusted: float
    drifted: bool
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DriftVerdict:
    """`features` are all that were measured, the furthest first. Too few rows: nothing is measured."""

    drifted: bool
    reason: str
    rows: int
    features: tuple[FeatureDrift, ...] = ()


def drift_verdict(
    reference: Mapping[str, Feature],
    window: Mapping[str, Feature],
    bounds: Mapping[str, float] | None = None,
    level: float = LEVEL,
    min_rows: int = MIN_ROWS,
) -> DriftVerdict:
    """Compare a window with its reference. `bounds` by feature; others have 0.2.

    Raises `DriftInputError` where the two do not have the same features, or one of them has no rows.
    """
    _check(reference, window)
    rows = min(size(one) for one in window.values())
    fewest = min(rows, *(size(one) for one in reference.values()))
    if fewest < min_rows:
        return DriftVerdict(False, f"not known: {fewest} rows, at least {min_rows} are needed", rows)
    measured = {
        (name, found.name): found for name in reference for found in _measures(reference[name], window[name])
    }
    adjusted = holm({f"{name}/{measure}": found.p_value for (name, measure), found in measured.items()})
    features = [
        _judged(name, found, (bounds or {}).get(name, BOUND), adjusted[f"{name}/{measure}"], level)
        for (name, measure), found in measured.items()
    ]
    features.sort(key=lambda one: (not one.drifted, -one.size / one.bound, one.feature))
    moved = [
        f"{one.feature} ({one.measure} {one.size:.2f} > {one.bound:g})" for one in features if one.drifted
    ]
    reason = f"drifted: {', '.join(moved)}" if moved else "no feature moved beyond its bound"
    return DriftVerdict(bool(moved), reason, rows, tuple(features))


def size(feature: Feature) -> int:
    """How many rows it is made of."""
    if isinstance(feature, Share):
        return feature.rows
    return len(feature.embedded) if isinstance(feature, KnownTexts) else len(feature.values)


def _measures(reference: Feature, window: Feature) -> list[Measure]:
    match reference, window:
        case Numbers(), Numbers():
            return [numbers(reference.values, window.values)]
        case Share(), Share():
            return [shares((reference.hits, reference.rows), (window.hits, window.rows))]
        case Categories(), Categories():
            return [categories(tuple(map(str, reference.values)), tuple(map(str, window.values)))]
        case ((Texts() | KnownTexts()), Texts()):
            known = (
                reference.vocabulary if isinstance(reference, KnownTexts) else Vocabulary.of(reference.values)
            )
            names = window.names or window.values
            return [embeddings(reference.embedded, window.embedded, names), vocabulary(known, window.values)]
    raise DriftInputError("a window holds texts, not what is kept of them")


def _judged(name: str, found: Measure, bound: float, adjusted: float, level: float) -> FeatureDrift:
    drifted = found.size > bound and adjusted < level
    return FeatureDrift(name, found.name, found.size, bound, adjusted, drifted, found.examples)


def _check(reference: Mapping[str, Feature], window: Mapping[str, Feature]) -> None:
    if not reference or reference.keys() != window.keys():
        raise DriftInputError(
            f"reference and window must have the same features; reference: {_listed(reference)}, "
            f"window: {_listed(window)}; make the reference anew with the contract that is served"
        )
    for name, before in reference.items():
        texts = isinstance(before, KnownTexts) and isinstance(window[name], Texts)
        if type(before) is not type(window[name]) and not texts:
            kinds = f"{type(before).__name__}, {type(window[name]).__name__}"
            raise DriftInputError(f"{name}: reference and window are of different kinds ({kinds})")
        for where, one in (("reference", before), ("window", window[name])):
            if size(one) == 0:
                raise DriftInputError(f"{name}: the {where} is empty; there is nothing to compare")
            if isinstance(one, Numbers) and not np.isfinite(np.asarray(one.values, float)).all():
                raise DriftInputError(
                    f"{name}: the {where} holds numbers that are not finite; leave them out"
                )
            if isinstance(one, Texts) and len(one.embedded) != len(one.values):
                raise DriftInputError(f"{name}: the {where} needs one embedding for each text")


def _listed(features: Mapping[str, Feature]) -> str:
    return ", ".join(sorted(features)) or "none"
