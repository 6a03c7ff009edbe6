"""What a validator is: a named check of one answer against its request, made once per use case."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from feature_checks.strict_model import Strict
from feature_checks.usecase import UseCase
from services.privacy.detect import Detector
from services.values import Envelope

Options = TypeVar("Options", bound=Strict)

Check = Callable[[Mapping[str, object], Envelope], str | None]
"""(output, envelope) -> why the output is refused, or None. The reason never quotes the output."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """How a validator judges a text that is still being written.

    `check` gets an output that holds this one field, as far as it is there. What it says of the first part
    of a text must not change by what comes later, given `ahead` more characters that can be seen.
    """

    check: Check
    ahead: int = 0


def agrees(output: Mapping[str, object], envelope: Envelope) -> str | None:
    """The `Check` of a validator that has nothing to say about a field."""
    return None


def cannot(field: str) -> None:
    """No part of a text says what the whole will: the answer waits until it is complete."""


@dataclass(frozen=True, slots=True)
class Validator:
    """`own_text` says whether it also checks answers whose texts the use case's team approved. `prefix`
    makes of a text field's name how it judges that text while it is written, or None if it cannot."""

    name: str
    check: Check
    own_text: bool = False
    prefix: Callable[[str], Prefix | None] = cannot


@dataclass(frozen=True, slots=True)
class VerifyContext:
    """What validators are made from. `approved` are the team's own texts: templates and safe default."""

    usecase: UseCase
    detector: Detector
    approved: tuple[str, ...] = ()

    def options(self, of: type[Options]) -> Options:
        """What the use case says to the validator with these options; their defaults if it says nothing."""
        asked = (one.options for one in self.usecase.verify)
        return next((options for options in asked if isinstance(options, of)), None) or of()
