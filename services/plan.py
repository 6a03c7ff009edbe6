"""Which targets to try, in which order, and why: a pure function.

The order is the use case's own. A target that was not built, that access policy does not permit, or
whose endpoint is known to be bad just now is left out, with the reason and the deciding policy ids.
"""

from collections.abc import Callable, Mapping, Sequence

from services.targets import Target
from services.values import AttemptRecord, PlannedAttempt, RoutePlan, Verdict


def make_plan(
    order: Sequence[str],
    targets: Mapping[str, Target],
    missing: Mapping[str, str],
    permits: Callable[[Target], Verdict],
    closed: Callable[[str], str | None],
) -> RoutePlan:
    """Walk `order` once.

    `missing` says why a target could not be built; `permits` is the access policy's word on sending
    this request to a target; `closed` says why a target should not be tried just now, or None.
    """
    attempts: list[PlannedAttempt] = []
    left_out: list[AttemptRecord] = []
    for name in order:
        target = targets.get(name)
        if target is None:
            left_out.append(AttemptRecord(name, "skipped", missing.get(name, "is not set up here")))
            continue
        verdict = permits(target)
        if not verdict.allowed:
            left_out.append(denied(name, verdict))
        elif (reason := closed(name)) is not None:
            left_out.append(AttemptRecord(name, "skipped", reason, verdict.policy_ids))
        else:
            place = "first in the plan" if not attempts else f"if {attempts[-1].target} does not answer"
            attempts.append(PlannedAttempt(name, f"{place}; {verdict.reason}"))
    return RoutePlan(tuple(attempts), tuple(left_out))


def denied(name: str, verdict: Verdict) -> AttemptRecord:
    """How a target that policy does not permit stands in the record."""
    return AttemptRecord(name, "denied", f"access policy says no: {verdict.reason}", verdict.policy_ids)
