"""What `local.federated:` of usecase.yaml may say: a score that a device or a partner works out itself."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from feature_checks.strict_model import Strict

if TYPE_CHECKING:
    from feature_checks.usecase import FieldSpec


class FederatedSpec(Strict):
    """`score` names an optional input field from 0 to 1: how sure the sender is of the second label (of
    `features.positive` where features are declared). `says` tells people what it means; `{value}` stands
    for it."""

    score: str
    says: str = Field(default="the sender's own score is {value:.2f}", max_length=200)

    @field_validator("says")
    @classmethod
    def _only_value(cls, says: str) -> str:
        try:
            says.format(value=1.0)
        except (KeyError, IndexError, ValueError):
            raise ValueError("expected text in which only {value} stands in braces") from None
        return says

    def misfit(self, inputs: "Mapping[str, FieldSpec]") -> str | None:
        """What does not fit the use case's input fields, or None."""
        field = inputs.get(self.score)
        if field is None or field.type != "number" or field.required:
            return f"score: '{self.score}' is no optional input of type number"
        if (field.minimum, field.maximum) != (0, 1):
            return f"score: '{self.score}' must have the bounds 0 and 1"
        return None
