"""What `promotion:` of usecase.yaml may ask for: how much worse still counts as not worse."""

from pydantic import Field

from feature_checks.strict_model import Strict


class PromotionSpec(Strict):
    """How much worse a new local model may be than the champion, in shares of the same test rows."""

    max_loss: float = Field(default=0.02, ge=0, lt=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    slice_max_loss: float = Field(default=0.1, ge=0, lt=1)
    min_slice_rows: int = Field(default=20, ge=1)
    always_judged: tuple[str, ...] = Field(default=(), strict=False)  # labels, however few rows they have
    contract_tests: bool = False  # must the package hold a report of contract tests that passed?
    freeze: str | None = Field(default=None, min_length=1, max_length=300)  # why nothing may be promoted
