"""Rows as the features that drift is told from: the same for the rows of training and for those of a window.

`input.<field>` by the field's type, `feature.<name>` for declared features that do not only say when, then
what the local model says of the rows: `prediction.label` and `prediction.confidence`, and
`operations.declined`, how often it is not sure enough to answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_checks.drift import Categories, Feature, Numbers, Share, Texts
from feature_checks.usecase import FieldSpec, UseCase
from flows.embedding import Embedder

_WHEN = frozenset({"hour", "weekend", "night"})

Columns = Mapping[str, Sequence[Any]]
"""Input field -> its values, None where a row has none."""


def input_features(
    columns: Columns, usecase: UseCase, embed: Embedder, names: Sequence[str] = ()
) -> dict[str, Feature]:
    """A feature for each input field that has a distribution; a time has none. A field that may be missing
    has one more, of how often it is. `names` stand for the rows where examples are shown."""
    found: dict[str, Feature] = {}
    for field, spec in usecase.input.items():
        if field in _only_names(usecase):
            continue
        values = columns[field]
        there = [at for at, value in enumerate(values) if _is_there(value)]
        # An optional field that no row has is described by how often it is missing, all the time.
        if there and (made := _feature(field, spec, values, there, embed, names)) is not None:
            found[f"input.{field}"] = made
        if not spec.required:
            found[f"input.{field} missing"] = Share(len(values) - len(there), len(values))
    return found


def event_features(columns: Columns, usecase: UseCase) -> dict[str, Feature]:
    """`feature.<name>` of `columns` (feature -> its values). Those that say when an event was are left out: a
    window is a moment, and always looks unlike a month."""
    found: dict[str, Feature] = {}
    for name, spec in usecase.features.columns.items() if usecase.features else ():
        there = [float(value) for value in columns[name] if _is_there(value)]
        if spec.kind not in _WHEN and there:
            found[f"feature.{name}"] = Numbers(there)
    return found


def prediction_features(
    probabilities: npt.NDArray[Any],
    confidence: npt.NDArray[Any],
    labels: Sequence[str],
    threshold: "float | npt.NDArray[Any]",
) -> dict[str, Feature]:
    """What the model says; `probabilities` is (n, k) in the order of `labels`, `confidence` (n,) as it is
    served, `threshold` one for all or one for each row."""
    said = [labels[at] for at in probabilities.argmax(axis=1).tolist()]
    return {
        "prediction.label": Categories(said),
        "prediction.confidence": Numbers(confidence.tolist()),
        "operations.declined": Share(int((confidence < threshold).sum()), len(said)),
    }


def _feature(
    field: str,
    spec: FieldSpec,
    values: Sequence[Any],
    there: Sequence[int],
    embed: Embedder,
    names: Sequence[str],
) -> Feature | None:
    kept = [values[at] for at in there]
    if spec.type in ("number", "integer"):
        return Numbers([float(value) for value in kept])
    if spec.type == "boolean" or spec.values is not None:
        return Categories([str(value) for value in kept])
    if spec.type == "string":
        texts = [str(value) for value in kept]
        return Texts(texts, embed(texts), [names[at] for at in there] if names else ())
    return None


def _only_names(usecase: UseCase) -> frozenset[str]:
    """Fields that tell one event or key from another, and are no quantity."""
    spec = usecase.features
    own = {spec.id, *spec.key_fields} if spec else set()
    return frozenset(own | {name for name, field in usecase.input.items() if "identifier" in field.tags})


def _is_there(value: Any) -> bool:
    if value is None:
        return False
    return bool(np.isfinite(value)) if isinstance(value, float) else True
