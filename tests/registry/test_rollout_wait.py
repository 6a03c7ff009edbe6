"""`switchyard rollout wait`: it ends when the rollout does, and says how."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.rollout import Move, Rollout, started
from registry.rollout_errors import RolloutRefused
from registry.rollout_moves import ask
from registry.rollout_store import Rollouts
from registry.rollout_wait import wait_for_end

COMPONENT = "desk/local"


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Rollouts]:
    rollout = Rollout(id="a" * 32, component=COMPONENT, stable="7", candidate="8", step_since_s=0)
    with Rollouts(tmp_path / "rollouts.db") as store:
        store.start(rollout, started(rollout, by="operator", reason="a test"))
        yield store


def moved(kept: Rollouts, *wishes: Move) -> list[str]:
    """Wait while these moves are made, one at each look; returns what was told."""
    pending, told = list(wishes), []

    def sleep(_: float) -> None:
        ask(kept, COMPONENT, pending.pop(0), by="numbers", reason="seen", at_s=1)

    try:
        wait_for_end(kept, COMPONENT, 1e9 if wishes else 0, 1, lambda r: told.append(str(r.state)), sleep)
    except RolloutRefused as refused:
        told.append(str(refused))
    return told


def test_it_tells_each_move_and_ends_with_the_promotion(kept: Rollouts) -> None:
    assert moved(kept, Move.ADVANCE, Move.PROMOTE) == ["shadow", "canary", "promoted"]


@pytest.mark.parametrize(("move", "state"), [(Move.ABORT, "aborted"), (Move.ROLL_BACK, "rolled_back")])
def test_an_end_that_is_no_promotion_is_an_error(kept: Rollouts, move: Move, state: str) -> None:
    told = moved(kept, Move.ADVANCE, move)
    assert told[:3] == ["shadow", "canary", state]
    assert f"ended {state}" in told[3]


def test_time_that_is_over_is_an_error(kept: Rollouts) -> None:
    assert "is shadow after 0 s" in moved(kept)[-1]
