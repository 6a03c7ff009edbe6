"""Checks of one request's fields, made once from the use case's field specs.

Written out by hand because this is the hot path. No message holds a value, nor the name of an unknown
field, which is user input too: a slip in typing is answered with the known name that it is close to.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from feature_checks.usecase import FieldSpec, UseCase
from services.errors import InputError

Check = Callable[[Any], object]

_CLOSE = 0.7  # of difflib's ratio: one or two slips in a name
_LONGEST_NAME = 64  # what is longer than that is no slip in typing, and comparing it would cost
_INT64 = 2**63


class InputFields:
    """The input contract of one use case."""

    def __init__(self, usecase: UseCase) -> None:
        self._checks = {
            name: _check(f"input.{name}", spec, frozenset(usecase.values(spec)))
            for name, spec in usecase.input.items()
        }
        self._required = tuple(name for name, spec in usecase.input.items() if spec.required)

    def read(self, given: object) -> dict[str, object]:
        """The fields, checked; an optional field that is null or absent is left out. Raises `InputError`."""
        if not isinstance(given, dict):
            raise InputError("input", f"input: expected an object, got {kind(given)}")
        refuse_unknown("input", given, self._checks)
        for name in self._required:
            if name not in given:
                raise InputError(f"input.{name}", f"input.{name}: is missing")
        required = self._required
        return {
            name: self._checks[name](value)
            for name, value in given.items()
            if value is not None or name in required
        }


def refuse_unknown(where: str, given: Mapping[str, object], known: Iterable[str]) -> None:
    """Raises `InputError` for the first key of `given` that is not known."""
    known = tuple(known)
    for name in given:
        if name not in known:
            meant = did_you_mean(name, known)
            raise InputError(where, f"{where}: a field is not known{meant}; allowed: {', '.join(known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The known name that `name` is close to, as part of a sentence, or nothing; never `name` itself."""
    close = get_close_matches(name.lower(), known, 1, _CLOSE) if len(name) <= _LONGEST_NAME else []
    return f" (did you mean '{close[0]}'?)" if close else ""


def text(where: str, value: object, min_length: int, max_length: int) -> str:
    """A string within bounds; leading and trailing space does not count towards `min_length`."""
    if not isinstance(value, str):
        raise InputError(where, f"{where}: expected a string, got {kind(value)}")
    if len(value) > max_length:
        raise InputError(where, f"{where}: expected at most {max_length} characters, got {len(value)}")
    if len(value) < min_length or (min_length and len(value.strip()) < min_length):
        raise InputError(where, f"{where}: expected at least {min_length} characters other than space")
    return value


def number(where: str, value: object, minimum: float | None, maximum: float | None) -> float:
    """A finite number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(where, f"{where}: expected a number, got {kind(value)}")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        finite = False
    if not finite:
        raise InputError(where, f"{where}: expected a finite number")
    _bounds(where, value, minimum, maximum)
    return value


def integer(where: str, value: object, minimum: float | None, maximum: float | None) -> int:
    """A whole number of at most 64 bits within bounds; 3.0 is 3, as JSON Schema has it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(where, f"{where}: expected a whole number, got {kind(value)}")
    if not -_INT64 <= value < _INT64:
        raise InputError(where, f"{where}: expected a whole number of at most 64 bits")
    _bounds(where, value, minimum, maximum)
    return value


def kind(value: object) -> str:
    """What JSON calls the type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


def _check(where: str, spec: FieldSpec, values: frozenset[str]) -> Check:
    if spec.type == "string":
        return lambda value: _member(where, text(where, value, spec.min_length, spec.max_length), values)
    bounds = (spec.minimum, spec.maximum) if spec.beyond == "refused" else (None, None)
    if spec.type == "number":
        return lambda value: number(where, value, *bounds)
    if spec.type == "integer":
        return lambda value: integer(where, value, *bounds)
    if spec.type == "boolean":
        return lambda value: _boolean(where, value)
    return lambda value: _timestamp(where, value)


def _member(where: str, value: str, values: frozenset[str]) -> str:
    if values and value not in values:
        raise InputError(where, f"{where}: expected one of its {len(values)} allowed values")
    return value


def _boolean(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(where, f"{where}: expected true or false, got {kind(value)}")
    return value


def _timestamp(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(where, f"{where}: expected a time in ISO 8601, got {kind(value)}")
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise InputError(where, f"{where}: expected a time in ISO 8601, like 2026-11-22T09:30:00Z") from None
    return value


def _bounds(where: str, value: float, minimum: float | None, maximum: float | None) -> None:
    if minimum is not None and value < minimum:
        raise InputError(where, f"{where}: expected at least {minimum:g}")
    if maximum is not None and value > maximum:
        raise InputError(where, f"{where}: expected at most {maximum:g}")
