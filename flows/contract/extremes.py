"""Inputs at and beyond the edges of a use case's feature contract, made from its fields alone. Pure."""

import math
from collections.abc import Mapping

from feature_checks.usecase import FieldSpec, UseCase

Row = Mapping[str, object]

_HUGE = 1e308
_TEXTS = (
    "\u0000", "🏦" * 40, "\u202e\u200b\u0301 x", "中文 العربية", "<CARD_1> " * 30, "'; DROP TABLE x; --",
    "\n\t ",
)  # fmt: skip


def inside(usecase: UseCase) -> list[Row]:
    """Rows that the contract allows, one field at an extreme at a time."""
    usual = {name: _usual(spec, usecase) for name, spec in usecase.seen_fields.items()}
    rows: list[Row] = [usual]
    for name, spec in usecase.seen_fields.items():
        rows += [{**usual, name: value} for value in _edges(spec, usecase)]
    return rows


def outside(usecase: UseCase) -> list[Row]:
    """Rows that the door refuses, and a model may see all the same should the door ever fail."""
    usual = {name: _usual(spec, usecase) for name, spec in usecase.seen_fields.items()}
    rows: list[Row] = [{}]
    for name, spec in usecase.seen_fields.items():
        rows.append({field: value for field, value in usual.items() if field != name})
        rows += [{**usual, name: value} for value in (None, [], {}, *_beyond(spec))]
    return rows


def _usual(spec: FieldSpec, usecase: UseCase) -> object:
    if values := usecase.values(spec):
        return values[0]
    if spec.type == "string":
        return "word".ljust(spec.min_length, "x")[: spec.max_length]
    if spec.type == "boolean":
        return True
    if spec.type == "timestamp":
        return "2026-01-01T00:00:00Z"
    low, high = _bounds(spec)
    middle = low if math.isinf(high) else (low + high) / 2
    return int(middle) if spec.type == "integer" else middle


def _edges(spec: FieldSpec, usecase: UseCase) -> list[object]:
    if values := usecase.values(spec):
        return [values[0], values[-1]]
    if spec.type == "string":
        long = [letter * spec.max_length for letter in ("a", " ", "é", "ab ")]
        texts = [*long, *_TEXTS, "a" * spec.min_length]
        return [text[: spec.max_length] for text in texts if len(text) >= spec.min_length]
    if spec.type == "boolean":
        return [True, False]
    if spec.type == "timestamp":
        return ["1970-01-01T00:00:00Z", "2099-12-31T23:59:59Z"]
    low, high = _bounds(spec)
    found = [value for value in (low, 0.0, high) if math.isfinite(value) and low <= value <= high]
    return [int(value) for value in found] if spec.type == "integer" else list(found)


def _beyond(spec: FieldSpec) -> list[object]:
    if spec.type == "string":
        return ["", "a" * (2 * spec.max_length), "\ud800", math.nan, 7, b"bytes"]
    return [math.nan, math.inf, -math.inf, _HUGE, -_HUGE, "text"]


def _bounds(spec: FieldSpec) -> tuple[float, float]:
    low = -math.inf if spec.minimum is None else spec.minimum
    high = math.inf if spec.maximum is None else spec.maximum
    return (max(low, -1e9) if math.isinf(low) else low, high)
