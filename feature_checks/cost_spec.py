"""What `local.cost:` of usecase.yaml lets the local model's threshold do by itself."""

from pydantic import Field

from feature_checks.strict_model import Strict


class CostSpec(Strict):
    """Bounds within which the threshold follows cost and quality. Its lower bound is no setting: it is the
    calibrated one, which keeps `local.risk`.

    `usd_per_1000`: what 1,000 answers may cost on average. `highest`: the threshold never rises above it.
    `every_hours`: at most one change in so many hours. `step`: one change never takes more than this share of
    the decisions to answers that nobody has seen yet.
    """

    usd_per_1000: float = Field(gt=0)
    highest: float = Field(gt=0, le=1)
    every_hours: float = Field(default=24, ge=1)
    step: float = Field(default=0.05, gt=0, le=1)
