"""What an auditor reads: `GET /v1/decisions`, `/v1/budgets`, `/v1/rollouts`. Not the request path."""

import asyncio
from typing import Any
from urllib.parse import parse_qsl

from registry.rollout import Rollout
from registry.rollout_errors import RolloutsUnavailable
from registry.rollout_store import Rollouts, RolloutSettings
from services.api.fields import refuse_unknown
from services.api.messages import Request, Response, respond
from services.chain import from_line
from services.errors import InputError, StateUnavailable
from services.prices import usd_from_nanos
from services.runtime import Runtime
from services.state.decisions import Row
from services.targets.guarded import limits_of

MOST = 200
USUAL = 50
ROLLOUTS = 20
ID_LENGTH = 32


async def decisions(request: Request, runtime: Runtime) -> Response:
    """`GET /v1/decisions?use_case=&limit=&before=`: this tenant's decisions, newest first, redacted. `next`
    is the `before` of the following page, or null. Raises `InputError` or `StateUnavailable`."""
    given = _query(request, ("use_case", "limit", "before"))
    limit, before = _limit(given.get("limit", str(USUAL))), given.get("before")
    if before is not None and not (len(before) == ID_LENGTH and before.isascii() and before.isalnum()):
        raise InputError("before", f"before: expected a decision's id, {ID_LENGTH} letters and digits")
    newest = runtime.newest_decisions
    if newest is None:
        raise StateUnavailable(
            "decisions are listed from the decisions database, and SWITCHYARD_SHIPPING is off; "
            "one decision is found by its id all the same"
        )
    tenant, use_case = request.known_caller.tenant, given.get("use_case")
    rows = await asyncio.to_thread(newest, limit + 1, tenant, use_case, before)
    following = rows[limit - 1].id if len(rows) > limit else None
    return respond({"decisions": [_listed(row) for row in rows[:limit]], "next": following})


async def budgets(request: Request, runtime: Runtime) -> Response:
    """`GET /v1/budgets`: what this tenant's use cases may spend today, and have spent or hold reserved."""
    _query(request, ())
    tenant = request.known_caller.tenant
    served = [one.usecase for _, one in sorted(runtime.pipeline.use_cases.items()) if one.usecase.cloud]
    found = []
    for usecase in served:
        limits = limits_of(usecase)
        use = await runtime.budgets.use(tenant, usecase.name)
        found.append(
            {
                "use_case": usecase.name,
                "usd_per_day": usd_from_nanos(limits.day),
                "spent_usd": None if use is None else usd_from_nanos(use.spent),
                "reserved_usd": None if use is None else usd_from_nanos(use.reserved),
                "level": "unknown" if use is None else limits.level(use),
            }
        )
    return respond({"budgets": found})


async def rollouts(request: Request, runtime: Runtime) -> Response:
    """`GET /v1/rollouts`: the last ones of all components, with their moves. Raises `StateUnavailable`."""
    _query(request, ())
    return respond({"rollouts": await asyncio.to_thread(_rollouts, runtime)})


def _rollouts(runtime: Runtime) -> list[dict[str, Any]]:
    url = runtime.settings.database_url
    kept = RolloutSettings(home=runtime.settings.home, database_url=url).rollouts
    if not isinstance(kept, str) and not kept.exists():
        return []  # looking must not make it
    try:
        with Rollouts(kept) as store:
            return [_moved(one, store) for one in store.newest(ROLLOUTS)]
    except RolloutsUnavailable as error:
        raise StateUnavailable(str(error)) from error


def _moved(rollout: Rollout, store: Rollouts) -> dict[str, Any]:
    shown = rollout.model_dump(
        mode="json", include={"id", "component", "stable", "candidate", "steps", "state"}
    )
    moves = [record.model_dump(mode="json", exclude={"numbers"}) for record in store.records(rollout.id)]
    return {**shown, "weight_percent": rollout.weight_percent, "moves": moves}


def _listed(row: Row) -> dict[str, Any]:
    """One line of the list. What retention emptied, or what does not prove itself, has no contents."""
    try:
        link = from_line(row.line.encode())
        record = link.record if link.hash == row.hash and link.record.get("id") == row.id else {}
    except ValueError:
        record = {}
    attempts = record.get("attempts") or ()
    latency_ms = sum(one["latency_ms"] for one in attempts) if attempts else None
    return {
        "id": row.id,
        "at": row.at,
        "use_case": row.use_case,
        "route": record.get("route"),
        "confidence": record.get("confidence"),
        "degraded": record.get("degraded"),
        "cost_usd": record.get("cost_usd"),
        "latency_ms": None if latency_ms is None else round(latency_ms, 3),
        "input": (record.get("request") or {}).get("fields"),
        "output": record.get("output"),
    }


def _query(request: Request, known: tuple[str, ...]) -> dict[str, str]:
    raw = request.scope.get("query_string", b"").decode("latin-1")
    given = dict(parse_qsl(raw, keep_blank_values=True))
    refuse_unknown("query", given, known)
    return given


def _limit(given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) < 10 and 1 <= int(given) <= MOST):
        raise InputError("limit", f"limit: expected a whole number from 1 to {MOST}")
    return int(given)
