"""One rollout as a frozen value, and the moves that it may make: pure, each with a record of who and why.

shadow -> canary (one weight after another) -> promoted. While it lives it may be paused and resumed; it ends
promoted, aborted (by a person, or because its numbers mean nothing) or rolled back (worse than stable).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from registry.rollout_errors import RolloutRefused
from registry.rollout_guard import DEFAULT_GUARD, Guard
from registry.rollout_rule import Outcome

SHADOW_STEP = -1
DEFAULT_STEPS = (5.0, 25.0, 50.0, 100.0)

Version = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:@+-]+$")]
Component = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}/[a-z][a-z0-9_/-]{0,63}$")]

_STRICT = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class State(StrEnum):
    """Where a rollout stands."""

    SHADOW = "shadow"
    CANARY = "canary"
    PAUSED = "paused"
    PROMOTED = "promoted"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled_back"


Mode = Literal["full", "canary", "shadow"]
"""`full`: shadow first, then canary; `canary`: without shadow; `shadow`: no further by itself."""

ENDED = frozenset({State.PROMOTED, State.ABORTED, State.ROLLED_BACK})


class Move(StrEnum):
    """What may be asked of a rollout."""

    ADVANCE = "advance"
    PAUSE = "pause"
    RESUME = "resume"
    ROLL_BACK = "roll_back"
    ABORT = "abort"
    PROMOTE = "promote"


MOVE_FOR = {
    Outcome.ADVANCE: Move.ADVANCE,
    Outcome.PAUSE: Move.PAUSE,
    Outcome.ROLL_BACK: Move.ROLL_BACK,
    Outcome.STOP: Move.ABORT,
}
"""The move that a verdict asks for; `HOLD` asks for none."""


class Rollout(BaseModel):
    """One component's rollout. `revision` counts its moves; `step_since_s` is in seconds since 1970."""

    model_config = _STRICT

    id: str = Field(pattern=r"^[0-9a-f]{16,64}$")
    component: Component
    stable: Version
    candidate: Version
    mode: Mode = "full"
    steps: tuple[float, ...] = DEFAULT_STEPS
    guard: Guard = DEFAULT_GUARD
    state: State = State.SHADOW
    step: int = Field(default=SHADOW_STEP, ge=SHADOW_STEP)
    revision: int = Field(default=0, ge=0)
    step_since_s: float = Field(ge=0)

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def step_id(self) -> str:
        """Names this step, begun at that moment: what is counted in it is counted under this name."""
        return f"{self.step}@{self.step_since_s!r}"

    @property
    def shadowing(self) -> bool:
        """Does the candidate get copies of requests, and nothing else?"""
        return not self.ended and self.step == SHADOW_STEP

    @property
    def weight_percent(self) -> float:
        """The candidate's share of requests. A pause keeps it: people do not change sides and back."""
        if self.state is State.PROMOTED:
            return 100.0
        return 0.0 if self.ended or self.step == SHADOW_STEP else self.steps[self.step]

    @property
    def next_percent(self) -> float:
        """The share that the next step gives the candidate."""
        return self.steps[self.step + 1] if self.step + 1 < len(self.steps) else 100.0


class Record(BaseModel):
    """One move: which, when, by whom, why, and on which numbers. `revision` is the one that it led to."""

    model_config = _STRICT

    revision: int = Field(ge=0)
    at_s: float
    move: str
    before: str
    after: str
    weight_percent: float
    by: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=500)
    numbers: Mapping[str, Any] = Field(default_factory=dict)


def check_start(
    stable: str, candidate: str, steps: tuple[float, ...], contracts: Mapping[str, str], component: str
) -> None:
    """May this rollout start? `contracts`: every known version and the digest of its output contract.

    Raises `RolloutRefused`, with all that is wrong. That the component has no other rollout is the store's
    to say, since only it knows at the moment of starting.
    """
    problems = []
    if stable == candidate:
        problems.append("candidate: expected another version than stable's; there is nothing to roll out")
    for side, version in (("stable", stable), ("candidate", candidate)):
        if version not in contracts:
            known = ", ".join(sorted(contracts)[-5:]) or "none"
            problems.append(f"{side}: no such version of {component}; known are {known}")
    if not steps or any(not 0 < weight <= 100 for weight in steps):
        problems.append("steps: expected weights above 0 and up to 100 (percent)")
    elif list(steps) != sorted(set(steps)):
        problems.append("steps: expected weights that ascend, such as 5,25,50,100")
    elif steps[-1] != 100:
        problems.append("steps: expected 100 as the last one")
    if {stable, candidate} <= contracts.keys() and contracts[stable] != contracts[candidate]:
        problems.append(
            "candidate: its output contract is not stable's; callers would see another answer form"
        )
    if problems:
        raise RolloutRefused(f"rollout of {component} not started: {'; '.join(problems)}")


def started(rollout: Rollout, *, by: str, reason: str) -> Record:
    """The record of a rollout's beginning."""
    return Record(
        revision=rollout.revision, at_s=rollout.step_since_s, move="start", before="none",
        after=rollout.state, weight_percent=rollout.weight_percent, by=by, reason=reason,
    )  # fmt: skip


def move(
    rollout: Rollout,
    asked: Move,
    *,
    by: str,
    reason: str,
    at_s: float,
    numbers: Mapping[str, Any] | None = None,
) -> tuple[Rollout, Record] | None:
    """The rollout after this move, and its record; None where it is there already, so repeating is safe.

    Raises `RolloutRefused` for a move that its state does not allow.
    """
    change = _change(rollout, asked)
    if change is None:
        return None
    # Clocks of controllers differ: a step never begins before the one that it follows.
    at_s = max(at_s, rollout.step_since_s)
    new_step = change.get("step", rollout.step) != rollout.step or asked is Move.RESUME
    after = rollout.model_copy(
        update=change | {"revision": rollout.revision + 1, **({"step_since_s": at_s} if new_step else {})}
    )
    return after, Record(
        revision=after.revision, at_s=at_s, move=asked, before=rollout.state, after=after.state,
        weight_percent=after.weight_percent, by=by, reason=reason, numbers=numbers or {},
    )  # fmt: skip


_REACHED = {
    Move.PAUSE: State.PAUSED,
    Move.ABORT: State.ABORTED,
    Move.ROLL_BACK: State.ROLLED_BACK,
    Move.PROMOTE: State.PROMOTED,
}


def _change(rollout: Rollout, asked: Move) -> dict[str, Any] | None:
    """What changes; None: nothing, it is there already."""
    if asked in _REACHED and rollout.state is _REACHED[asked]:
        return None
    if asked is Move.RESUME and rollout.state in (State.SHADOW, State.CANARY):
        return None
    taken_back = asked is Move.ABORT and rollout.state is State.PROMOTED
    if rollout.ended and not taken_back:
        raise RolloutRefused(
            f"{asked}: the rollout of {rollout.component} has ended ({rollout.state}); start anew"
        )
    if asked is Move.RESUME:
        return {"state": State.SHADOW if rollout.step == SHADOW_STEP else State.CANARY}
    if asked is Move.PROMOTE and rollout.step == SHADOW_STEP:
        raise RolloutRefused(
            f"promote: the candidate of {rollout.component} has answered nobody yet; take a step first"
        )
    if asked is not Move.ADVANCE:
        return {"state": _REACHED[asked]}
    if rollout.state is State.PAUSED and not (rollout.mode == "shadow" and rollout.step == SHADOW_STEP):
        raise RolloutRefused(f"advance: the rollout of {rollout.component} is paused; resume it first")
    if rollout.step + 1 == len(rollout.steps):
        return {"state": State.PROMOTED}
    return {"state": State.CANARY, "step": rollout.step + 1}
