"""Asks a candidate in shadow: redacted copies, after the answer went out, in threads that nothing waits for.

Bounded three ways: so many copies at once, so many a second, so long each. What does not fit is dropped and
counted. A copy that hangs keeps its thread, and nothing else: when all threads hang, shadow sees no more
traffic, which an alert tells (`deploy/prometheus`).
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from services.errors import ServiceError
from services.prepared import PreparedUseCase
from services.rollouts.comparing import compare
from services.rollouts.counts import NOT_ASKED, RolloutCounts
from services.rollouts.divider import Exposed, TargetSide
from services.synthesis import Outcome
from services.targets import Target
from services.values import Answer, AttemptRecord, Declined, Envelope, VariantRecord
from services.variants import Why

log = logging.getLogger(__name__)

THREADS = 2
PER_SECOND = 20.0
TIMEOUT_S = 5.0


class ShadowMetrics(Protocol):
    """What is told of shadow traffic; `services.telemetry.Telemetry` is one."""

    def shadow_copy(self, use_case: str, what: str) -> None: ...

    def shadowing(self, use_cases: Iterable[str]) -> None: ...


Disagreed = Callable[[Envelope, Outcome], None]


@dataclass(frozen=True, slots=True)
class _Copy:
    """One request to be asked again. Holds nothing that is not redacted."""

    envelope: Envelope
    outcome: Outcome
    record: VariantRecord
    mine: AttemptRecord
    prepared: PreparedUseCase
    candidate: Target
    stable: Target


@dataclass(frozen=True, slots=True)
class _Said:
    """A target's answer, or how it failed, and how long it took in the same thread."""

    said: Answer | Declined | str
    ms: float


class Shadow:
    """`recorded` is a pipeline observer. Local models alone are shadowed: they cost nothing."""

    def __init__(
        self, counts: RolloutCounts, metrics: ShadowMetrics, disagreed: Disagreed,
        *, threads: int = THREADS, per_second: float = PER_SECOND, timeout_s: float = TIMEOUT_S,
    ) -> None:  # fmt: skip
        self._counts = counts
        self._metrics = metrics
        self._disagreed = disagreed
        self._threads = threads
        self._per_second = per_second
        self._timeout_s = timeout_s
        self._exposed: dict[str, tuple[Exposed, PreparedUseCase]] = {}
        self._waiting: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, _Copy] | None] = queue.SimpleQueue()
        self._started = 0
        self._at_once = 0
        self._tokens = per_second
        self._filled = time.monotonic()

    def serve(self, shadowed: Iterable[tuple[Exposed, PreparedUseCase]]) -> None:
        """From now on these rollouts are in shadow."""
        self._exposed = {exposed.exposure.rollout: (exposed, prepared) for exposed, prepared in shadowed}
        self._metrics.shadowing({prepared.usecase.name for _, prepared in self._exposed.values()})

    def recorded(self, envelope: Envelope, outcome: Outcome) -> None:
        for record in outcome.variants if self._exposed else ():
            found = self._exposed.get(record.rollout)
            if found is None or record.why != Why.WEIGHT:
                continue
            copy = _copy(envelope, outcome, record, *found)
            if copy is not None:
                self._send(copy)

    def close(self) -> None:
        """Let idle threads end; one that hangs is left behind, and dies with the process."""
        self._exposed = {}
        for _ in range(self._started):
            self._waiting.put(None)

    def _send(self, copy: _Copy) -> None:
        now = time.monotonic()
        self._tokens = min(self._per_second, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        if self._at_once >= self._threads or self._tokens < 1:
            self._metrics.shadow_copy(copy.envelope.use_case, "dropped")
            return
        self._tokens -= 1
        self._at_once += 1
        if self._started < self._threads:
            self._started += 1
            threading.Thread(target=self._work, name="shadow", daemon=True).start()
        self._waiting.put((asyncio.get_running_loop(), copy))

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            loop, copy = job
            candidate = _ask(copy.candidate, copy, self._timeout_s)
            stable = _ask(copy.stable, copy, self._timeout_s)  # in the same place, so that times compare
            try:
                loop.call_soon_threadsafe(self._done, copy, candidate, stable)
            except RuntimeError:
                return  # the loop has ended, and nobody counts any more

    def _done(self, copy: _Copy, candidate: _Said, stable: _Said) -> None:
        self._at_once -= 1
        name, usecase = copy.envelope.use_case, copy.prepared.usecase
        found = compare(
            usecase.label, copy.outcome, copy.mine, candidate.said, copy.prepared.validators, copy.envelope,
            copy.candidate.own_text,
        )  # fmt: skip
        sides = {
            "stable": {**found.stable, "latency": stable.ms, "disagreements": False},
            "candidate": {**found.candidate, "latency": candidate.ms, "disagreements": not found.agrees},
        }
        self._counts.compared(copy.record.rollout, copy.record.step, sides)
        self._metrics.shadow_copy(name, "compared")
        if found.candidate["errors"]:
            self._metrics.shadow_copy(name, "failed")
        elif not found.agrees:
            self._metrics.shadow_copy(name, "disagreed")
        if not found.agrees:
            self._disagreed(copy.envelope, copy.outcome)


def _copy(
    envelope: Envelope, outcome: Outcome, record: VariantRecord, exposed: Exposed, prepared: PreparedUseCase
) -> _Copy | None:
    """None where the component was not asked, or is none that can be shadowed."""
    part = record.component.partition("/")[2]
    mine = next((a for a in outcome.attempts if a.target == part and a.outcome not in NOT_ASKED), None)
    sides = (exposed.candidate, exposed.stable)
    if mine is None or not all(isinstance(s, TargetSide) for s in sides):
        return None
    targets = [s.targets.get(part) for s in sides if isinstance(s, TargetSide)]
    candidate, stable = targets
    if candidate is None or stable is None or candidate.waits:
        return None
    return _Copy(envelope, outcome, record, mine, prepared, candidate, stable)


def _ask(target: Target, copy: _Copy, timeout_s: float) -> _Said:
    """In a thread of ours, with a loop of its own; whatever is raised is a failure."""
    started = time.perf_counter()
    said: Answer | Declined | str
    try:
        deadline = time.monotonic() + timeout_s
        answering = target.answer(copy.envelope, copy.prepared.usecase, deadline)
        said = asyncio.run(asyncio.wait_for(answering, timeout_s))
    except ServiceError as error:
        said = error.message
    except Exception as error:  # noqa: BLE001  — a candidate may raise what it likes; its text may hold content
        said = f"broke with {type(error).__name__}"
    return _Said(said, (time.perf_counter() - started) * 1000)
