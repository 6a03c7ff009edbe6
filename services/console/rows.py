"""Decisions, reviews and rollouts as rows and sentences: from the API's JSON to what tables show. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.console import text

Json = Mapping[str, Any]


def decision_rows(decisions: Iterable[Json]) -> list[dict[str, Any]]:
    """A line for each decision. What retention emptied has its place and time alone."""
    return [
        {
            "id": one["id"],
            "at": text.when(one["at"]),
            "use_case": one["use_case"],
            "route": one["route"] or ("none" if one["input"] is not None else "emptied"),
            "input": text.brief(one["input"]) if one["input"] is not None else "removed by retention",
            "confidence": text.percent(one["confidence"]),
            "degraded": "degraded" if one["degraded"] else "",
            "latency": text.millis(one["latency_ms"]),
            "cost": text.usd(one["cost_usd"]) if one["input"] is not None else text.NOTHING,
        }
        for one in decisions
    ]


def attempt_rows(record: Json) -> list[dict[str, Any]]:
    """What was tried, in order, and why each went as it did."""
    return [
        {
            "n": n,
            "target": attempt["target"],
            "outcome": attempt["outcome"],
            "reason": attempt["reason"],
            "policies": ", ".join(attempt.get("policy_ids") or ()) or text.NOTHING,
            "latency": text.millis(attempt["latency_ms"]),
            "cost": text.usd(attempt["cost_usd"]),
        }
        for n, attempt in enumerate(record.get("attempts") or (), start=1)
    ]


def facts(record: Json) -> list[tuple[str, str]]:
    """What stands beside a decision's contents: name and value."""
    request = record.get("request") or {}
    journal = record.get("journal") or {}
    versions = ", ".join(
        f"{name} {str(value)[:16]}" for name, value in (record.get("versions") or {}).items()
    )
    found = [
        ("time", text.when(record.get("ts"))),
        ("use case", record.get("use_case")),
        ("route", record.get("route") or "nothing answered"),
        ("confidence", text.percent(record.get("confidence"))),
        ("degraded", "yes" if record.get("degraded") else "no"),
        ("cost", text.usd(record.get("cost_usd"))),
        ("data tags", ", ".join(request.get("tags") or ()) or "none"),
        (
            "residency, purpose",
            f"{request.get('residency') or 'any'}, {request.get('purpose') or text.NOTHING}",
        ),
        ("versions", versions or text.NOTHING),
        ("journal", f"{journal.get('file')}, record {record.get('seq')}"),
        ("record's hash", journal.get("hash")),
    ]
    return [(name, str(value)) for name, value in found if value is not None]


def contents(fields: Json | None) -> list[tuple[str, str]]:
    """Redacted fields, name and value."""
    return [(name, str(value)) for name, value in (fields or {}).items() if value is not None]


def verdict_text(verdict: Json) -> tuple[bool, str]:
    """What checking a receipt came to, as a sentence."""
    if not verdict.get("valid"):
        return False, f"Refused: the receipt {verdict.get('reason') or 'is not valid'}."
    claims = verdict.get("claims") or {}
    return (
        True,
        f"Verified: signed by this platform on {text.when(claims.get('iat'))}, for this very decision.",
    )


def review_rows(reviews: Iterable[Json]) -> list[dict[str, Any]]:
    held = {None: "free", "by_you": "held by you", "by_another": "held by another"}
    return [
        {
            "id": one["id"],
            "at": text.when(one["at"]),
            "use_case": one["use_case"],
            "why": ", ".join(word.replace("_", " ") for word in one["why"]),
            "input": text.brief(one["input"]),
            "seen": one["seen"],
            "held": held.get(one["held"], "held"),
        }
        for one in reviews
    ]


def labels_of(openapi: Json, use_case: str) -> list[str]:
    """The labels of a use case, from the API's own document: the values of its one output field that has a
    closed set of them. None where that is not clear; then a reviewer can say right or wrong."""
    name = "".join(part.capitalize() for part in use_case.replace("-", "_").split("_"))
    schema = openapi.get("components", {}).get("schemas", {}).get(f"{name}Output", {})
    closed = [told["enum"] for told in schema.get("properties", {}).values() if told.get("enum")]
    return [str(value) for value in closed[0]] if len(closed) == 1 else []


def rollout_rows(rollouts: Sequence[Json]) -> list[dict[str, Any]]:
    return [
        {
            "id": one["id"],
            "component": one["component"],
            "change": f"{one['stable']} → {one['candidate']}",
            "state": one["state"].replace("_", " "),
            "weight": f"{one['weight_percent']:g} %",
            "since": text.when(one["moves"][-1]["at_s"]) if one["moves"] else text.NOTHING,
            "moves": [
                {
                    "at": text.when(move["at_s"]),
                    "move": f"{move['move'].replace('_', ' ')}: {move['before']} → {move['after']}",
                    "weight": f"{move['weight_percent']:g} %",
                    "by": move["by"],
                    "reason": move["reason"],
                }
                for move in one["moves"]
            ],
        }
        for one in rollouts
    ]
