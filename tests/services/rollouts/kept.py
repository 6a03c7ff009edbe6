"""A rollout of support's local model, kept where a served app reads it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from registry.rollout import Move, Rollout, started
from registry.rollout_moves import ask
from registry.rollout_store import Rollouts

COMPONENT = "support/local"


@contextmanager
def kept(home: Path) -> Iterator[Rollouts]:
    with Rollouts(home / "rollouts.db") as opened:
        yield opened


def begin(
    home: Path, *, steps: tuple[float, ...] = (50.0, 100.0), advance: int = 1, **changes: Any
) -> Rollout:
    """A rollout that took so many steps; with none it is in shadow."""
    rollout = Rollout.model_validate(
        {
            "id": "ab" * 16, "component": COMPONENT, "stable": "1", "candidate": "2", "steps": steps,
            "step_since_s": time.time(), **changes,
        }
    )  # fmt: skip
    with kept(home) as store:
        store.start(rollout, started(rollout, by="a test", reason="to see"))
        for _ in range(advance):
            rollout = wish(home, Move.ADVANCE, rollout.component)
    return rollout


def wish(home: Path, move: Move, component: str = COMPONENT) -> Rollout:
    with kept(home) as store:
        return ask(store, component, move, by="a test", reason="to see", at_s=time.time())
