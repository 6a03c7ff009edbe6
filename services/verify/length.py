"""Bounds for what a model writes, field by field: tighter than the output contract, which is for all."""

from collections.abc import Mapping

from feature_checks.verification import FieldLength, Length
from services.values import Envelope
from services.verify.base import Prefix, Validator, VerifyContext, agrees


def make(context: VerifyContext) -> Validator:
    fields = context.options(Length).fields

    def check(output: Mapping[str, object], envelope: Envelope) -> str | None:
        for name, bounds in fields.items():
            value = output.get(name)
            if isinstance(value, str) and (problem := _too_short(value, bounds) or _too_long(value, bounds)):
                return f"field '{name}': {problem}"
        return None

    def prefix(field: str) -> Prefix:
        if field not in fields:
            return Prefix(agrees)
        return Prefix(lambda output, _: _too_long(str(output[field]), fields[field]))

    return Validator("length", check, prefix=prefix)


def _too_short(text: str, bounds: FieldLength) -> str | None:
    if len(text) < bounds.min_characters:
        return f"expected at least {bounds.min_characters} characters, got {len(text)}"
    return None


def _too_long(text: str, bounds: FieldLength) -> str | None:
    if bounds.max_characters is not None and len(text) > bounds.max_characters:
        return f"expected at most {bounds.max_characters} characters, got {len(text)}"
    if bounds.max_words is not None and (words := len(text.split())) > bounds.max_words:
        return f"expected at most {bounds.max_words} words, got {words}"
    return None
