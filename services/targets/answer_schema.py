"""What a cloud model must answer: the use case's JSON schema, narrowed to its output contract."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from feature_checks.usecase import UseCase
from services.errors import ConfigError, TargetFailed
from services.verify.output_schema import contract

_BOUNDS = frozenset({
    "$schema", "$id", "title", "minLength", "maxLength", "pattern", "format", "minimum", "maximum",
    "minItems", "maxItems",
})  # fmt: skip
"""Keywords that strict structured output refuses at some endpoints. We check them ourselves."""


OF_THE_ANSWER = frozenset({"bad_json", "bad_schema", "truncated", "unfinished", "empty"})
"""Kinds of failure that lie in what a model wrote, and so in model, prompt or schema: not in its endpoint."""


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """`on_the_wire` is the response_format that is sent; `parse` checks an answer against the whole."""

    on_the_wire: Mapping[str, Any]
    validator: Draft202012Validator
    contract: Callable[[Mapping[str, object]], str | None]

    def parse(self, text: str) -> dict[str, object]:
        """An answer as text to output fields. Raises `TargetFailed`, never with what the answer says."""
        try:
            value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_key_twice)
        except (ValueError, RecursionError):
            raise TargetFailed("bad_json", "its answer is not JSON") from None
        problem = next(self.validator.iter_errors(value), None)
        if problem is not None:
            # The path may hold keys that the model made up; the rule's name never does.
            raise TargetFailed("bad_schema", f"its answer breaks the output schema at '{problem.validator}'")
        output = dict(value)
        if broken := self.contract(output):
            # Here and not only in `verify`: whoever breaks the contract has failed as an endpoint.
            raise TargetFailed("bad_schema", f"its answer breaks the output contract: {broken}")
        return output


def load_answer_schema(usecase: UseCase) -> AnswerSchema:
    """Read and check the output schema. Closed fields get their allowed values from the use case.

    Raises `ConfigError` that names the file, what was expected and what was found.
    """
    assert usecase.cloud is not None
    shown = f"{usecase.name}/{usecase.cloud.output_schema}"
    try:
        schema = json.loads(usecase.path(usecase.cloud.output_schema).read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schema)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{shown}: cannot be read as JSON ({type(error).__name__})") from error
    except SchemaError as error:
        raise ConfigError(f"{shown}: is not a JSON schema: {error.message}") from error
    _check_shape(shown, schema, usecase)
    for name, prop in schema["properties"].items():
        if allowed := usecase.allowed(name):
            prop["enum"] = list(allowed)
    wire = {
        "type": "json_schema",
        "json_schema": {"name": usecase.name, "strict": True, "schema": _without_bounds(schema)},
    }
    return AnswerSchema(wire, Draft202012Validator(schema), contract(usecase))


def _check_shape(shown: str, schema: Any, usecase: UseCase) -> None:
    """Strict: exactly the output fields, all required, nothing more."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise ConfigError(f"{shown}: expected type 'object'")
    properties, fields = schema.get("properties", {}), set(usecase.output)
    if differ := set(properties) ^ fields:
        raise ConfigError(
            f"{shown}: properties must be exactly the output fields; differs in {', '.join(sorted(differ))}"
        )
    if set(schema.get("required", ())) != fields or schema.get("additionalProperties") is not False:
        raise ConfigError(f"{shown}: expected every property in 'required', and additionalProperties: false")


def _without_bounds(schema: Any, names: bool = False) -> Any:
    """The schema without `_BOUNDS`; inside `properties` the keys are names, and all of them stay."""
    if isinstance(schema, dict):
        return {
            key: _without_bounds(value, names=key == "properties" and not names)
            for key, value in schema.items()
            if names or key not in _BOUNDS
        }
    if isinstance(schema, list):
        return [_without_bounds(value) for value in schema]
    return schema


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A field that is given twice is two answers, and readers differ in which one they take."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is given twice")
    return value
