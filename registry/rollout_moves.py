"""Moves a kept rollout: a controller by a verdict, a person by a wish. Any number may, at the same time."""

from dataclasses import asdict

from registry.rollout import MOVE_FOR, Move, Record, Rollout, State, move
from registry.rollout_errors import RolloutRaced
from registry.rollout_rule import Outcome, Verdict
from registry.rollout_store import Rollouts

TRIES = 20


def follow(kept: Rollouts, rollout: Rollout, verdict: Verdict, *, by: str, at_s: float) -> Record | None:
    """What a verdict on `rollout` as it was read asks for; None where nothing is to be done any more.

    A verdict is about one step: when somebody moved the rollout meanwhile, it is dropped, not applied to
    the next step. What is paused only leaves its pause by a person, or for being worse.
    """
    if rollout.ended or verdict.outcome is Outcome.HOLD:
        return None
    if rollout.state is State.PAUSED and verdict.outcome in (Outcome.ADVANCE, Outcome.PAUSE):
        return None
    asked, reason = MOVE_FOR[verdict.outcome], verdict.reason
    if asked is Move.ADVANCE and rollout.mode == "shadow" and rollout.shadowing:
        asked, reason = Move.PAUSE, f"shadow passed ({reason}); a person takes the first step by `promote`"
    numbers = {"findings": [asdict(f) for f in verdict.findings], "p_mismatch": verdict.p_mismatch}
    moved = move(rollout, asked, by=by, reason=reason, at_s=at_s, numbers=numbers)
    if moved is None:
        return None
    after, record = moved
    try:
        kept.save(rollout, after, record)
    except RolloutRaced:
        return None
    return record


def ask(kept: Rollouts, component: str, wish: Move, *, by: str, reason: str, at_s: float) -> Rollout:
    """What a person wants of the component's latest rollout, as it is after that. Safe to repeat, but for
    `ADVANCE`, which is one step for each asking.

    Raises `RolloutNotFound`, `RolloutRefused`, and `RolloutRaced` when others never let it be.
    """
    first = kept.latest(component)
    rollout = first
    for _ in range(TRIES):
        moved = move(rollout, wish, by=by, reason=reason, at_s=at_s)
        if moved is None:
            return rollout
        after, record = moved
        try:
            kept.save(rollout, after, record)
        except RolloutRaced:
            rollout = kept.latest(component)
            # A wish to take a step, or to end, was about what the person saw: not about a later rollout.
            if rollout.id != first.id or (wish is Move.ADVANCE and rollout.step != first.step):
                raise
            continue
        return after
    raise RolloutRaced(f"the rollout of {component} is moved faster than this could be; try again")
