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
class Validator:
    """`own_text` says whether it also checks answers whose texts the use case's team approved."""

    name: str
    check: Check
    own_text: bool = False


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
