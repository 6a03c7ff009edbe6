"""Follows the kept rollouts and kill switches off the request path, and tells the pipeline how to divide.

Every `poll_s` they are read anew. While the store is gone, the last known state holds. What a worker sees by
itself (a candidate cut off) holds at once and is told to the store as soon as it can be.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from registry.errors import RegistryError
from registry.rollout import Move, Rollout, State
from registry.rollout_errors import RolloutsUnavailable
from registry.rollout_moves import ask
from registry.rollout_store import Rollouts
from registry.rollout_tallies import Counted, RolloutTallies
from registry.switches import Switches
from registry.thresholds import Thresholds
from services.prepared import PreparedUseCase
from services.raised import Raised, RaisedThresholds
from services.rollouts.config_sides import fitted
from services.rollouts.counts import RolloutCounts
from services.rollouts.cutoff import Cutoff
from services.rollouts.divider import Divider, Exposed
from services.rollouts.shadow import Shadow
from services.rollouts.sides import Sides
from services.variants import Exposure

log = logging.getLogger(__name__)

Serve = Callable[[Mapping[str, Divider]], None]
Served = Callable[[], Mapping[str, PreparedUseCase]]


@dataclass(frozen=True, slots=True)
class View:
    """What the store says at one moment."""

    rollouts: tuple[Rollout, ...] = ()
    killed: frozenset[str] = frozenset()
    raised: Raised = field(default_factory=dict)


class RolloutWatch:
    """One for each worker, used from its event loop; stores and models are asked in threads."""

    def __init__(
        self,
        kept: Rollouts,
        sides: Sides,
        *,
        served: Served,
        serve: Serve,
        failures: int,
        poll_s: float,
        counts: RolloutCounts,
        worker: str,
        shadow: Shadow,
        thresholds: RaisedThresholds,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`served` are the use cases of now, `serve` takes their dividers, `failures` is how many hard ones
        cut a candidate off, `worker` names this one among all that write counts."""
        self.view = View()
        self.problem: str | None = None
        self._kept = kept
        self._sides = sides
        self._served = served
        self._serve = serve
        self._failures = failures
        self._poll_s = poll_s
        self._counts = counts
        self._worker = worker
        self._shadow = shadow
        self._thresholds = thresholds
        self._clock = clock
        self._cutoffs: dict[str, Cutoff] = {}
        self._told: set[str] = set()
        self._loading: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """For readiness: what is not as the rollouts want it."""
        said = {**self._sides.problems, **self._sides.notes}
        found = [f"rollout of {component}: {why}" for component, why in said.items()]
        return (*([self.problem] if self.problem else ()), *found)

    async def start(self) -> None:
        """Look once, with models loaded, and go on in the background."""
        await self.look()
        if self._loading:
            await self._loading
        self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        self._shadow.close()
        for task in (self._following, self._loading):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if counted := self._counts.take():
            with suppress(RegistryError):
                await asyncio.to_thread(RolloutTallies(self._kept.database).write, self._worker, counted)
        self._sides.close()
        await asyncio.to_thread(self._kept.close)

    async def look(self) -> None:
        """Read the store once and apply what it says."""
        cut = {rollout.id: self._cutoffs[rollout.id].last for rollout in self._cut()}
        counted = self._counts.take()
        try:
            view = await asyncio.to_thread(self._exchange, cut, counted)
        except RolloutsUnavailable as error:
            if counted:
                self._counts.again(counted)
            if self.problem is None:
                log.warning("%s; the last known state of rollouts holds", error)
            self.problem = f"{error}; the last known state of rollouts holds"
            return
        self.problem = None
        if view != self.view:
            self.view = view
            self.apply()
        if (view.rollouts or self._sides.problems) and (self._loading is None or self._loading.done()):
            self._loading = asyncio.create_task(self._load())

    def apply(self) -> None:
        """Hand over dividers for the rollouts and use cases of now."""
        served = self._served()
        self._thresholds.current = self.view.raised
        self._cutoffs = {r.id: self._cutoffs.get(r.id) or Cutoff(self._failures) for r in self.view.rollouts}
        allowed = {n: p.usecase.slo.fallback_rate for n, p in served.items() if p.usecase.slo.fallback_rate}
        self._counts.serve(self.view.rollouts, allowed)
        dividers = {name: self._divider(name, prepared) for name, prepared in served.items()}
        self._shadow.serve(
            (exposed, served[name], divider.killed_targets)
            for name, divider in dividers.items()
            for exposed in divider.exposed
            if exposed.exposure.shadow and exposed.candidate is not None
        )
        self._serve({name: one for name, one in dividers.items() if one.exposed or one.killed_targets})

    def _divider(self, name: str, prepared: PreparedUseCase) -> Divider:
        mine = [r for r in self.view.rollouts if r.component.startswith(f"{name}/")]
        exposed = tuple(one for r in mine if (one := self._exposed(r, prepared)) is not None)
        return Divider(
            fitted(exposed),
            frozenset(k.removeprefix("rollout:") for k in self.view.killed if k.startswith("rollout:")),
            _killed_targets(self.view.killed, name),
        )

    def _exposed(self, rollout: Rollout, prepared: PreparedUseCase) -> Exposed | None:
        """None where the rollout is over: once promoted, it holds until another version than stable leads."""
        if rollout.state is State.PROMOTED and self._sides.leads(rollout, prepared) != rollout.stable:
            return None
        pair = self._sides.of(rollout, prepared)
        exposure = Exposure(
            rollout.component, rollout.id, rollout.stable, rollout.candidate, rollout.weight_percent,
            rollout.shadowing,
        )  # fmt: skip
        return Exposed(exposure, rollout.step_id, pair.candidate, pair.stable, self._cutoffs[rollout.id])

    def _cut(self) -> list[Rollout]:
        """Rollouts whose candidate failed too often here, and of which the store does not know it yet."""
        return [r for r in self.view.rollouts if self._cutoffs[r.id].cut and r.id not in self._told]

    def _exchange(self, cut: Mapping[str, str], counted: Counted | None) -> View:
        """In a thread: tell the store what was counted and cut off, and ask it what holds now."""
        if not self._kept.database.made:
            return View()
        for rollout in self.view.rollouts:
            if rollout.id in cut:
                self._roll_back(rollout, cut[rollout.id])
        if counted:
            RolloutTallies(self._kept.database).write(self._worker, counted)
        killed = Switches(self._kept.database).killed()
        changes = Thresholds(self._kept.database).last().values()
        raised = {(one.use_case, one.model): one.threshold for one in changes}
        return View(tuple(self._kept.served()), killed, raised)

    def _roll_back(self, rollout: Rollout, why: str) -> None:
        reason = f"failed hard {self._failures} times in one worker, and was cut off there: {why}"[:500]
        try:
            if self._kept.latest(rollout.component).id == rollout.id:
                at_s = self._clock()
                ask(self._kept, rollout.component, Move.ROLL_BACK, by="worker", reason=reason, at_s=at_s)
        except RolloutsUnavailable:
            raise
        except RegistryError as error:
            log.warning("rollout of %s: %s", rollout.component, error)
        self._told.add(rollout.id)

    async def _load(self) -> None:
        try:
            if await asyncio.to_thread(self._sides.load, self.view.rollouts, self._served()):
                self.apply()
        except Exception as error:  # noqa: BLE001  — what is loaded goes on serving; the next look tries again
            log.error("loading versions for rollouts failed: %s", type(error).__name__)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  — the last known state holds; the next look may work
                log.error("looking at rollouts failed: %s", type(error).__name__)


def _killed_targets(killed: frozenset[str], usecase: str) -> dict[str, str]:
    found = {}
    for name in killed:
        for prefix in (f"target:{usecase}/", "target:*/"):
            if name.startswith(prefix):
                found[name.removeprefix(prefix)] = (
                    f"its kill switch is on; `switchyard flags restore {name}` would let it be asked again"
                )
    return found
