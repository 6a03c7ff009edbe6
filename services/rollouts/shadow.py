"""Asks a candidate in shadow: redacted copies, after the answer went out, in threads that nothing waits for.

Bounded three ways: so many copies at once, so many a second, so long each. What does not fit is dropped and
counted. A copy that hangs keeps its thread, and nothing else: when all threads hang, shadow sees no more
traffic, which an alert tells (`deploy/prometheus`). What waits for a network has a lane of its own, so that a
slow endpoint does not keep local models from being compared.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.prepared import PreparedUseCase
from services.rollouts.counts import RolloutCounts
from services.rollouts.divider import Exposed
from services.rollouts.shadow_copies import Copy, Shown, copy_of
from services.synthesis import Outcome
from services.values import Envelope
from services.variants import Why

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """So many copies at once, and so many a second."""

    threads: int
    per_second: float


COMPUTING = LaneLimits(2, 20.0)
WAITING = LaneLimits(4, 5.0)


class ShadowMetrics(Protocol):
    """What is told of shadow traffic; `services.telemetry.Telemetry` is one."""

    def shadow_copy(self, use_case: str, what: str) -> None: ...

    def shadowing(self, use_cases: Iterable[str]) -> None: ...


Disagreed = Callable[[Envelope, Outcome], None]
Shadowed = tuple[Exposed, PreparedUseCase, Mapping[str, str]]
"""A rollout, the use case that it is of, and which of its targets were killed, with why."""


class Shadow:
    """`recorded` is a pipeline observer."""

    def __init__(
        self, counts: RolloutCounts, metrics: ShadowMetrics, disagreed: Disagreed,
        *, computing: LaneLimits = COMPUTING, waiting: LaneLimits = WAITING, timeout_s: float = TIMEOUT_S,
    ) -> None:  # fmt: skip
        self._counts = counts
        self._metrics = metrics
        self._disagreed = disagreed
        self._timeout_s = timeout_s
        self._exposed: dict[str, Shadowed] = {}
        self._computing = _Lane(computing, self._done)
        self._waiting = _Lane(waiting, self._done)

    def serve(self, shadowed: Iterable[Shadowed]) -> None:
        """From now on these rollouts are in shadow."""
        self._exposed = {one[0].exposure.rollout: one for one in shadowed}
        self._metrics.shadowing({prepared.usecase.name for _, prepared, _ in self._exposed.values()})

    def recorded(self, envelope: Envelope, outcome: Outcome) -> None:
        for record in outcome.variants if self._exposed else ():
            found = self._exposed.get(record.rollout)
            if found is None or record.why != Why.WEIGHT:
                continue
            copy = copy_of(envelope, outcome, record, *found, self._timeout_s)
            if copy is None:
                continue
            lane = self._waiting if copy.waits else self._computing
            if not lane.take(copy):
                self._metrics.shadow_copy(envelope.use_case, "dropped")

    def close(self) -> None:
        """Let idle threads end; one that hangs is left behind, and dies with the process."""
        self._exposed = {}
        self._computing.close()
        self._waiting.close()

    def _done(self, copy: Copy, shown: Shown) -> None:
        name = copy.envelope.use_case
        self._counts.compared(copy.record.rollout, copy.record.step, shown.sides)
        self._metrics.shadow_copy(name, "compared")
        if shown.failed:
            self._metrics.shadow_copy(name, "failed")
        elif not shown.agrees:
            self._metrics.shadow_copy(name, "disagreed")
        if not shown.agrees:
            self._disagreed(copy.envelope, copy.outcome)


class _Lane:
    """Threads that take copies, started when there is something to do. Used from the event loop only."""

    def __init__(self, limits: LaneLimits, done: Callable[[Copy, Shown], None]) -> None:
        self._limits = limits
        self._done = done
        self._jobs: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, Copy] | None] = queue.SimpleQueue()
        self._started = 0
        self._at_once = 0
        self._tokens = limits.per_second
        self._filled = time.monotonic()

    def take(self, copy: Copy) -> bool:
        """False where it does not fit."""
        now, rate = time.monotonic(), self._limits.per_second
        self._tokens = min(rate, self._tokens + (now - self._filled) * rate)
        self._filled = now
        if self._at_once >= self._limits.threads or self._tokens < 1:
            return False
        self._tokens -= 1
        self._at_once += 1
        if self._started < self._limits.threads:
            self._started += 1
            threading.Thread(target=self._work, name="shadow", daemon=True).start()
        self._jobs.put((asyncio.get_running_loop(), copy))
        return True

    def close(self) -> None:
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, copy = job
            try:
                shown = copy.ask(loop)
            except asyncio.CancelledError:  # the worker's loop ends
                shown = None
            except Exception as error:  # noqa: BLE001  — a thread of shadow outlives whatever a copy does
                log.error("a copy to shadow broke: %s", type(error).__name__)
                shown = None
            try:
                loop.call_soon_threadsafe(self._over, copy, shown)
            except RuntimeError:
                return  # the loop has ended, and nobody counts any more

    def _over(self, copy: Copy, shown: Shown | None) -> None:
        self._at_once -= 1
        if shown is not None:
            self._done(copy, shown)
