"""`GET /v1/reviews`, `POST /v1/reviews/{id}`: what a reviewer sees and says, of the own tenant, redacted."""

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

from services.api.body import parse_json
from services.api.feedback import learn
from services.api.fields import kind, refuse_unknown
from services.api.messages import Request, Response, respond
from services.errors import InputError, NotFound, Taken
from services.feedback import VERDICTS, Truth, read_truth
from services.keys import utc_now
from services.reviews import QUARANTINED
from services.runtime import Runtime
from services.state.reviews import Voted, Waiting

NEXT = "next"
MOST = 100
ACTIONS = ("take", "release", *VERDICTS)
_NUL = "\0"
"""PostgreSQL refuses it: the answer would put the blame on the database."""


async def listed(request: Request, runtime: Runtime) -> Response:
    """`GET /v1/reviews?use_case=&limit=`: what this reviewer could look at, the most valuable first."""
    given = dict(parse_qsl(request.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))
    refuse_unknown("query", given, ("use_case", "limit"))
    limit = given.get("limit", str(MOST))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 10 and 1 <= int(limit) <= MOST):
        raise InputError("limit", f"limit: expected a whole number from 1 to {MOST}")
    caller, now = request.known_caller, utc_now().isoformat()
    store = runtime.reviews.store
    found = await asyncio.to_thread(
        store.waiting, caller.tenant, caller.key_id, _name(given.get("use_case")), now, int(limit)
    )
    return respond({"reviews": [_shown(one, caller.key_id, now) for one in found]})


async def act(request: Request, runtime: Runtime) -> Response:
    """`POST /v1/reviews/{id}`: take, release, or say what is right. `next` stands for the most valuable one
    that is free. Raises `InputError`, `NotFound`, `Taken`, `StateUnavailable` or `JournalUnavailable`."""
    (wanted,) = request.params
    body = await request.body(runtime.settings.max_body_bytes, runtime.settings.body_timeout_s)
    given = parse_json(body, runtime.settings.max_json_depth)
    if not isinstance(given, dict):
        raise InputError("body", f"body: expected an object, got {kind(given)}")
    refuse_unknown("body", given, ("use_case", *ACTIONS) if wanted == NEXT else ACTIONS)
    said = [name for name in ACTIONS if given.get(name) is not None]
    if len(said) != 1:
        raise InputError("body", f"body: expected exactly one of {', '.join(ACTIONS)}")
    for name in ("take", "release"):
        if given.get(name) is not None and given[name] is not True:
            raise InputError(name, f"{name}: expected true")
    desk = _Reviewer(request, runtime)
    if wanted == NEXT:
        if said != ["take"]:
            raise InputError("body", "body: of the next review, `take` is all that can be said")
        return respond({"review": await desk.take(None, _name(given.get("use_case")))})
    if said == ["take"]:
        return respond({"review": await desk.take(wanted, None)})
    if said == ["release"]:
        return respond(await desk.release(wanted))
    return respond(await desk.say(wanted, given))


@dataclass(frozen=True, slots=True)
class _Reviewer:
    """One reviewer's request."""

    request: Request
    runtime: Runtime

    @property
    def _who(self) -> tuple[str, str]:
        caller = self.request.known_caller
        return caller.tenant, caller.key_id

    async def take(self, review_id: str | None, use_case: str | None) -> dict[str, Any] | None:
        if review_id is not None:
            await self._waiting(review_id)
        now = utc_now()
        until = now + timedelta(seconds=self.runtime.settings.review_lease_s)
        found = await asyncio.to_thread(
            self.runtime.reviews.store.take,
            *self._who,
            use_case,
            review_id,
            now.isoformat(),
            until.isoformat(),
        )
        if found is None and review_id is not None:
            raise Taken("another reviewer holds this review, or you gave your word on it already")
        return _shown(found, self._who[1], now.isoformat()) if found else None

    async def release(self, review_id: str) -> dict[str, Any]:
        await self._waiting(review_id)
        if not await asyncio.to_thread(self.runtime.reviews.store.release, *self._who, review_id):
            raise Taken("this review is not held by you")
        return {"id": review_id, "resolved": False}

    async def say(self, review_id: str, given: dict[str, Any]) -> dict[str, Any]:
        """Journal first; then the vote."""
        one = await self._waiting(review_id)
        served = self.runtime.pipeline.use_cases.get(one.use_case)
        if served is None:
            raise NotFound("the use case of this review is not served here any more")
        labels = served.usecase.allowed(served.usecase.label)
        truth = read_truth(given, one.answered, labels)
        tenant, source = self._who
        await self.take(review_id, None)  # nobody else may resolve it between journal and vote
        settles = QUARANTINED in one.why.split(",")
        journal = self.runtime.journal
        await journal.append_feedback(one.decision_id, tenant, truth.verdict, source, settles)
        voted = await self._vote(review_id, truth)
        if voted is None:
            raise Taken("meanwhile another reviewer resolved this review, or took it")
        self.runtime.reviews.metrics.reviewed(one.use_case, voted)
        if voted.resolved and (entry := await asyncio.to_thread(self.runtime.find_decision, one.decision_id)):
            await learn(self.runtime, entry.record, truth)
        return {"id": review_id, "resolved": voted.resolved}

    async def _vote(self, review_id: str, truth: Truth) -> Voted | None:
        tenant, source = self._who
        store = self.runtime.reviews.store
        return await asyncio.to_thread(store.vote, tenant, source, review_id, truth, utc_now().isoformat())

    async def _waiting(self, review_id: str) -> Waiting:
        now = utc_now().isoformat()
        store = self.runtime.reviews.store
        sound = _NUL not in review_id
        found = await asyncio.to_thread(store.find, self._who[0], review_id, now) if sound else None
        if found is None:
            raise NotFound("no review with this id waits for your tenant")
        return found


def _name(given: object) -> str | None:
    if given is not None and not isinstance(given, str):
        raise InputError("use_case", f"use_case: expected a string, got {kind(given)}")
    if given is not None and _NUL in given:
        raise InputError("use_case", "use_case: holds a character that no name has")
    return given


def _shown(one: Waiting, source: str, now: str) -> dict[str, Any]:
    held = one.lease_until is not None and one.lease_until > now
    return {
        "id": one.id,
        "use_case": one.use_case,
        "decision_id": one.decision_id,
        "input": json.loads(one.fields),
        "output": json.loads(one.output),
        "route": one.route,
        "why": one.why.split(","),
        "seen": one.seen,
        "at": one.at,
        "held": ("by_you" if one.lease_by == source else "by_another") if held else None,
        "lease_until": one.lease_until if held else None,
    }
