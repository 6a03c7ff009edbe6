"""What `slo:` of usecase.yaml promises of each route."""

from pydantic import Field

from feature_checks.strict_model import Strict


class RouteSlo(Strict):
    latency_p95_ms: float | None = Field(default=None, gt=0)
    correctness: float | None = Field(default=None, gt=0, le=1)


class SloSpec(Strict):
    local: RouteSlo = RouteSlo()
    cloud: RouteSlo = RouteSlo()
    fallback_rate: float | None = Field(default=None, ge=0, le=1)
