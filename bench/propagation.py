"""`python -m bench.propagation`: how soon every worker obeys a rollout's step and a kill switch, under load.

Two workers of `bentoml serve` with default settings, steady callers on connections of their own. A rollout is
moved from shadow to everybody, its kill switch turned, taken back, and the rollout aborted; timed from each
write to the last answer by the version that should not answer any more. Prints JSON.
"""

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.candidates import as_it_is, place_candidate
from bench.promotions import Callers, asking, calling
from bench.sample_model import place_sample_model
from feature_checks.datasets import load_labelled
from feature_checks.usecase import load_usecase
from registry.records import ModelRef
from registry.rollout import Move, Rollout, started
from registry.rollout_moves import ask
from registry.rollout_store import Rollouts
from registry.switches import Switches, Turn

LABELS = 8
STEP_WITHIN_S, KILL_WITHIN_S = 5.0, 2.0


class Store:
    """The rollout of one component, as the commands move it."""

    def __init__(self, home: Path, component: str) -> None:
        self._home = home
        self._component = component
        self._number = 0

    def start(self) -> None:
        self._number += 1
        rollout = Rollout(
            id=f"{self._number:032x}", component=self._component, stable="1", candidate="2", steps=(100.0,),
            step_since_s=time.time(),
        )  # fmt: skip
        with Rollouts(self._home / "rollouts.db") as kept:
            kept.start(rollout, started(rollout, by="bench", reason="to measure"))

    def move(self, move: Move) -> None:
        with Rollouts(self._home / "rollouts.db") as kept:
            ask(kept, self._component, move, by="bench", reason="to measure", at_s=time.time())

    def kill(self, killed: bool) -> None:
        name = f"rollout:{self._component}"
        with Rollouts(self._home / "rollouts.db") as kept:
            turn = Turn(name=name, killed=killed, at_s=time.time(), by="bench", reason="to measure")
            Switches(kept.database).turn(turn)


def measure(
    store: Store, callers: Callers, stable: ModelRef, candidate: ModelRef, rounds: int
) -> dict[str, list[float]]:
    """Seconds until the last worker obeyed, for each kind of change."""
    found: dict[str, list[float]] = {"step": [], "kill": [], "restore": [], "abort": []}

    def timed(what: str, change: Callable[[], None], by: ModelRef) -> None:
        change()
        since = time.monotonic()
        time.sleep(2 * STEP_WITHIN_S)
        found[what].append(callers.last_other(by.digest, since))

    for _ in range(rounds):
        store.start()
        time.sleep(2 * STEP_WITHIN_S)  # the candidate is loaded while it is in shadow
        timed("step", lambda: store.move(Move.ADVANCE), candidate)
        timed("kill", lambda: store.kill(True), stable)
        timed("restore", lambda: store.kill(False), candidate)
        timed("abort", lambda: store.move(Move.ABORT), stable)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.propagation", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--usecase", default="support")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--callers", type=int, default=4)
    asked = parser.parse_args()
    for name in ("httpx", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    usecase = load_usecase(asked.usecase)
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as folder:
        scratch = Path(folder)
        home = scratch / "home"
        stable = place_sample_model(home, usecase, scratch / "models", threshold=0.0, labels=LABELS)
        candidate = place_candidate(home, stable, 2, scratch, as_it_is)
        row = load_labelled(usecase, "sample", scratch / "data").train.to_dict("records")[0]
        with (
            asking(home) as client,
            calling(client, usecase.name, row["text"], asked.callers, 0.05) as callers,
        ):
            times = measure(Store(home, f"{usecase.name}/local"), callers, stable, candidate, asked.rounds)
    found = {
        "requests": len(callers.seen), "failed": len(callers.failed),
        **{what: {"median_s": round(statistics.median(some), 2), "worst_s": round(max(some), 2)}
           for what, some in times.items()},
        "at_most_s": {"step": STEP_WITHIN_S, "kill": KILL_WITHIN_S}, "load": os.getloadavg()[0],
    }  # fmt: skip
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
