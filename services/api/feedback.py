"""`POST /v1/feedback`: what a caller knows of a decision afterwards. Journal first, then the database."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from services.api.body import parse_json
from services.api.fields import kind, refuse_unknown, text
from services.api.messages import Request, Response, respond
from services.errors import Expired, InputError, NotFound, StateUnavailable, TooManyRequests
from services.feedback import VERDICTS, Truth, check_age, is_news, read_truth
from services.journal_reader import Entry
from services.keys import utc_now
from services.runtime import Runtime
from services.state.feedback import Given
from services.values import Caller

log = logging.getLogger(__name__)

WINDOW = timedelta(hours=1)
ID_LENGTH = 32


async def give(request: Request, runtime: Runtime) -> Response:
    """Raises `InputError`, `NotFound`, `Expired`, `Contradiction`, `TooManyRequests`, `StateUnavailable` or
    `JournalUnavailable`. The same said twice is recorded once."""
    body = await request.body(runtime.settings.max_body_bytes, runtime.settings.body_timeout_s)
    given = parse_json(body, runtime.settings.max_json_depth)
    if not isinstance(given, dict):
        raise InputError("body", f"body: expected an object, got {kind(given)}")
    refuse_unknown("body", given, ("id", *VERDICTS))
    caller = request.known_caller
    decision_id = text("id", given.get("id"), 1, 64)
    turns = runtime.feedback.turns
    # In turn: what is said at the same moment would not see each other, and count for less than it is.
    async with turns.of("key", caller.tenant, caller.key_id):
        await _not_too_many(runtime, caller)
        async with turns.of("decision", caller.tenant, decision_id):
            return await _take(runtime, caller, decision_id, given)


async def _take(runtime: Runtime, caller: Caller, decision_id: str, given: Mapping[str, Any]) -> Response:
    record = (await _decision(runtime, decision_id, caller)).record
    served = runtime.pipeline.use_cases.get(record["use_case"])
    if served is None:
        raise NotFound("the use case of this decision is not served here any more")
    check_age(datetime.fromisoformat(record["ts"]), utc_now(), runtime.settings.feedback_days)
    usecase = served.usecase
    answered = (record["output"] or {}).get(usecase.label)
    truth = read_truth(given, answered, usecase.allowed(usecase.label))
    store = runtime.feedback
    news = is_news(truth, await asyncio.to_thread(store.of, decision_id, caller.tenant))
    if news:
        await runtime.journal.append_feedback(decision_id, caller.tenant, truth.verdict, caller.key_id)
        kept = Given(decision_id, caller.key_id, caller.tenant, usecase.name, truth, utc_now().isoformat())
        await asyncio.to_thread(store.add, kept)
        await learn(runtime, record, truth)
    return respond({"id": decision_id, "correct": truth.correct, "label": truth.label, "recorded": news})


async def learn(runtime: Runtime, record: Mapping[str, Any], truth: Truth) -> None:
    """What is now known of a decision reaches who counts by it: rollouts, and features such as risks.

    A store of features that is away is logged: the truth itself is kept already.
    """
    runtime.judged(record, truth.correct)
    served = runtime.pipeline.use_cases.get(record["use_case"])
    if served is None or served.features is None or truth.label != served.features.engine.spec.positive:
        return
    try:
        await served.features.label(record["request"]["fields"], record["tenant"], record["use_case"])
    except (StateUnavailable, ValueError) as error:
        log.error("features: what is known of a decision could not be added: %s", type(error).__name__)


async def _decision(runtime: Runtime, decision_id: str, caller: Caller) -> Entry:
    """The decision, if it is this tenant's: for others it does not exist."""
    entry = None
    if len(decision_id) == ID_LENGTH and decision_id.isascii() and decision_id.isalnum():
        entry = await asyncio.to_thread(runtime.find_decision, decision_id)
    if entry is None or entry.record.get("tenant") != caller.tenant:
        raise NotFound("there is no decision with this id for your tenant")
    if "removed" in entry.record or "output" not in entry.record:
        raise Expired("the contents of this decision were taken out by retention; it can no longer be judged")
    return entry


async def _not_too_many(runtime: Runtime, caller: Caller) -> None:
    """Counted in the database, so that all workers count together."""
    most, now = runtime.settings.feedback_per_hour_per_key, utc_now()
    since = (now - WINDOW).isoformat()
    count, oldest = await asyncio.to_thread(runtime.feedback.since, caller.key_id, caller.tenant, since)
    if count >= most:
        free = datetime.fromisoformat(oldest) + WINDOW if oldest else now
        message = (
            f"this key sent feedback {most} times within an hour; more would let one source decide alone"
        )
        raise TooManyRequests(message, max(1.0, (free - now).total_seconds()))
