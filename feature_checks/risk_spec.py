"""What `local.risk:` of usecase.yaml may promise: how often local answers may be wrong, at what cost."""

from collections.abc import Mapping

from pydantic import Field, model_validator

from feature_checks.strict_model import Strict


class LabelRisk(Strict):
    """The promise for answers with one label; `cost_of_error` is the price of a wrong one."""

    max_error: float = Field(gt=0, lt=1)
    cost_of_error: float = Field(default=1.0, ge=0)


class RiskSpec(Strict):
    """The promise for local answers: with `confidence`, at most `max_error` of them are wrong. Where mistakes
    differ in price, `by_label` has a promise for each label, and `cost_of_asking` prices no answer."""

    max_error: float = Field(gt=0, lt=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    max_error_when_short: float | None = Field(default=None, gt=0, lt=1)  # while the cloud budget is short
    by_label: Mapping[str, LabelRisk] = Field(default_factory=dict)
    cost_of_asking: float = Field(default=0.1, ge=0)

    @model_validator(mode="after")
    def _never_stricter_when_short(self) -> "RiskSpec":
        if self.max_error_when_short is not None and self.max_error_when_short < self.max_error:
            raise ValueError(f"max_error_when_short: expected at least max_error, {self.max_error}")
        return self
