"""Approved texts of a use case: label -> text, one file for each templated output field."""

from collections.abc import Mapping

import yaml

from feature_checks.errors import UseCaseError
from feature_checks.usecase import UseCase
from services.errors import ConfigError

Templates = Mapping[str, Mapping[str, str]]
"""Output field -> label -> approved text."""


def load_templates(usecase: UseCase) -> Templates:
    """Read and check every template file. Raises `ConfigError` that names the file and what is wrong."""
    return {
        name: _load(usecase, name, spec.template)
        for name, spec in usecase.output.items()
        if spec.template is not None
    }


def _load(usecase: UseCase, field: str, relative: str) -> Mapping[str, str]:
    shown = f"{usecase.name}/{relative}"
    try:
        raw = yaml.safe_load(usecase.path(relative).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, UseCaseError, yaml.YAMLError) as error:
        raise ConfigError(f"{shown}: cannot be read as YAML ({type(error).__name__})") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{shown}: expected label: text, got {type(raw).__name__}")
    allowed, spec = usecase.allowed(usecase.label), usecase.output[field]
    for label, text in raw.items():
        if not isinstance(label, str) or not isinstance(text, str):
            raise ConfigError(f"{shown}: {label}: expected text for a label; put both in quotes")
        if allowed and label not in allowed:
            raise ConfigError(f"{shown}: {label}: is not among the {len(allowed)} allowed labels")
        if not spec.min_length <= len(text.strip()) <= spec.max_length:
            bounds = f"{spec.min_length} to {spec.max_length}"
            raise ConfigError(f"{shown}: {label}: expected {bounds} characters, got {len(text)}")
    return {label: text.strip() for label, text in raw.items()}
