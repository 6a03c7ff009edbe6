"""The output contract: exactly the use case's output fields, with their types, bounds and allowed values."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime

from feature_checks.usecase import FieldSpec, UseCase
from services.verify.base import Prefix, Validator, VerifyContext

FieldCheck = Callable[[object], str | None]


def contract(usecase: UseCase) -> Callable[[Mapping[str, object]], str | None]:
    """Why an output breaks the use case's output contract, or None."""
    checks = {
        name: (_field_check(spec, frozenset(usecase.allowed(name))), spec.required)
        for name, spec in usecase.output.items()
    }
    return _check(checks)


def make(context: VerifyContext) -> Validator:
    usecase = context.usecase
    breaks = contract(usecase)

    def prefix(field: str) -> Prefix | None:
        spec = usecase.output[field]
        if spec.type != "string" or usecase.allowed(field):
            return None
        so_far = _string(spec.model_copy(update={"min_length": 0}), frozenset())
        return Prefix(lambda output, _: so_far(output[field]))

    return Validator("output_schema", lambda output, _: breaks(output), own_text=True, prefix=prefix)


def _check(checks: Mapping[str, tuple[FieldCheck, bool]]) -> Callable[[Mapping[str, object]], str | None]:
    known = frozenset(checks)

    def check(output: Mapping[str, object]) -> str | None:
        if not output.keys() <= known:
            return f"{len(output.keys() - known)} fields that are not in the output contract"
        for name, (field_check, required) in checks.items():
            if name not in output:
                if required:
                    return f"field '{name}' is missing"
            elif (problem := field_check(output[name])) is not None:
                return f"field '{name}': {problem}"
        return None

    return check


def _field_check(spec: FieldSpec, allowed: frozenset[str]) -> FieldCheck:
    bounds = _bounds(spec)
    return {
        "string": _string(spec, allowed),
        "number": lambda value: _number(value) or bounds(value),
        "integer": lambda value: _integer(value) or bounds(value),
        "boolean": lambda value: None if isinstance(value, bool) else _expected("boolean", value),
        "timestamp": _timestamp,
    }[spec.type]


def _string(spec: FieldSpec, allowed: frozenset[str]) -> FieldCheck:
    shortest, longest = spec.min_length, spec.max_length

    def check(value: object) -> str | None:
        if not isinstance(value, str):
            return _expected("string", value)
        if not shortest <= len(value) <= longest:
            return f"expected {shortest} to {longest} characters, got {len(value)}"
        if not value.isascii() and not _is_unicode(value):
            return "is not valid Unicode"
        if allowed and value not in allowed:
            return f"is not one of its {len(allowed)} allowed values"
        return None

    return check


def _is_unicode(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can carry and nothing else can
        return False
    return True


def _bounds(spec: FieldSpec) -> FieldCheck:
    low = -math.inf if spec.minimum is None else spec.minimum
    high = math.inf if spec.maximum is None else spec.maximum

    def check(value: object) -> str | None:
        assert isinstance(value, int | float)
        return None if low <= value <= high else f"is outside {low} to {high}"

    return check


def _number(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _expected("number", value)
    return None if math.isfinite(value) else "is not a finite number"


def _integer(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return _expected("integer", value)
    return None


def _timestamp(value: object) -> str | None:
    if not isinstance(value, str):
        return _expected("timestamp", value)
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return "expected a time as ISO 8601 writes it"
    return None


def _expected(type_: str, value: object) -> str:
    return f"expected {type_}, got {type(value).__name__}"
