"""Has the world moved away from what a model was trained on? Pure: reference and window in, verdict out.

An alarm needs three things of a feature: an effect over its bound, so that a large window does not cry wolf
over a trifle; enough rows; and significance after Holm's correction for the number of features, so that a
small window does not either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from feature_checks.drift_measures import Floats, Measure, categories, embeddings, holm, numbers, vocabulary
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
    """Redacted texts with their embeddings (n, d): a classifier two-sample test, and new words."""

    values: Sequence[str] = field(repr=False)
    embedded: Floats = field(repr=False)


Feature = Numbers | Categories | Texts


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
    rows = min(len(one.values) for one in window.values())
    fewest = min(rows, *(len(one.values) for one in reference.values()))
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


def _measures(reference: Feature, window: Feature) -> list[Measure]:
    if isinstance(reference, Numbers) and isinstance(window, Numbers):
        return [numbers(reference.values, window.values)]
    if isinstance(reference, Texts) and isinstance(window, Texts):
        told_apart = embeddings(reference.embedded, window.embedded, window.values)
        return [told_apart, vocabulary(reference.values, window.values)]
    return [categories(tuple(map(str, reference.values)), tuple(map(str, window.values)))]


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
        if type(before) is not type(window[name]):
            kinds = f"{type(before).__name__}, {type(window[name]).__name__}"
            raise DriftInputError(f"{name}: reference and window are of different kinds ({kinds})")
        for where, one in (("reference", before), ("window", window[name])):
            if len(one.values) == 0:
                raise DriftInputError(f"{name}: the {where} is empty; there is nothing to compare")
            if isinstance(one, Numbers) and not np.isfinite(np.asarray(one.values, float)).all():
                raise DriftInputError(
                    f"{name}: the {where} holds numbers that are not finite; leave them out"
                )
            if isinstance(one, Texts) and len(one.embedded) != len(one.values):
                raise DriftInputError(f"{name}: the {where} needs one embedding for each text")


def _listed(features: Mapping[str, Feature]) -> str:
    return ", ".join(sorted(features)) or "none"
