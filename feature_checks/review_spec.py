"""What `review:` of usecase.yaml may ask for: which decisions a person looks at."""

from typing import Literal

from pydantic import Field

from feature_checks.strict_model import Strict

ReviewReason = Literal["low_confidence", "validator_failed", "left_open"]


class ReviewSpec(Strict):
    """Reasons to review a decision, the share that is drawn at random, and the bounds of the queue.

    `left_open`: the answer, whoever gave it, is `local.outside`, which leaves the decision to a person.
    """

    when: tuple[Literal["low_confidence", "validator_failed", "left_open"], ...] = Field(
        default=(), strict=False
    )
    sample_rate: float = Field(default=0.0, ge=0, le=1)
    max_queue: int = Field(default=100, ge=0)  # of each tenant
    agreement: int = Field(default=1, ge=1, le=5)  # so many reviewers must say the same
