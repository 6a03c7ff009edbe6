"""Trying the planned targets in order, within the deadline, until a verified answer is there.

Every attempt asks access policy again: a plan is a forecast, a hop is what counts. Whatever a target
does wrong is an outcome with a reason, never an exception for the caller.
"""

import asyncio
import logging
import time
from collections import deque
from contextlib import nullcontext
from dataclasses import replace

from services.errors import NotAsked, TargetFailed, TargetRefused
from services.flow import Flow
from services.hedge import race
from services.plan import denied
from services.prepared import PreparedUseCase
from services.synthesis import Given
from services.targets import Target
from services.targets.merge import NAME as MERGE
from services.values import Answer, AttemptRecord, Declined, Envelope, Leaning, Opinion, RoutePlan
from services.verify import names, verify

log = logging.getLogger(__name__)

_NO_TIME = "the request's time was used up before it was asked; with a later deadline it would have been"


async def attempt_in_order(
    prepared: PreparedUseCase,
    plan: RoutePlan,
    envelope: Envelope,
    deadline: float,
    flow: Flow | None = None,
) -> tuple[list[AttemptRecord], Given | None]:
    """What happened with each target up to the one that answered, left-out ones in their place.

    With `flow`, text of a model's answer may go out while it is written. Once some did, no other target is
    asked, whatever becomes of that answer; for the same reason such answers are not hedged.

    Where the plan has `merge`, a cloud model's verified answer is an opinion that `merge` weighs, and no text
    of it goes out before.

    After a model's refusal for safety only what sees nothing of the request (`safe_default`) may answer.
    `deadline` is in time.monotonic() seconds; stand-ins answer after it too.
    """
    left_out = {record.target: record for record in plan.left_out}
    tried: list[AttemptRecord] = []
    refused_by: str | None = None
    merging = MERGE in prepared.order
    flowing = flow is not None and flow.possible and not merging
    hedge_after_s = prepared.usecase.cloud.hedge_after_s if prepared.usecase.cloud and not flowing else None
    waiting = deque(prepared.order)
    while waiting:
        name = waiting.popleft()
        if name in left_out:
            tried.append(left_out[name])
            continue
        if envelope.opinion is not None and _is_cloud(name):
            continue
        target = prepared.targets[name]
        if refused_by and target.sees_request:
            tried.append(AttemptRecord(name, "skipped", f"not asked: the refusal of {refused_by} is final"))
            continue
        attempts = [_Attempt(prepared, target, envelope, deadline, flow if flowing else None)]
        backup = waiting[0] if waiting else ""
        try:
            if hedge_after_s is not None and _is_cloud(name) and _is_cloud(backup) and backup not in left_out:
                attempts.append(_Attempt(prepared, prepared.targets[backup], envelope, deadline))
                records = await race(attempts[0], attempts[1], hedge_after_s)
                if len(records) == len(attempts):
                    waiting.popleft()  # it was asked
            else:
                records = [await attempts[0].run()]
        except asyncio.CancelledError:
            if flow is None or not flow.gone:
                raise
            _uncancel()
            return [*tried, *(attempt.abandoned() for attempt in attempts if attempt.asked)], None
        tried += records
        refused_by = next((attempt.name for attempt in attempts if attempt.refused), refused_by)
        if refused_by is None or not target.sees_request:
            given = next((attempt.given for attempt in attempts if attempt.given), None)
            if given and merging and _is_cloud(name):
                tried[-1], envelope = _opinion(tried[-1], given, envelope)
            elif given:
                return tried, given
        envelope = _leaning(attempts[0].leaning, envelope)
        if flow is not None and flow.commit is not None:
            break
    return tried, None


def _opinion(record: AttemptRecord, given: Given, envelope: Envelope) -> tuple[AttemptRecord, Envelope]:
    """The record of an answer that is an opinion only, and the envelope that holds it."""
    reason = f"{record.reason}; as an opinion: without `{MERGE}` in the plan it would have been the answer"
    opinion = Opinion(given.target.name, given.answer.output, given.answer.model, given.target.versions)
    return replace(record, reason=reason), replace(envelope, opinion=opinion)


def _leaning(leaning: Leaning | None, envelope: Envelope) -> Envelope:
    return replace(envelope, leaning=leaning) if leaning else envelope


def _uncancel() -> None:
    """The cancellation has done its work: what was asked is not waited for any more. Its record is."""
    if task := asyncio.current_task():
        task.uncancel()


def _is_cloud(name: str) -> bool:
    return name.startswith("cloud/")


class _Attempt:
    """One target asked once: policy, answer within the deadline, verification."""

    def __init__(
        self,
        prepared: PreparedUseCase,
        target: Target,
        envelope: Envelope,
        deadline: float,
        flow: Flow | None = None,
    ) -> None:
        self._flow = flow
        self._prepared = prepared
        self._target = target
        self._envelope = envelope
        self._deadline = deadline
        self._started = time.perf_counter()  # `run` sets it anew
        self._policy_ids: tuple[str, ...] = ()
        self.name = target.name
        self.given: Given | None = None
        self.leaning: Leaning | None = None
        self.refused = False
        self.asked = False

    @property
    def settled(self) -> bool:
        return self.given is not None or self.refused

    def overtaken(self, by: str) -> AttemptRecord:
        """Cancelled, since another was faster. What it cost nobody knows: all that was held for it counts."""
        return self._record("overtaken", f"was cancelled, since {by} was faster", None)

    def abandoned(self) -> AttemptRecord:
        """Cancelled, since nobody waits for the answer any more. All that was held for it counts."""
        unknown = 0.0 if self._target.own_text else None
        return self._record("failed", "its caller went away before it had answered", unknown)

    async def run(self) -> AttemptRecord:
        self._started = time.perf_counter()
        target = self._target
        verdict = self._prepared.permits(target, self._envelope)
        if not verdict.allowed:
            return denied(target.name, verdict)
        self._policy_ids = verdict.policy_ids
        unknown = 0.0 if target.own_text else None  # what a generating target cost when it did not say
        left_s = self._deadline - time.monotonic()
        if left_s <= 0 and not target.degraded:
            return self._record("skipped", _NO_TIME)
        self.asked = True
        try:
            async with asyncio.timeout(left_s) if target.waits and not target.degraded else nullcontext():
                answer = await self._answer()
        except NotAsked as blocked:
            return self._record("skipped", blocked.message)
        except TargetRefused as refusal:
            self.refused = True
            return self._record("refused", refusal.message, refusal.cost_usd, refusal.model)
        except TargetFailed as failure:
            return self._record("failed", failure.message, failure.cost_usd)
        except TimeoutError:
            return self._record("failed", f"no answer within the {left_s:.2f} s left", cost_usd=unknown)
        except Exception as error:  # noqa: BLE001  — a broken target must cost its answer, not the request
            log.error("target %s broke: %s", target.name, type(error).__name__)  # its text may hold content
            return self._record("failed", f"broke with {type(error).__name__}", cost_usd=unknown)
        if isinstance(answer, Declined):
            self.leaning = answer.leaning
            return self._record(
                "declined", answer.reason, 0.0, answer.model, (answer.confidence, answer.label)
            )
        return self._verified(answer)

    async def _answer(self) -> Answer | Declined:
        usecase = self._prepared.usecase
        if self._flow is None or self._target.own_text:
            return await self._target.answer(self._envelope, usecase, self._deadline)
        written = self._flow.writing(self._target, self._policy_ids)
        return await self._target.answer_written(self._envelope, usecase, self._deadline, written)

    def _verified(self, answer: Answer) -> AttemptRecord:
        own_text, validators = self._target.own_text, self._prepared.validators
        problem = verify(validators, answer.output, self._envelope, own_text=own_text)
        if problem is None and self._flow is not None and not self._flow.holds(answer.output):
            problem = "it is not the one that began to go out"
        if problem is not None:
            reason = f"its answer was refused: {problem}"
            return self._record("refused", reason, answer.cost_usd, answer.model, self._scored(answer))
        self.given = Given(answer, self._target, names(validators, own_text=own_text))
        reason = answer.reason or "answered"
        return self._record("answered", reason, answer.cost_usd, answer.model, self._scored(answer))

    def _scored(self, answer: Answer) -> tuple[float | None, str | None]:
        """Confidence and label of a local model's answer. A generated label may hold anything: not kept."""
        label = answer.output.get(self._prepared.usecase.label) if self._target.own_text else None
        return answer.confidence, label if answer.confidence is not None and isinstance(label, str) else None

    def _record(
        self,
        outcome: str,
        reason: str,
        cost_usd: float | None = 0.0,
        model: str | None = None,
        scored: tuple[float | None, str | None] = (None, None),
    ) -> AttemptRecord:
        took_ms = round((time.perf_counter() - self._started) * 1000, 3)
        name, ids = self._target.name, self._policy_ids
        return AttemptRecord(name, outcome, reason, ids, took_ms, cost_usd, model, *scored)
