"""Each reason says why, and what would have changed it: the second half, where a step did not say it itself.

A step knows why it did what it did. Only the whole plan knows what would have come otherwise: which target
was next, and which change of the request access policy would have let through.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from services.policy import AccessPolicy
from services.policy_explain import explain
from services.prepared import PreparedUseCase
from services.values import AttemptRecord, Envelope, RoutePlan

log = logging.getLogger(__name__)

WOULD = " would "
"""Every reason holds this word once it is explained. Where nothing answered, a step may say it itself."""

_CHANGES_SHOWN = 3
_OTHERWISE = {
    "declined": "else its answer would have been used",
    "denied": "permitted, it would have been asked",
    "overtaken": "had it been faster, its answer would have been used",
    "failed": "a sound answer would have been used",
    "refused": "a sound answer would have been used",
    "skipped": "else it would have been asked",
}


def explained(
    prepared: PreparedUseCase, plan: RoutePlan, envelope: Envelope, tried: Sequence[AttemptRecord]
) -> list[AttemptRecord]:
    """`tried`, each with a reason that also says what would have changed it."""
    last = len(tried) - 1
    return [
        one if place < last and _is_opinion(one) else _explained(prepared, plan, envelope, one)
        for place, one in enumerate(tried)
    ]


def _is_opinion(attempt: AttemptRecord) -> bool:
    """An answer after which another one was given: it says itself what would have been."""
    return attempt.outcome == "answered" and WOULD in attempt.reason


def _explained(
    prepared: PreparedUseCase, plan: RoutePlan, envelope: Envelope, attempt: AttemptRecord
) -> AttemptRecord:
    if attempt.outcome == "answered":
        if prepared.targets[attempt.target].degraded:
            return attempt  # a stand-in says for what
        otherwise = _after(plan, attempt.target)
    elif WOULD in attempt.reason:
        return attempt
    elif attempt.outcome == "denied":
        otherwise = _permitted_by(prepared, envelope, attempt.target)
    else:
        otherwise = _OTHERWISE[attempt.outcome]
    return replace(attempt, reason=f"{attempt.reason}; {otherwise}")


def _after(plan: RoutePlan, target: str) -> str:
    """What would have come had the target that answered not done so."""
    names = [planned.target for planned in plan.attempts]
    later = names[names.index(target) + 1 :] if target in names else []
    return f"else {later[0]} would have been asked" if later else "else nothing would have been left to ask"


def _permitted_by(prepared: PreparedUseCase, envelope: Envelope, name: str) -> str:
    """The single changes that access policy would have let through, asked for real."""
    target, policy = prepared.targets.get(name), prepared.policy
    if target is None or not isinstance(policy, AccessPolicy):
        return _OTHERWISE["denied"]
    try:
        changes = [c.change for c in explain(policy, prepared.question(target, envelope)).changes]
    except Exception as error:  # noqa: BLE001  — an explanation must never cost the answer
        log.error("access policy could not be explained for %s: %s", name, type(error).__name__)
        return _OTHERWISE["denied"]
    if not changes:
        return "no single change of its attributes would have let it through"
    return f"{', or '.join(changes[:_CHANGES_SHOWN])} would have let it through"
