"""May this answer go out? Validators as small plugins, their order one visible list.

A refused answer goes on to the next target; it is never silently patched.
"""

from collections.abc import Callable, Mapping, Sequence

from services.values import Envelope
from services.verify import (
    allowed_amounts,
    allowed_values,
    language,
    length,
    no_injection,
    no_new_pii,
    output_schema,
)
from services.verify.base import Prefix, Validator, VerifyContext

VALIDATORS: Mapping[str, Callable[[VerifyContext], Validator]] = {
    "output_schema": output_schema.make,
    "length": length.make,
    "allowed_values": allowed_values.make,
    "no_new_pii": no_new_pii.make,
    "allowed_amounts": allowed_amounts.make,
    "language": language.make,
    "no_injection": no_injection.make,
}
"""Name in `verify:` of usecase.yaml -> its maker. They run in this order, a caller's own demands last."""

ALWAYS = "output_schema"  # the output contract holds whether a use case names it or not


def make_validators(context: VerifyContext) -> tuple[Validator, ...]:
    """The validators that a use case asks for, in the order above. Raises `ConfigError`."""
    wanted = {ALWAYS, *(one.name for one in context.usecase.verify)}
    return tuple(make(context) for name, make in VALIDATORS.items() if name in wanted)


def verify(
    validators: Sequence[Validator], output: Mapping[str, object], envelope: Envelope, *, own_text: bool
) -> str | None:
    """Why this output is refused (`validator: reason`), or None when all agree. First refusal wins."""
    for validator in validators:
        if own_text and not validator.own_text:
            continue
        if (reason := validator.check(output, envelope)) is not None:
            return f"{validator.name}: {reason}"
    return None


def prefixes(validators: Sequence[Validator], field: str) -> tuple[Prefix, ...] | None:
    """How these judge a model's text while it is written; None when one of them has to see the whole."""
    found = [validator.prefix(field) for validator in validators]
    return None if None in found else tuple(prefix for prefix in found if prefix is not None)


def names(validators: Sequence[Validator], *, own_text: bool) -> tuple[str, ...]:
    """The validators that such an answer is checked by, for the record."""
    return tuple(v.name for v in validators if v.own_text or not own_text)


__all__ = [
    "ALWAYS", "VALIDATORS", "Prefix", "Validator", "VerifyContext", "make_validators", "names", "prefixes",
    "verify",
]  # fmt: skip
