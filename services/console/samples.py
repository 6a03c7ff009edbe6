"""What one look at `/metrics` says, in numbers; and what came between two looks. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

DECIDING = ("/v1/decide", "/v1/chat/completions")
Counts = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters since the orchestrator started. `at_s` is seconds since 1970; `buckets`: upper bound in
    seconds -> answers at most that slow."""

    at_s: float
    routes: Counts = field(default_factory=dict)
    degraded: float = 0.0
    cost_usd: float = 0.0
    buckets: Mapping[float, float] = field(default_factory=dict)
    endpoints: Counts = field(default_factory=dict)
    """Endpoint -> 0 breaker closed, 1 on trial, 2 open."""
    reviews: Counts = field(default_factory=dict)
    """Use case -> reviews that wait, of all tenants."""
    behind_bytes: float = 0.0


def read_sample(text: str, at_s: float) -> Sample:
    """One page of metrics. Raises `ValueError` for what is none."""
    routes: dict[str, float] = {}
    buckets: dict[float, float] = {}
    found: dict[str, dict[str, float]] = {"endpoint": {}, "use_case": {}}
    degraded = cost = behind = 0.0
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            if name == "switchyard_decisions_total":
                routes[labels["route"]] = routes.get(labels["route"], 0.0) + value
                degraded += value if labels["degraded"] == "true" else 0.0
            elif name == "switchyard_cost_usd_total":
                cost += value
            elif name == "switchyard_request_seconds_bucket" and labels["path"] in DECIDING:
                bound = float(labels["le"])
                buckets[bound] = buckets.get(bound, 0.0) + value
            elif name == "switchyard_breaker_state":
                found["endpoint"][labels["endpoint"]] = value
            elif name == "switchyard_reviews_waiting":
                found["use_case"][labels["use_case"]] = value
            elif name == "switchyard_shipping_behind_bytes":
                behind = value
    return Sample(at_s, routes, degraded, cost, buckets, found["endpoint"], found["use_case"], behind)


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What each counter grew by. One that fell began anew: all that it has came since."""
    if any(after.get(name, 0.0) < value for name, value in before.items()):
        return dict(after)
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def per_minute(samples: Sequence[Sample], step_s: float = 15.0) -> list[tuple[float, dict[str, float]]]:
    """(time, route -> decisions a minute), a point each `step_s` or so."""
    points: list[tuple[float, dict[str, float]]] = []
    last = samples[0] if samples else None
    for sample in samples[1:]:
        assert last is not None
        took_s = sample.at_s - last.at_s
        if took_s < step_s:
            continue
        grown = between(last.routes, sample.routes)
        points.append((sample.at_s, {route: n * 60 / took_s for route, n in grown.items()}))
        last = sample
    return points


def quantile_s(buckets: Mapping[float, float], q: float) -> float | None:
    """The q-quantile in seconds, linear inside its bucket as Prometheus' histogram_quantile has it; in the
    last, open bucket its lower bound. None without observations."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    wanted, lower, below = q * total, 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= wanted and count > below:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (wanted - below) / (count - below)
        lower, below = bound, count
    return lower
