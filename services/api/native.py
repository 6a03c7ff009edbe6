"""The native calls: decide, look a decision up, verify a receipt, the public keys."""

import asyncio
import time
from typing import Any

from services.api.body import parse_json
from services.api.fields import kind, refuse_unknown, text
from services.api.forced import forced_variants
from services.api.idempotency import answer_once
from services.api.messages import Request, Response, respond
from services.errors import InputError, NotFound, ReceiptRefused
from services.flow import Outlet
from services.receipt_check import MAX_CHARACTERS, Expected, check_expected, verify_receipt
from services.receipt_keys import public_jwks
from services.runtime import Runtime
from services.values import Call, Decision

ID_LENGTH = 32
MAX_AGE_S = 10**10


async def decide(request: Request, runtime: Runtime) -> Response:
    """`POST /v1/decide`."""
    body = await request.body(runtime.settings.max_body_bytes, runtime.settings.body_timeout_s)
    parsed = parse_json(body, runtime.settings.max_json_depth)
    forced = forced_variants(request.headers, request.known_caller)
    call = runtime.calls.read(parsed, request.id, request.known_caller, request.started, forced)
    repeat_key = request.headers.get("idempotency-key")
    if repeat_key is not None:
        return await answer_once(repeat_key, body, call, runtime, lambda: work(call, runtime), decision_json)
    return _answer(await work(call, runtime))


async def work(call: Call, runtime: Runtime, outlet: Outlet | None = None) -> Decision:
    """One place in the gate, one run of the pipeline; with `outlet`, text may go out before its end."""
    async with runtime.gate.place(call.deadline):
        return await runtime.pipeline.decide(call, outlet)


async def decision(request: Request, runtime: Runtime) -> Response:
    """`GET /v1/decisions/{id}`: the journal's record, redacted, for an auditor of the same tenant."""
    (wanted,) = request.params
    entry = None
    if len(wanted) == ID_LENGTH and wanted.isascii() and wanted.isalnum():
        entry = await asyncio.to_thread(runtime.find_decision, wanted)
    if entry is None or entry.record.get("tenant") != request.known_caller.tenant:
        raise NotFound("there is no decision with this id for your tenant")
    return respond({**entry.record, "journal": {"file": entry.file, "hash": entry.hash}})


async def verify(request: Request, runtime: Runtime) -> Response:
    """`POST /v1/receipts/verify`: is this receipt ours, and of what the caller expects it to be?"""
    body = await request.body(runtime.settings.max_body_bytes, runtime.settings.body_timeout_s)
    given = parse_json(body, runtime.settings.max_json_depth)
    if not isinstance(given, dict):
        raise InputError("body", f"body: expected an object, got {kind(given)}")
    refuse_unknown("body", given, ("receipt", "id", "output", "request", "max_age_s"))
    receipt = text("receipt", given.get("receipt"), 1, MAX_CHARACTERS)
    expected = Expected(
        decision_id=text("id", given["id"], 1, 64) if "id" in given else None,
        output=_object("output", given["output"]) if "output" in given else None,
        request=_object("request", given["request"]) if "request" in given else None,
        max_age_s=_seconds("max_age_s", given["max_age_s"]) if "max_age_s" in given else None,
    )
    try:
        claims = verify_receipt(receipt, public_jwks(runtime.keys_dir))
        check_expected(claims, expected, time.time())
    except ReceiptRefused as refused:
        return respond({"valid": False, "reason": refused.message, "claims": None})
    return respond({"valid": True, "reason": None, "claims": claims})


async def jwks(request: Request, runtime: Runtime) -> Response:
    """`GET /.well-known/jwks.json`: every public key, so that receipts are verified anywhere."""
    return respond(public_jwks(runtime.keys_dir), 200, (b"cache-control", b"public, max-age=300"))


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision as the caller gets it."""
    return {
        "id": decision.id,
        "use_case": decision.use_case,
        "output": dict(decision.output),
        "route": decision.route,
        "confidence": decision.confidence,
        "degraded": decision.degraded,
        "reasons": list(decision.reasons),
        "review_id": decision.review_id,
        "versions": dict(decision.versions),
        "receipt": decision.receipt,
    }


def _answer(decision: Decision) -> Response:
    return respond(decision_json(decision))


def _seconds(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_AGE_S:
        raise InputError(where, f"{where}: expected a number of seconds from 0 to {MAX_AGE_S}")
    return float(value)


def _object(where: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InputError(where, f"{where}: expected an object, got {kind(value)}")
    return value
