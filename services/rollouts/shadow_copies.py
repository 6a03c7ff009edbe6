"""One copy of a request to a candidate in shadow, and what came of it beside what was answered.

Asked in a thread of shadow's own. What waits for the network (cloud models, a model service) lives in the
worker's event loop and is asked there, where waiting holds nobody up.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from feature_checks.usecase import UseCase
from services.attempts import attempt_in_order
from services.errors import ServiceError
from services.plan import make_plan
from services.prepared import PreparedUseCase
from services.rollouts.comparing import compare, compare_plans
from services.rollouts.config_sides import CLOUD, ConfigSide
from services.rollouts.counts import NOT_ASKED
from services.rollouts.divider import STAND_INS, Exposed, TargetSide, without
from services.synthesis import Outcome
from services.targets import Target
from services.values import Answer, AttemptRecord, Declined, Envelope, VariantRecord


@dataclass(frozen=True, slots=True)
class Shown:
    """What one copy showed: both sides as `RolloutCounts.compared` takes them, and whether they agree."""

    sides: Mapping[str, Mapping[str, Any]]
    agrees: bool
    failed: bool


class Copy(Protocol):
    """One request to be asked again. Holds nothing that is not redacted."""

    @property
    def envelope(self) -> Envelope: ...

    @property
    def outcome(self) -> Outcome: ...

    @property
    def record(self) -> VariantRecord: ...

    @property
    def waits(self) -> bool:
        """For a network, and not only for a processor?"""
        ...

    def ask(self, loop: asyncio.AbstractEventLoop) -> Shown:
        """In a thread; `loop` is the worker's. Takes `timeout_s` at most, unless the candidate hangs."""
        ...


def copy_of(
    envelope: Envelope,
    outcome: Outcome,
    record: VariantRecord,
    exposed: Exposed,
    prepared: PreparedUseCase,
    killed: Mapping[str, str],
    timeout_s: float,
) -> Copy | None:
    """None where the component was not asked, or is none that can be shadowed. `killed` targets, with why,
    are asked by nobody."""
    part = record.component.partition("/")[2]
    mine = tuple(
        a
        for a in outcome.attempts
        if a.outcome not in NOT_ASKED and a.target not in STAND_INS and _is_of(part, a)
    )
    if not mine:
        return None
    candidate, stable = exposed.candidate, exposed.stable
    if isinstance(candidate, ConfigSide):
        cloud = candidate.shadow.usecase.cloud
        more_s = cloud.timeout_s if cloud else 0.0
        shadow = without(killed, candidate.shadow)
        return PlanCopy(envelope, outcome, record, timeout_s + more_s, mine, prepared, shadow, part)
    if not (isinstance(candidate, TargetSide) and isinstance(stable, TargetSide)):
        return None
    targets = (candidate.targets.get(part), stable.targets.get(part))
    if targets[0] is None or targets[1] is None or targets[0].waits:
        return None
    return ModelCopy(envelope, outcome, record, timeout_s, mine[0], prepared, targets[0], targets[1])


def _is_of(part: str, attempt: AttemptRecord) -> bool:
    return part == "config" or attempt.target.partition("/")[0] == part


@dataclass(frozen=True, slots=True)
class ModelCopy:
    """A local model's: stable is asked again in the same place, so that times compare."""

    envelope: Envelope
    outcome: Outcome
    record: VariantRecord
    timeout_s: float
    mine: AttemptRecord
    prepared: PreparedUseCase
    candidate: Target
    stable: Target
    waits: bool = False

    def ask(self, loop: asyncio.AbstractEventLoop) -> Shown:
        said, ms = self._ask(self.candidate)
        _, stable_ms = self._ask(self.stable)
        found = compare(
            self.prepared.usecase.label, self.outcome, self.mine, said, self.prepared.validators,
            self.envelope, self.candidate.own_text,
        )  # fmt: skip
        sides = {
            "stable": {**found.stable, "latency": stable_ms, "disagreements": False},
            "candidate": {**found.candidate, "latency": ms, "disagreements": not found.agrees},
        }
        return Shown(sides, found.agrees, bool(found.candidate["errors"]))

    def _ask(self, target: Target) -> tuple[Answer | Declined | str, float]:
        """Whatever is raised is a failure."""
        started = time.perf_counter()
        said: Answer | Declined | str
        try:
            answering = target.answer(self.envelope, self.prepared.usecase, time.monotonic() + self.timeout_s)
            said = asyncio.run(asyncio.wait_for(answering, self.timeout_s))
        except ServiceError as error:
            said = error.message
        except Exception as error:  # noqa: BLE001  — a candidate may raise what it likes; its text may hold content
            said = f"broke with {type(error).__name__}"
        return said, (time.perf_counter() - started) * 1000


@dataclass(frozen=True, slots=True)
class PlanCopy:
    """A configuration's whole plan: policy, budget and validators too. What of it is compared is its `part`.

    Stable's cloud models are not asked again, which would cost; what it computes is, so that times compare.
    """

    envelope: Envelope
    outcome: Outcome
    record: VariantRecord
    timeout_s: float
    mine: tuple[AttemptRecord, ...]
    stable: PreparedUseCase
    candidate: PreparedUseCase
    part: str
    waits: bool = True

    def ask(self, loop: asyncio.AbstractEventLoop) -> Shown:
        deadline = time.monotonic() + self.timeout_s
        tried, given = asyncio.run(self._tried(loop, deadline))
        stable_ms = asyncio.run(self._stable_ms(deadline))
        asked = [a for a in tried if a.outcome not in NOT_ASKED and _is_of(self.part, a)]
        approved = given is not None and given[1] and not (self.outcome.route or "").startswith(CLOUD)
        found = compare_plans(
            self.stable.usecase.label, self.outcome, self.mine, asked, given[0] if given else None, approved
        )
        ms = sum(a.latency_ms for a in asked)
        stable: dict[str, Any] = {**found.stable, "latency": stable_ms, "disagreements": False}
        candidate: dict[str, Any] = {**found.candidate, "latency": ms, "disagreements": not found.agrees}
        for side, attempts in ((stable, self.mine), (candidate, asked)):
            costs = [a.cost_usd for a in attempts if a.cost_usd is not None]
            if len(costs) == len(attempts):
                side["cost"] = sum(costs)
        return Shown(
            {"stable": stable, "candidate": candidate}, found.agrees, bool(found.candidate["errors"])
        )

    async def _tried(
        self, loop: asyncio.AbstractEventLoop, deadline: float
    ) -> tuple[list[AttemptRecord], tuple[Answer, bool] | None]:
        """The candidate's attempts, and the answer that it would have given: is its text an approved one?"""
        order = tuple(name for name in self.candidate.order if name not in STAND_INS)
        targets = {
            name: _OnLoop(target, loop) if target.waits else target
            for name, target in self.candidate.targets.items()
        }
        prepared = replace(self.candidate, order=order, targets=targets)
        plan = make_plan(
            order, targets, prepared.missing,
            permits=lambda target: prepared.permits(target, self.envelope),
            closed=lambda name: prepared.closed(name, self.envelope),
        )  # fmt: skip
        tried, given = await attempt_in_order(prepared, plan, self.envelope, deadline)
        return tried, (given.answer, given.target.own_text) if given else None

    async def _stable_ms(self, deadline: float) -> float:
        total = 0.0
        for attempt in self.mine:
            target = self.stable.targets.get(attempt.target)
            if target is None or target.waits:
                total += attempt.latency_ms
                continue
            started = time.perf_counter()
            with suppress(Exception):  # that stable fails is in its own record; here it is timed
                await target.answer(self.envelope, self.stable.usecase, deadline)
            total += (time.perf_counter() - started) * 1000
        return total


class _OnLoop(Target):
    """A target whose connections live in another event loop: it is asked there, and waited for here."""

    def __init__(self, target: Target, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop
        self.name = target.name
        self.on_premises, self.region, self.attested = target.on_premises, target.region, target.attested
        self.sees_request, self.own_text = target.sees_request, target.own_text
        self.degraded, self.versions = target.degraded, target.versions

    async def answer(self, envelope: Envelope, usecase: UseCase, deadline: float) -> Answer | Declined:
        asking = self._target.answer(envelope, usecase, deadline)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asking, self._loop))
