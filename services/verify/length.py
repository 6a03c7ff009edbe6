"""Bounds for what a model writes, field by field: tighter than the output contract, which is for all."""

from collections.abc import Mapping

from feature_checks.verification import FieldLength, Length
from services.values import Envelope
from services.verify.base import Validator, VerifyContext


def make(context: VerifyContext) -> Validator:
    fields = context.options(Length).fields

    def check(output: Mapping[str, object], envelope: Envelope) -> str | None:
        for name, bounds in fields.items():
            value = output.get(name)
            if isinstance(value, str) and (problem := _problem(value, bounds)):
                return f"field '{name}': {problem}"
        return None

    return Validator("length", check)


def _problem(text: str, bounds: FieldLength) -> str | None:
    if len(text) < bounds.min_characters:
        return f"expected at least {bounds.min_characters} characters, got {len(text)}"
    if bounds.max_characters is not None and len(text) > bounds.max_characters:
        return f"expected at most {bounds.max_characters} characters, got {len(text)}"
    if bounds.max_words is not None and (words := len(text.split())) > bounds.max_words:
        return f"expected at most {bounds.max_words} words, got {words}"
    return None
