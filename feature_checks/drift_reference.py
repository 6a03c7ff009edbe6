"""What a model was trained on, as far as drift is told from it: small, signed with the model, without a text.

`reference.json` says which features there are and holds quantiles, counts and shares; `reference.npz` holds
arrays: embeddings of some texts in signed bytes with one scale a row, and words as 64-bit hashes.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from feature_checks.drift import Categories, Feature, KnownTexts, Numbers, Share, Texts
from feature_checks.drift_measures import Vocabulary
from feature_checks.errors import DriftInputError
from feature_checks.strict_model import Strict
from feature_checks.usecase import UseCase

FORMAT = 1
VALUES, ARRAYS = "reference.json", "reference.npz"
MOST_TEXTS = 2000
MOST_ROWS = 5000
_QUANTILES = 513


class _Quantiles(Strict):
    kind: Literal["numbers"]
    rows: int = Field(ge=1)
    quantiles: tuple[float, ...] = Field(min_length=2, strict=False)


class _Counts(Strict):
    kind: Literal["categories"]
    counts: Mapping[str, Annotated[int, Field(ge=1)]] = Field(min_length=1)


class _Words(Strict):
    kind: Literal["texts"]
    rows: int = Field(ge=1)
    unknown: tuple[int, int] = Field(strict=False)  # texts with a word of their own, and of how many


class _Share(Strict):
    kind: Literal["share"]
    hits: int = Field(ge=0)
    rows: int = Field(ge=1)


class _Document(Strict):
    format_version: Literal[1]
    use_case: str
    contract_version: str
    inputs: str
    embedding: str
    features: Mapping[str, Annotated[_Quantiles | _Counts | _Words | _Share, Field(discriminator="kind")]]


@dataclass(frozen=True, slots=True)
class Reference:
    """`inputs` names the form of the use case's fields, `embedding` what made the embeddings."""

    use_case: str
    contract_version: str
    inputs: str
    embedding: str
    features: Mapping[str, Feature] = field(repr=False)


def inputs_version(usecase: UseCase) -> str:
    """Changes with the name, the type or the closed values of an input field, and with nothing else: a new
    prompt is a new configuration, and makes no reference useless."""
    form: dict[str, object] = {n: [spec.type, usecase.values(spec)] for n, spec in usecase.input.items()}
    if usecase.features is not None:
        form["features"] = usecase.features.model_dump(
            mode="json", exclude={"columns": {"__all__": {"says"}}}
        )
    return hashlib.sha256(json.dumps(form, sort_keys=True).encode()).hexdigest()[:12]


def write_reference(reference: Reference) -> tuple[bytes, bytes]:
    """(reference.json, reference.npz); equal references are equal bytes."""
    arrays: dict[str, Any] = {}
    features = {name: _kept(name, one, arrays) for name, one in sorted(reference.features.items())}
    document = {
        "format_version": FORMAT,
        "use_case": reference.use_case,
        "contract_version": reference.contract_version,
        "inputs": reference.inputs,
        "embedding": reference.embedding,
        "features": features,
    }
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n", packed.getvalue()


def read_reference(values: bytes, arrays: bytes) -> Reference:
    """The reverse. Raises `DriftInputError` for what `write_reference` of this version did not write."""
    try:
        document = _Document.model_validate_json(values)
        with np.load(io.BytesIO(arrays), allow_pickle=False) as held:
            features = {name: _restored(name, one, held) for name, one in document.features.items()}
    except (ValidationError, ValueError, KeyError, OSError) as error:
        why = (
            "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)[:3]
            )
            if isinstance(error, ValidationError)
            else type(error).__name__
        )
        raise DriftInputError(
            f"{VALUES} of the model cannot be read ({why}); expected format {FORMAT}: train the model again"
        ) from None
    return Reference(
        document.use_case, document.contract_version, document.inputs, document.embedding, features
    )


def require_same_inputs(reference: Reference, usecase: UseCase) -> None:
    """Raises `DriftInputError` for a reference of another use case, or of other fields than are served."""
    if reference.use_case != usecase.name:
        raise DriftInputError(
            f"the model's reference is of use case '{reference.use_case}', expected '{usecase.name}'"
        )
    if reference.inputs != (served := inputs_version(usecase)):
        raise DriftInputError(
            f"the reference was made for input fields of version {reference.inputs} (contract "
            f"{reference.contract_version}), the use case now has {served} (contract {usecase.version}): the "
            f"two cannot be compared; train with this contract (`switchyard train {usecase.name}`) first"
        )


def _kept(name: str, one: Feature, arrays: dict[str, Any]) -> dict[str, Any]:
    match one:
        case Numbers():
            found = np.quantile(np.asarray(one.values, float), np.linspace(0, 1, _QUANTILES))
            return {
                "kind": "numbers",
                "rows": len(one.values),
                "quantiles": [round(q, 9) for q in found.tolist()],
            }
        case Categories():
            names, counts = np.unique(np.asarray(one.values, dtype=str), return_counts=True)
            return {"kind": "categories", "counts": dict(zip(names.tolist(), counts.tolist(), strict=True))}
        case Share():
            return {"kind": "share", "hits": one.hits, "rows": one.rows}
        case Texts():
            rows, step = len(one.values), -(-len(one.values) // MOST_TEXTS)
            vocabulary = Vocabulary.of(one.values)
            some = np.asarray(one.embedded, float)[::step]
            scales = np.maximum(np.abs(some).max(axis=1), 1e-12) / 127
            arrays[f"{name}/embedded"] = np.round(some / scales[:, None]).astype(np.int8)
            arrays[f"{name}/scales"] = scales.astype(np.float32)
            arrays[f"{name}/words"] = np.array(sorted(vocabulary.words), np.uint64)
            return {"kind": "texts", "rows": rows, "unknown": [vocabulary.hits, vocabulary.rows]}
    raise DriftInputError(f"{name}: what is kept of texts cannot be kept again")


def _restored(name: str, one: _Quantiles | _Counts | _Words | _Share, held: Any) -> Feature:
    if isinstance(one, _Quantiles):
        # Evenly spaced points of the distribution stand for its rows: as many as there were, up to a bound.
        places = np.linspace(0, 1, len(one.quantiles))
        points = (np.arange(min(one.rows, MOST_ROWS)) + 0.5) / min(one.rows, MOST_ROWS)
        return Numbers(np.interp(points, places, one.quantiles).tolist())
    if isinstance(one, _Counts):
        scale = min(1.0, 4 * MOST_ROWS / sum(one.counts.values()))
        return Categories([value for value, n in one.counts.items() for _ in range(max(1, round(n * scale)))])
    if isinstance(one, _Share):
        return Share(one.hits, one.rows)
    embedded = held[f"{name}/embedded"].astype(float) * held[f"{name}/scales"].astype(float)[:, None]
    words = frozenset(held[f"{name}/words"].tolist())
    return KnownTexts(embedded, Vocabulary(words, *one.unknown))
