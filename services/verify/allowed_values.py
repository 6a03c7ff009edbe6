"""Closed sets: a field may hold one of the listed values, or what stands in the request word for word.

An order number that nobody gave, or a product that does not exist, is an invention however well it reads.
"""

from collections.abc import Callable, Mapping

from feature_checks.usecase import FieldSpec
from feature_checks.verification import AllowedValues, ClosedSet
from services.privacy.normalise import normalise
from services.values import Envelope
from services.verify.base import Prefix, Validator, VerifyContext, agrees

FieldCheck = Callable[[str, Envelope], str | None]


def make(context: VerifyContext) -> Validator:
    checks = {name: _check(closed, context) for name, closed in context.options(AllowedValues).fields.items()}

    def check(output: Mapping[str, object], envelope: Envelope) -> str | None:
        for name, field_check in checks.items():
            value = output.get(name)
            if isinstance(value, str) and (problem := field_check(value, envelope)):
                return f"field '{name}': {problem}"
        return None

    return Validator(
        "allowed_values", check, prefix=lambda field: None if field in checks else Prefix(agrees)
    )


def stands_in(value: str, text: str) -> bool:
    """Does `value` stand in `text` as whole words? Case, width and invisible characters do not matter."""
    wanted, found = _plain(value), _plain(text)
    if not wanted:
        return False
    at = found.find(wanted)
    while at >= 0:
        end = at + len(wanted)
        if not _inside_a_word(found, at) and not _inside_a_word(found, end):
            return True
        at = found.find(wanted, at + 1)
    return False


def _check(closed: ClosedSet, context: VerifyContext) -> FieldCheck:
    if closed.from_input:
        return _from_input(closed.from_input)
    listed = FieldSpec(type="string", values=closed.file)
    allowed = frozenset(closed.values or context.usecase.values(listed))
    said = f"is not one of its {len(allowed)} allowed values"
    return lambda value, envelope: None if value in allowed else said


def _from_input(fields: tuple[str, ...]) -> FieldCheck:
    said = f"does not stand in the request's {' or '.join(fields)}"

    def check(value: str, envelope: Envelope) -> str | None:
        given = (envelope.fields.get(name) for name in fields)
        return None if any(stands_in(value, str(text)) for text in given if text is not None) else said

    return check


def _plain(text: str) -> str:
    return " ".join(normalise(text).text.casefold().split())


def _inside_a_word(text: str, at: int) -> bool:
    return 0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum()
