"""One tick of the controller: each rollout that lives is judged once by what was counted, and moved.

Idempotent, and any number may run: a move is written only onto the revision that it was decided on, and one
that dies in the middle leaves the rollout before its move or after it, so that the next tick goes on.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from registry.rollout import Record, Rollout, State
from registry.rollout_evidence import Period, Rate
from registry.rollout_moves import follow
from registry.rollout_rule import Outcome, Verdict, judge
from registry.rollout_store import Rollouts
from registry.rollout_tallies import RolloutTallies

MAX_REASON = 500  # of a record


@dataclass(frozen=True, slots=True)
class Ticked:
    """What one tick saw of one rollout. `record` is the move that it made; None: it was left where it is."""

    rollout: Rollout
    whole: Period
    verdict: Verdict
    frozen: bool
    record: Record | None

    def shown(self) -> dict[str, Any]:
        """For people and scripts: JSON-like."""
        return {
            "component": self.rollout.component,
            "rollout": self.rollout.id,
            "state": self.record.after if self.record else self.rollout.state,
            "weight_percent": self.record.weight_percent if self.record else self.rollout.weight_percent,
            "outcome": self.verdict.outcome,
            "reason": self.verdict.reason,
            "moved": self.record.move if self.record else None,
            "budget_used_up": self.frozen,
            "p_mismatch": self.verdict.p_mismatch,
            "findings": [asdict(finding) for finding in self.verdict.findings],
            "sides": {
                "stable": _side(self.whole, "stable"),
                "candidate": _side(self.whole, "candidate"),
            },
        }


Barred = Callable[[Rollout], str | None]
"""Why this rollout's candidate may not serve everybody, whatever its numbers; None where it may."""


def tick(kept: Rollouts, *, by: str, at_s: float, barred: Barred = lambda _: None) -> list[Ticked]:
    """Judge and move all that live, by component. `at_s` in seconds since 1970.

    Before a candidate gets every request, and before it is promoted, `barred` is asked: where it says why
    not, the rollout pauses, and a person decides.

    A controller whose clock is behind waits longer; one whose clock is ahead can only pause sooner, since
    workers measure themselves when a step's first seconds are over. Raises `RolloutsUnavailable`.
    """
    tallies = RolloutTallies(kept.database)
    day = datetime.fromtimestamp(at_s, UTC).date().isoformat()
    done = []
    for rollout in kept.live():
        whole, settled = tallies.period(rollout)
        frozen = tallies.frozen(rollout.component.partition("/")[0], day)
        verdict = judge(
            rollout.guard,
            weight_percent=rollout.weight_percent,
            steps=len(rollout.steps) + 1,  # shadow is judged too
            whole=whole,
            settled=settled,
            elapsed_s=max(0.0, at_s - rollout.step_since_s),
            frozen=frozen,
            next_percent=rollout.next_percent,
            earlier=tallies.earlier(rollout),
        )
        last = rollout.state is State.CANARY and rollout.next_percent >= 100
        if last and verdict.outcome is Outcome.ADVANCE and (why := barred(rollout)) is not None:
            reason = f"its numbers are good, and it may not serve everybody: {why}"
            verdict = replace(verdict, outcome=Outcome.PAUSE, reason=reason[:MAX_REASON])
        record = follow(kept, rollout, verdict, by=by, at_s=at_s)
        if record is not None:
            tallies.forget(rollout.id, rollout.step_id)
        done.append(Ticked(rollout, whole, verdict, frozen, record))
    return done


def _side(period: Period, name: str) -> dict[str, Any]:
    side = period.stable if name == "stable" else period.candidate
    rates = {n: asdict(m) for n, m in sorted(side.metrics.items()) if isinstance(m, Rate)}
    return {"keys": side.keys, **rates}
