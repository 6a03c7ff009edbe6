"""The overview: from readiness, looks at the metrics and budgets to what its page shows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.console import text
from services.console.samples import Sample, per_minute, quantile_s

BREAKERS = {0: ("ok", "closed: calls go through"), 1: ("warn", "on trial"), 2: ("bad", "open: not called")}


@dataclass(frozen=True, slots=True)
class Card:
    """One figure, what it is, and what it is of."""

    title: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the platform: `state` is ok, warn or bad."""

    name: str
    state: str
    detail: str


def parts(ready: Mapping[str, Any] | None, sample: Sample | None, trouble: str | None) -> list[Part]:
    """Health: the orchestrator first, then what it says of its use cases, endpoints and evidence."""
    if ready is None:
        return [Part("orchestrator", "bad", trouble or "not reached")]
    reasons = [str(reason) for reason in ready.get("reasons", ())]
    state = "ok" if ready.get("ready") else "bad"
    found = [Part("orchestrator", state, "; ".join(reasons) or "ready")]
    for name, told in sorted(ready.get("use_cases", {}).items()):
        missing = [f"{target}: {why}" for target, why in (told.get("missing") or {}).items()]
        missing += [str(told[key]) for key in ("config_refused", "model_not_newest") if told.get(key)]
        model = f"champion {str(told['model'])[:12]}" if told.get("model") else "no local model"
        found.append(Part(f"use case {name}", "warn" if missing else "ok", "; ".join(missing) or model))
    for name, phase in sorted((sample.endpoints if sample else {}).items()):
        state, detail = BREAKERS.get(int(phase), ("warn", "unknown"))
        found.append(Part(f"cloud/{name}", state, f"breaker {detail}"))
    warnings = [str(warning) for warning in ready.get("warnings", ())]
    behind = (
        f"{sample.behind_bytes:,.0f} bytes not shipped yet"
        if sample and sample.behind_bytes
        else "up to date"
    )
    found.append(Part("evidence", "warn" if warnings else "ok", "; ".join(warnings) or behind))
    return found


def cards(sample: Sample | None, budgets: Sequence[Mapping[str, Any]] | None) -> list[Card]:
    """The figures at the top, since the orchestrator started; money: today's, of the own tenant."""
    total = sum(sample.routes.values()) if sample else 0.0
    since = "since the orchestrator started"
    local = sample.routes.get("local", 0.0) / total if sample and total else None
    quantiles = [quantile_s(sample.buckets, q) if sample else None for q in (0.5, 0.95)]
    p50, p95 = (text.millis(None if s is None else s * 1000) for s in quantiles)
    degraded = sample.degraded / total if sample and total else None
    return [
        Card("Decisions", f"{total:,.0f}", since),
        Card("Local coverage", text.percent(local), "answered by a local model"),
        Card("Latency p50 / p95", f"{p50} / {p95}", "whole request, from histogram buckets"),
        Card("Degraded", text.percent(degraded), "something that should have answered could not"),
        _money(budgets),
    ]


def _money(budgets: Sequence[Mapping[str, Any]] | None) -> Card:
    if budgets is None:
        return Card("Cost today", text.NOTHING, "needs a key with the role auditor")
    if any(one["spent_usd"] is None for one in budgets):
        return Card("Cost today", "not known", "nobody can count now, so nothing may be spent")
    spent, most = (sum(one[name] for one in budgets) for name in ("spent_usd", "usd_per_day"))
    return Card("Cost today", text.usd(spent), f"of {text.usd(most)} that your tenant may spend (UTC day)")


def route_rows(sample: Sample | None) -> list[dict[str, Any]]:
    """Route, count and share, the largest first."""
    routes = sample.routes if sample else {}
    total = sum(routes.values())
    ordered = sorted(((n, route) for route, n in routes.items() if n), reverse=True)
    return [{"route": r, "count": f"{n:,.0f}", "share": text.percent(n / total)} for n, r in ordered]


def budget_rows(budgets: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "use_case": one["use_case"],
            "spent": text.usd(one["spent_usd"]),
            "reserved": text.usd(one["reserved_usd"]),
            "limit": text.usd(one["usd_per_day"]),
            "level": one["level"],
        }
        for one in budgets
    ]


def share_chart(sample: Sample) -> dict[str, Any]:
    """ECharts: who answered, as a ring."""
    data = [
        {"name": route, "value": n, "itemStyle": {"color": text.colour(route)}}
        for route, n in sorted(sample.routes.items())
        if n
    ]
    ring = {"type": "pie", "radius": ["52%", "78%"], "center": ["50%", "44%"], "label": {"show": False}}
    return {
        "animation": False,
        "tooltip": {"trigger": "item", "formatter": "{b}: {c} ({d} %)"},
        "legend": {"bottom": 0, "type": "scroll"},
        "series": [{**ring, "data": data}],
    }


def rate_chart(samples: Sequence[Sample]) -> dict[str, Any]:
    """ECharts: decisions a minute, by route, stacked."""
    points = per_minute(samples)
    routes = sorted({route for _, rates in points for route, rate in rates.items() if rate})
    series = [
        {
            "name": route,
            "type": "line",
            "stack": "all",
            "symbol": "none",
            "lineStyle": {"width": 1, "color": text.colour(route)},
            "areaStyle": {"opacity": 0.55, "color": text.colour(route)},
            "itemStyle": {"color": text.colour(route)},
            "data": [[round(at * 1000), round(rates.get(route, 0.0), 2)] for at, rates in points],
        }
        for route in routes
    ]
    return {
        "animation": False,
        "useUTC": True,
        "tooltip": {"trigger": "axis"},
        "legend": {"bottom": 0, "type": "scroll"},
        "grid": {"left": 48, "right": 16, "top": 24, "bottom": 56},
        "xAxis": {"type": "time"},
        "yAxis": {"type": "value", "name": "a minute", "minInterval": 1},
        "series": series,
    }
