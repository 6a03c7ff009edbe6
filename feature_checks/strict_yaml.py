"""Reads YAML strictly, and says what is wrong in terms of the file: key, what is allowed, where."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from feature_checks.errors import UseCaseError


def read_mapping(file: Path, shown: str) -> dict[str, Any]:
    """The mapping that a YAML file holds. Raises `UseCaseError` that starts with `shown`."""
    try:
        raw = yaml.load(file.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506  — a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UseCaseError(f"{shown}: is not YAML in UTF-8: {_brief(error)}") from error
    except OSError as error:
        raise UseCaseError(f"{shown}: cannot be read: {error.strerror}") from error
    if not isinstance(raw, dict):
        raise UseCaseError(f"{shown}: expected a mapping of keys, got {type(raw).__name__}")
    if odd := [key for key in raw if not isinstance(key, str)]:
        raise UseCaseError(f"{shown}: expected keys that are text, got {type(odd[0]).__name__}")
    return raw


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Every problem of a validation, each naming its key; never the value that was given."""
    return "; ".join(
        _explain_one(problem, model) for problem in error.errors(include_input=False, include_url=False)
    )


def allowed_keys(model: type[BaseModel]) -> str:
    """The keys that a part may have, as a list for people."""
    return ", ".join(name for name, field in model.model_fields.items() if not field.exclude)


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, which YAML would silently overwrite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def _explain_one(problem: Any, model: type[BaseModel]) -> str:
    path = [str(part) for part in problem["loc"]]
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        owner = _model_at(model, path[:-1])
        known = f"; allowed: {allowed_keys(owner)}" if owner else ""
        return f"key '{key}' is not known{known}"
    if problem["type"] == "missing":
        return f"key '{key}' is missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _model_at(model: type[BaseModel], path: list[str]) -> type[BaseModel] | None:
    """The part that owns a key path such as ['data', 'full', 'train'] or ['input', 'text']."""
    for at, name in enumerate(path):
        field = model.model_fields.get(name)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return None
        if _is_mapping(field.annotation if field else None):
            return _model_at(inner, path[at + 2 :])  # what follows is a key of the mapping
        model = inner
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation: itself, or in `X | None`, or the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)


def _is_mapping(annotation: Any) -> bool:
    origin = getattr(annotation, "__origin__", None)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _brief(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{getattr(error, 'problem', None) or type(error).__name__}{where}"
