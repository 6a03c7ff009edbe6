"""What a rollout is held to: its metrics, how much worse still counts as not worse, and its patience."""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from registry.records import Name

_STRICT = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class RateMetric(BaseModel):
    """A share of requests (errors, fallbacks, wrong answers). `margin`: in absolute share.

    Where `required` is false, no step waits for it: it can only show that the candidate is worse. With
    `required_beyond_percent`, a step to more than that share of requests waits for it all the same.
    `over_steps`: the evidence of all steps counts together, since it comes late and seldom, as that of
    reviewed samples does. `min_samples`: of each side; the guard's own where it is None.
    """

    model_config = _STRICT

    kind: Literal["rate"] = "rate"
    name: Name
    margin: float = Field(default=0.01, gt=0, lt=1)
    required: bool = True
    required_beyond_percent: float | None = Field(default=None, ge=0, lt=100)
    over_steps: bool = False
    min_samples: int | None = Field(default=None, ge=1)


class LatencyMetric(BaseModel):
    """A quantile of latency. `ratio`: the candidate's may be that many times stable's."""

    model_config = _STRICT

    kind: Literal["latency"] = "latency"
    name: Name
    quantile: float = Field(default=0.95, gt=0, lt=1)
    ratio: float = Field(default=1.2, gt=1)
    required: bool = True


class CostMetric(BaseModel):
    """The mean cost of a request. `bound_usd`: no request costs more, which the budget sees to.

    The candidate's may be `ratio` times stable's, and `margin_usd` more (where stable costs nothing).
    """

    model_config = _STRICT

    kind: Literal["cost"] = "cost"
    name: Name
    bound_usd: float = Field(gt=0)
    ratio: float = Field(default=1.1, ge=1)
    margin_usd: float = Field(gt=0)
    required: bool = True

    @model_validator(mode="after")
    def _within(self) -> "CostMetric":
        if self.margin_usd >= self.bound_usd:
            raise ValueError("margin_usd: expected less than bound_usd")
        return self


Metric = Annotated[RateMetric | LatencyMetric | CostMetric, Field(discriminator="kind")]


class Guard(BaseModel):
    """`alpha`: the chance that a candidate which is not worse by any metric's margin is ever rolled back,
    over all steps and metrics; also the chance, at each step, that a worse one is passed.

    `min_samples`: of the candidate, of each required metric, before a step is passed. `novelty_s`: the
    first seconds of a step, which never speak for a candidate, only against it. `step_limit_s`: how long a
    step may stay undecided before it is paused. `mismatch_alpha`: the chance, at each step, of a false alarm
    about the split.
    """

    model_config = _STRICT

    metrics: tuple[Metric, ...] = Field(min_length=1)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    mismatch_alpha: float = Field(default=0.001, gt=0, lt=0.5)
    min_samples: int = Field(default=100, ge=1)
    novelty_s: float = Field(default=60.0, ge=0)
    step_limit_s: float = Field(default=86_400.0, gt=0)

    @model_validator(mode="after")
    def _sound(self) -> "Guard":
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise ValueError("metrics: expected each name once")
        if self.novelty_s >= self.step_limit_s:
            raise ValueError("novelty_s: expected less than step_limit_s")
        if not any(metric.required for metric in self.metrics):
            raise ValueError(
                "metrics: expected at least one that is required; else nothing speaks for a step"
            )
        return self

    def log_worse_bound(self, steps: int) -> float:
        """What evidence of "worse" must reach: alpha divided over metrics and the steps of the rollout."""
        return math.log(len(self.metrics) * max(steps, 1) / self.alpha)

    @property
    def log_pass_bound(self) -> float:
        """What evidence of "not worse" must reach. Not divided: every required metric must reach it (an
        intersection-union test, Berger 1982)."""
        return math.log(1 / self.alpha)


WRONG = RateMetric(
    name="wrong", margin=0.05, required=False, required_beyond_percent=50, over_steps=True, min_samples=30
)
"""What reviewers and feedback said: few, and late. More than half of all requests are not given to a
candidate of whose correctness nobody has said anything."""

DEFAULT_GUARD = Guard(
    metrics=(
        RateMetric(name="errors"),
        RateMetric(name="validator_failures", margin=0.02),
        RateMetric(name="fallbacks", margin=0.02),
        LatencyMetric(name="latency"),
        WRONG,
    )
)
"""For a rollout that says nothing else."""


def with_cost(guard: Guard, bound_usd: float) -> Guard:
    """The same, which also rolls back for cost. `bound_usd`: what one request may cost at most."""
    if bound_usd <= 0:
        return guard
    cost = CostMetric(name="cost", bound_usd=bound_usd, margin_usd=bound_usd / 20, required=False)
    return guard.model_copy(update={"metrics": (*guard.metrics, cost)})
