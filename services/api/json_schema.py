"""A caller's JSON schema, made safe to run: bounded, without references, in the keywords that answers need.

An output is one flat object of scalars, so this is a subset of Draft 2020-12. What is not in it is refused,
never ignored: `pattern` above all, since a regular expression of a caller's can run for hours. References
are followed here, within the schema alone; what comes out holds none.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from services.api.fields import kind
from services.errors import InputError

MAX_PARTS = 1000  # subschemas, once references are followed, and values of all enums
MAX_DEPTH = 24  # of the same: how deep subschemas stand in one another
MAX_NAME = 128  # characters of a property's name

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
ANNOTATIONS = frozenset(
    {"$comment", "$schema", "default", "deprecated", "description", "examples", "format", "readOnly", "title",
     "writeOnly"}
)  # fmt: skip
"""Say nothing about what is valid: by the specification `format` does not either, unless one asks for it."""

_REFUSED = frozenset(
    {"$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$vocabulary", "contains", "contentEncoding",
     "contentMediaType", "contentSchema", "dependencies", "dependentRequired", "dependentSchemas", "else",
     "if", "maxContains", "minContains", "pattern", "patternProperties", "prefixItems", "propertyNames",
     "then", "unevaluatedItems", "unevaluatedProperties"}
)  # fmt: skip
"""Keywords that an error may repeat. Any other is the caller's text."""

Schema = dict[str, Any] | bool


class SchemaReader:
    """Reads one schema. `where` is its place in the request, for errors."""

    def __init__(self, where: str, root: object) -> None:
        self._where = where
        self._root = root
        self._parts = 0

    def read(self) -> Schema:
        """The schema without references and annotations. Raises `InputError`, which quotes no name of it."""
        return self._read(self._root, (), 1)

    def _read(self, node: object, followed: tuple[str, ...], depth: int) -> Schema:
        self._count(1)
        if depth > MAX_DEPTH:
            raise self._error(f"is too deep: expected at most {MAX_DEPTH} levels, references followed")
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            raise self._error(f"expected each subschema to be an object or a boolean, got {kind(node)}")
        made: dict[str, Any] = {}
        also: list[Schema] = []
        for keyword, value in node.items():
            if keyword == "$ref":
                also.append(self._follow(value, followed, depth))
            elif keyword == "properties":
                made[keyword] = self._properties(value, followed, depth)
            elif keyword in ("anyOf", "oneOf", "allOf"):
                made[keyword] = self._list(keyword, value, followed, depth)
            elif keyword in ("additionalProperties", "items", "not"):
                made[keyword] = self._read(value, followed, depth + 1)
            elif keyword in _SCALARS:
                made[keyword] = self._scalar(keyword, value)
            elif keyword not in ANNOTATIONS and keyword not in ("$defs", "definitions"):
                shown = f"'{keyword}'" if keyword in _REFUSED else "a keyword of it"
                raise self._error(f"{shown} is not supported here; check that part of the answer yourself")
        if also:
            made["allOf"] = [*made.get("allOf", ()), *also]
        return made

    def _follow(self, reference: object, followed: tuple[str, ...], depth: int) -> Schema:
        if not isinstance(reference, str):
            raise self._error(f"expected a $ref to be a string, got {kind(reference)}")
        place, _, name = reference.rpartition("/")
        group = self._root.get(place.removeprefix("#/")) if isinstance(self._root, dict) else None
        if place not in ("#/$defs", "#/definitions") or not isinstance(group, dict):
            raise self._error("a $ref may only lead to the schema's own #/$defs/<name>; nothing is fetched")
        name = name.replace("~1", "/").replace("~0", "~")
        if name not in group:
            raise self._error("a $ref leads to a definition that is not there")
        if reference in followed:
            raise self._error("a $ref leads back to itself; an answer is one flat object")
        return self._read(group[name], (*followed, reference), depth + 1)

    def _properties(self, value: object, followed: tuple[str, ...], depth: int) -> dict[str, Schema]:
        if not isinstance(value, dict):
            raise self._error(f"expected 'properties' to be an object, got {kind(value)}")
        if any(len(name) > MAX_NAME for name in value):
            raise self._error(f"expected names of properties of at most {MAX_NAME} characters")
        return {name: self._read(inside, followed, depth + 1) for name, inside in value.items()}

    def _list(self, keyword: str, value: object, followed: tuple[str, ...], depth: int) -> list[Schema]:
        if not isinstance(value, list) or not value:
            raise self._error(f"expected '{keyword}' to be an array of one schema or more")
        return [self._read(inside, followed, depth + 1) for inside in value]

    def _scalar(self, keyword: str, value: object) -> object:
        if isinstance(value, list):
            self._count(len(value))
        fits, expected = _SCALARS[keyword]
        if not fits(value):
            raise self._error(f"expected '{keyword}' to be {expected}")
        return value

    def _count(self, parts: int) -> None:
        self._parts += parts
        if self._parts > MAX_PARTS:
            raise self._error(f"is too large: expected at most {MAX_PARTS} parts, references followed")

    def _error(self, said: str) -> InputError:
        return InputError(self._where, f"{self._where}: {said}")


def types_of(schema: Schema) -> frozenset[str]:
    """The JSON types that a schema can accept at most; a `number` may be an `integer`."""
    if isinstance(schema, bool):
        return frozenset(TYPES) if schema else frozenset()
    types = frozenset(TYPES)
    if "type" in schema:
        named = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        types &= frozenset(named) | ({"integer"} if "number" in named else frozenset())
    if "const" in schema:
        types &= _types(schema["const"])
    if "enum" in schema:
        types &= frozenset().union(*(_types(value) for value in schema["enum"]))
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            types &= frozenset().union(*(types_of(inside) for inside in schema[keyword]))
    for inside in schema.get("allOf", ()):
        types &= types_of(inside)
    return types


def size(schema: Schema) -> int:
    """How many subschemas a value may have to be held against."""
    if isinstance(schema, bool):
        return 1
    inside = [part for keyword in ("anyOf", "oneOf", "allOf") for part in schema.get(keyword, ())]
    inside += [schema["not"]] if "not" in schema else []
    return 1 + sum(map(size, inside))


def _types(value: object) -> frozenset[str]:
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, int | float):
        whole = isinstance(value, int) or value.is_integer()
        return frozenset({"number", "integer"} if whole else {"number"})
    named = {type(None): "null", str: "string", list: "array"}.get(type(value), "object")
    return frozenset({named})


def _is_type(value: object) -> bool:
    named = value if isinstance(value, list) else [value]
    return bool(named) and all(isinstance(name, str) and name in TYPES for name in named)


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_Fits = tuple[Callable[[Any], bool], str]
_COUNT: _Fits = (_is_count, "a whole number from 0 on")
_NUMBER: _Fits = (_is_number, "a finite number")
_SCALARS: Mapping[str, _Fits] = {
    "type": (_is_type, f"one or more of {', '.join(TYPES)}"),
    "enum": (lambda value: isinstance(value, list) and bool(value), "an array of one value or more"),
    "const": (lambda value: True, "any value"),
    "required": (_is_names, "an array of names"),
    "multipleOf": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "uniqueItems": (lambda value: isinstance(value, bool), "true or false"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _NUMBER),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _COUNT
    ),
}
