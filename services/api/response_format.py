"""`response_format` of a chat request: the answer as JSON, in a shape that the caller's schema accepts.

The content is the use case's output fields as one JSON object: all of them, or, where the schema allows
no others (`additionalProperties: false`), those that it names. A schema that no output can satisfy is
refused before any work; an answer that breaks it is refused like one that breaks the output contract.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from feature_checks.usecase import FieldSpec, UseCase
from services.api.fields import did_you_mean, kind, refuse_unknown, text
from services.api.json_schema import Schema, SchemaReader, size, types_of
from services.errors import InputError

NAME = "response_format"
WHERE = "response_format.json_schema.schema"
MAX_TRIALS = 2000  # of values against subschemas, before any work: about 25 ms


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """JSON content: `fields` are those of the output that it holds. Without `validator` any values do."""

    fields: tuple[str, ...]
    validator: Draft202012Validator | None = field(default=None, repr=False)

    def content(self, output: Mapping[str, object]) -> str:
        """What the completion says, as JSON."""
        return json.dumps(self._selected(output), ensure_ascii=False, allow_nan=False)

    def problem(self, output: Mapping[str, object]) -> str | None:
        """Why this output, as its caller would read it, breaks the schema. Names our own fields at most."""
        if self.validator is None:
            return None
        try:
            error = next(self.validator.iter_errors(self._selected(output)), None)
        except Exception as unforeseen:  # noqa: BLE001  — a schema that cannot be run proves nothing of an answer
            return f"its schema could not be checked ({type(unforeseen).__name__})"
        if error is None:
            return None
        at = f"field '{error.path[0]}'" if error.path else "the answer"
        return f"{at} breaks the caller's schema at '{error.validator}'"

    def _selected(self, output: Mapping[str, object]) -> dict[str, object]:
        return {name: output[name] for name in self.fields if name in output}


def read_response_format(given: object, usecase: UseCase) -> ResponseFormat | None:
    """None for plain text. Raises `InputError` that names the place, never what stands there."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise InputError(NAME, f"{NAME}: expected an object, got {kind(given)}")
    type_ = given.get("type")
    if type_ in ("text", "json_object"):
        refuse_unknown(NAME, given, ("type",))
        return None if type_ == "text" else ResponseFormat(tuple(usecase.output))
    if type_ != "json_schema":
        raise InputError(f"{NAME}.type", f"{NAME}.type: expected one of text, json_object, json_schema")
    refuse_unknown(NAME, given, ("type", "json_schema"))
    named = given.get("json_schema")
    if not isinstance(named, dict):
        raise InputError(f"{NAME}.json_schema", f"{NAME}.json_schema: expected an object, got {kind(named)}")
    refuse_unknown(f"{NAME}.json_schema", named, ("name", "description", "schema", "strict"))
    text(f"{NAME}.json_schema.name", named.get("name"), 1, 64)
    if "schema" not in named:
        raise InputError(WHERE, f"{WHERE}: is missing")
    return _fitted(SchemaReader(WHERE, named["schema"]).read(), usecase)


def _fitted(schema: Schema, usecase: UseCase) -> ResponseFormat:
    """Refuses a schema that no output of this use case can satisfy, as far as that can be seen at once."""
    while isinstance(schema, dict) and schema.keys() == {"allOf"} and len(schema["allOf"]) == 1:
        schema = schema["allOf"][0]  # a root that is nothing but a reference
    if isinstance(schema, bool) or "object" not in types_of(schema):
        raise InputError(WHERE, f"{WHERE}: expected a schema of type object: an answer is one")
    answers = ", ".join(usecase.output)
    properties, required = schema.get("properties", {}), schema.get("required", ())
    for name in required:
        if name not in usecase.output:
            meant = did_you_mean(name, usecase.output)
            raise InputError(
                WHERE, f"{WHERE}: requires a field that this use case does not answer{meant}: {answers}"
            )
    others = schema.get("additionalProperties", True)
    fields = tuple(name for name in usecase.output if name in properties or others is not False)
    if not fields:
        raise InputError(WHERE, f"{WHERE}: names no field that this use case answers: {answers}")
    for name in fields:
        spec = usecase.output[name]
        if not (spec.required or name in required):
            continue
        if not _may_hold(properties.get(name, others), spec, usecase.allowed(name)):
            raise InputError(
                f"{WHERE}.properties.{name}",
                f"{WHERE}.properties.{name}: no value of this field can satisfy it; it is {_described(spec)}",
            )
    return ResponseFormat(fields, Draft202012Validator(schema))


_JSON_TYPES = {
    "string": {"string"},
    "timestamp": {"string"},
    "number": {"number", "integer"},
    "integer": {"integer"},
    "boolean": {"boolean"},
}


def _may_hold(schema: Schema, spec: FieldSpec, allowed: tuple[str, ...]) -> bool:
    """False only where it is certain that no value of the field satisfies the schema."""
    if types_of(schema).isdisjoint(_JSON_TYPES[spec.type]):
        return False
    candidates: tuple[Any, ...] | None = allowed or ((True, False) if spec.type == "boolean" else None)
    if isinstance(schema, bool):
        return schema
    if candidates is None and "enum" in schema:
        candidates = tuple(value for value in schema["enum"] if _is_of(value, spec))
    if candidates is not None:
        if len(candidates) * size(schema) > MAX_TRIALS:
            return True  # too dear to be certain of beforehand: the answer itself will be checked
        validator = Draft202012Validator(schema)
        return any(validator.is_valid(value) for value in candidates)
    if spec.type == "string":
        return bool(
            schema.get("minLength", 0) <= spec.max_length
            and schema.get("maxLength", spec.max_length) >= spec.min_length
        )
    if spec.type in ("number", "integer"):
        return _bounds_meet(schema, spec)
    return True


def _is_of(value: object, spec: FieldSpec) -> bool:
    if spec.type in ("string", "timestamp"):
        return isinstance(value, str) and (spec.type == "timestamp" or _length_fits(value, spec))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _length_fits(value: str, spec: FieldSpec) -> bool:
    return spec.min_length <= len(value) <= spec.max_length


def _bounds_meet(schema: dict[str, Any], spec: FieldSpec) -> bool:
    lows = (schema.get("minimum"), schema.get("exclusiveMinimum"), spec.minimum)
    highs = (schema.get("maximum"), schema.get("exclusiveMaximum"), spec.maximum)
    low = max((bound for bound in lows if bound is not None), default=None)
    high = min((bound for bound in highs if bound is not None), default=None)
    return bool(low is None or high is None or low <= high)


def _described(spec: FieldSpec) -> str:
    return f"a {spec.type}" + (", one of a closed list" if spec.values else "")
