"""What `monitoring:` of usecase.yaml may ask for: what counts as drift, and how often that may retrain."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from feature_checks.strict_model import Strict


class MonitoringSpec(Strict):
    """`window` newest decisions are looked at every `every_minutes`. `bounds` are effect sizes by feature (as
    `switchyard monitor` names them); others have 0.2. At least `cooldown_hours` lie between two retrainings
    that drift started, and there are at most `runs_per_week` of them."""

    window: int = Field(default=500, ge=100, le=20_000)
    every_minutes: int = Field(default=60, ge=1, le=7 * 24 * 60)
    min_rows: int = Field(default=100, ge=50)
    bounds: Mapping[str, Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=dict)
    cooldown_hours: float = Field(default=24.0, ge=0, le=24 * 365)
    runs_per_week: int = Field(default=3, ge=0, le=1000)
