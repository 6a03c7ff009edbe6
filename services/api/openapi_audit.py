"""Schemas of the OpenAPI document for what an auditor lists."""

from services.api.openapi_schemas import Schema, obj

_TEXT: Schema = {"type": ["string", "null"]}
_NUMBER: Schema = {"type": ["number", "null"]}
_OBJECT: Schema = {"type": ["object", "null"], "description": "redacted; null once retention emptied it"}

_LISTED: Schema = {
    "id": {"type": "string"},
    "at": {"type": "string", "format": "date-time"},
    "use_case": {"type": "string"},
    "route": _TEXT,
    "confidence": _NUMBER,
    "degraded": {"type": ["boolean", "null"]},
    "cost_usd": {**_NUMBER, "description": "null: not known"},
    "latency_ms": {**_NUMBER, "description": "of all attempts together"},
    "input": _OBJECT,
    "output": _OBJECT,
}
_BUDGET: Schema = {
    "use_case": {"type": "string"},
    "usd_per_day": {"type": "number"},
    "spent_usd": {**_NUMBER, "description": "today (UTC); null while nobody can count"},
    "reserved_usd": _NUMBER,
    "level": {"enum": ["open", "soft", "hard", "unknown"]},
}
_MOVE: Schema = {
    "revision": {"type": "integer"},
    "at_s": {"type": "number", "description": "seconds since 1970"},
    "move": {"type": "string"},
    "before": {"type": "string"},
    "after": {"type": "string"},
    "weight_percent": {"type": "number"},
    "by": {"type": "string"},
    "reason": {"type": "string"},
}
_ROLLOUT: Schema = {
    "id": {"type": "string"},
    "component": {"type": "string"},
    "stable": {"type": "string"},
    "candidate": {"type": "string"},
    "steps": {"type": "array", "items": {"type": "number"}},
    "state": {"enum": ["shadow", "canary", "paused", "promoted", "aborted", "rolled_back"]},
    "weight_percent": {"type": "number", "description": "the candidate's share of requests"},
    "moves": {"type": "array", "items": obj(_MOVE, tuple(_MOVE))},
}


def _many(name: str, one: Schema) -> Schema:
    return {name: {"type": "array", "items": obj(one, tuple(one))}}


QUERY: list[Schema] = [
    {"name": "use_case", "in": "query", "schema": {"type": "string"}},
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 200}},
    {
        "name": "before",
        "in": "query",
        "description": "`next` of the page before",
        "schema": {"type": "string", "pattern": "^[0-9A-Za-z]{32}$"},
    },
]
DECISIONS: Schema = obj({**_many("decisions", _LISTED), "next": _TEXT}, ("decisions", "next"))
BUDGETS: Schema = obj(_many("budgets", _BUDGET), ("budgets",))
ROLLOUTS: Schema = obj(_many("rollouts", _ROLLOUT), ("rollouts",))
