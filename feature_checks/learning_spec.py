"""What `learning:` of usecase.yaml allows: what traffic may teach the local model. Without it: nothing."""

from typing import Annotated

from pydantic import Field

from feature_checks.strict_model import Strict

Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class LearningSpec(Strict):
    """Consent, tags, age, balance and the cap on a tenant's influence. Shares are from 0 to 1."""

    purposes: tuple[Word, ...] = Field(min_length=1, strict=False)  # the requests said one of these
    never_tags: tuple[Word, ...] = Field(default=(), strict=False)  # requests that carry one teach nothing
    max_age_days: int = Field(default=365, ge=1)
    cloud_labels: bool = False  # may a cloud answer that nobody judged be a weak label?
    weak_weight: float = Field(default=0.3, gt=0, le=1)  # of a weak label; a strong one counts 1
    max_per_label: int = Field(default=500, ge=1)
    tenant_share: float = Field(default=0.5, gt=0, le=1)  # of a label's rows, at most, from one tenant
