"""Waits for a rollout's end, as a workflow does that promotes or rolls back afterwards."""

import time
from collections.abc import Callable

from registry.rollout import Rollout, State
from registry.rollout_errors import RolloutRefused
from registry.rollout_store import Rollouts


def wait_for_end(
    kept: Rollouts,
    component: str,
    timeout_s: float,
    poll_s: float,
    say: Callable[[Rollout], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Rollout:
    """The component's latest rollout once it was promoted; `say` is told of each move that is seen.

    Raises `RolloutRefused` when it ended otherwise, or not within `timeout_s`, and `RolloutNotFound`.
    """
    until = time.monotonic() + timeout_s
    seen = -1
    while True:
        rollout = kept.latest(component)
        if rollout.revision != seen:
            seen = rollout.revision
            say(rollout)
        if rollout.state is State.PROMOTED:
            return rollout
        if rollout.ended:
            raise RolloutRefused(
                f"rollout of {component} ended {rollout.state}: see `switchyard rollout status {component}`"
            )
        if time.monotonic() >= until:
            raise RolloutRefused(
                f"rollout of {component} is {rollout.state} after {timeout_s:g} s: wait, promote or abort it"
            )
        sleep(poll_s)
