"""Counts what both sides of each rollout show, in this worker; the store adds workers up.

A pipeline observer. Only requests that the weight divided count, and only where the rollout's component was
asked: a rule that answers first says nothing of either side. Nothing here can identify a person but the
sticky keys, which are keyed hashes already.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from registry.quantiles import bin_of
from registry.rollout import Rollout
from registry.rollout_evidence import Amounts, Latencies, Measured, Rate, Side
from registry.rollout_tallies import Counted, Spent, Sticky, Tally
from services.synthesis import Outcome
from services.targets.variant import How
from services.values import AttemptRecord, Envelope, VariantRecord
from services.variants import Variant, Why

MAX_KEYS = 10_000  # of one step, in one worker; that many show a split that is off
STAND_INS = frozenset({None, "stale", "safe_default"})
NOT_ASKED = frozenset({"denied", "skipped"})


@dataclass(slots=True)
class _Step:
    """A step as this worker knows it. `settled_at` is on the monotonic clock: no clock is compared."""

    rollout: str
    id: str
    shadow: bool
    settled_at: float
    keys: int = 0
    seen: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Sums:
    """Sums that grow; `side` is their frozen form."""

    keys: int = 0
    rates: dict[str, list[int]] = field(default_factory=dict)
    bins: dict[str, dict[int, int]] = field(default_factory=dict)
    amounts: dict[str, Amounts] = field(default_factory=dict)

    def rate(self, name: str, hit: bool) -> None:
        counts = self.rates.setdefault(name, [0, 0])
        counts[0] += 1
        counts[1] += hit

    def latency(self, name: str, ms: float) -> None:
        bins, place = self.bins.setdefault(name, {}), bin_of(ms)
        bins[place] = bins.get(place, 0) + 1

    def amount(self, name: str, amount: float) -> None:
        self.amounts[name] = self.amounts.get(name, Amounts()).and_one(amount)

    @property
    def side(self) -> Side:
        metrics: dict[str, Measured] = {name: Rate(n, hits) for name, (n, hits) in self.rates.items()}
        metrics |= {name: Latencies(dict(bins)) for name, bins in self.bins.items()}
        return Side(self.keys, metrics | self.amounts)


Key = tuple[str, str, str, bool]
"""Rollout, step, variant, settled."""


class RolloutCounts:
    """Used from the event loop only; `take` makes what a thread may write."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steps: dict[str, _Step] = {}
        self._sums: dict[Key, _Sums] = {}
        self._dirty: set[Key] = set()
        self._sticky: list[Sticky] = []
        self._spent: dict[tuple[str, str], list[float]] = {}
        self._spent_dirty = False
        self._allowed: Mapping[str, float] = {}

    def serve(self, rollouts: Iterable[Rollout], allowed: Mapping[str, float]) -> None:
        """From now on these; `allowed` is the share of stand-in answers that each use case's SLO allows."""
        now, before, steps = self._clock(), self._steps, {}
        for rollout in rollouts:
            if rollout.ended:
                continue
            held = before.get(rollout.id)
            if held is None or held.id != rollout.step_id:
                held = _Step(
                    rollout.id, rollout.step_id, rollout.shadowing, now + rollout.guard.novelty_s
                )  # fmt: skip
            steps[rollout.id] = held
        self._steps, self._allowed = steps, allowed
        # sums of steps that are over stay while their rollout lives: what is said of their answers comes late
        gone = [key for key in self._sums if key[0] not in steps and key not in self._dirty]
        for key in gone:
            del self._sums[key]

    def recorded(self, envelope: Envelope, outcome: Outcome) -> None:
        if not outcome.variants:
            return
        self._spend(envelope.use_case, outcome)
        for record in outcome.variants:
            step = self._counting(record.rollout, record.step, record.why)
            mine = _mine(record.component, outcome.attempts)
            if step is not None and not step.shadow and mine is not None:
                self._key(step, record.variant, envelope)
                self._count(self._of(step, record.variant), record, mine, outcome)

    def compared(self, rollout: str, step_id: str, sides: Mapping[str, Mapping[str, Any]]) -> None:
        """One request that both sides answered, in shadow: variant -> name -> hit, cost in USD, or latency in
        ms."""
        step = self._steps.get(rollout)
        if step is None or step.id != step_id:
            return
        for variant, shown in sides.items():
            sums = self._of(step, variant)
            for name, value in shown.items():
                if isinstance(value, bool):
                    sums.rate(name, value)
                elif name == "cost":
                    sums.amount(name, value)
                else:
                    sums.latency(name, value)

    def judged(self, record: Mapping[str, Any], correct: bool) -> None:
        """What feedback or a review said of a journalled decision."""
        for one in record.get("rollouts", ()):
            step = self._steps.get(one["rollout"])
            if step is None or one["why"] != Why.WEIGHT or one["failed"]:
                continue
            if step.id == one["step"]:
                if not step.shadow:
                    self._of(step, one["variant"]).rate("wrong", not correct)
            else:
                self._late(step.rollout, one["step"], one["variant"]).rate("wrong", not correct)

    def take(self) -> Counted | None:
        """What changed since it was last `written`; None where nothing did."""
        if not (self._dirty or self._sticky or self._spent_dirty):
            return None
        tallies = tuple(Tally(*key, self._sums[key].side) for key in self._dirty)
        spent = (
            Spent(u, day, int(n), int(bad), allowed) for (u, day), (n, bad, allowed) in self._spent.items()
        )
        self._dirty, self._spent_dirty, sticky = set(), False, self._sticky
        self._sticky = []
        return Counted(tallies, tuple(sticky), tuple(spent))

    def again(self, counted: Counted) -> None:
        """It could not be written: it is to be taken once more."""
        self._dirty |= {(t.rollout, t.step, t.variant, t.settled) for t in counted.tallies}
        self._sticky = [*counted.sticky, *self._sticky][:MAX_KEYS]
        self._spent_dirty = True

    def _counting(self, rollout: str, step_id: str, why: str) -> _Step | None:
        step = self._steps.get(rollout)
        return step if step is not None and step.id == step_id and why == Why.WEIGHT else None

    def _of(self, step: _Step, variant: str) -> _Sums:
        key = (step.rollout, step.id, str(variant), self._clock() >= step.settled_at)
        self._dirty.add(key)
        return self._sums.setdefault(key, _Sums())

    def _late(self, rollout: str, step_id: str, variant: str) -> _Sums:
        """Of a step that is over; it lasted longer than its first seconds, or nobody would have moved it."""
        key = (rollout, step_id, variant, True)
        self._dirty.add(key)
        return self._sums.setdefault(key, _Sums())

    def _key(self, step: _Step, variant: str, envelope: Envelope) -> None:
        if step.keys >= MAX_KEYS:
            return
        sticky = envelope.subject or envelope.session
        if sticky is None:
            self._of(step, variant).keys += 1
        elif sticky not in step.seen:
            step.seen.add(sticky)
            self._sticky.append(Sticky(step.rollout, step.id, str(variant), sticky))
        else:
            return
        step.keys += 1

    def _count(self, sums: _Sums, record: VariantRecord, mine: list[AttemptRecord], outcome: Outcome) -> None:
        failed = record.failed is not None and record.variant == Variant.CANDIDATE
        how = record.how if failed else None
        answered = any(a.outcome == "answered" and a.target not in STAND_INS for a in mine)
        sums.rate("fallbacks", failed or not answered)
        if all(attempt.outcome in NOT_ASKED for attempt in mine):
            return  # not let, or not set up here: nothing else is known of it
        sums.rate("errors", how == How.HARD or any(attempt.outcome == "failed" for attempt in mine))
        sums.rate("validator_failures", how == How.REFUSED or any(a.outcome == "refused" for a in mine))
        sums.latency("latency", sum(attempt.latency_ms for attempt in mine))
        costs = [attempt.cost_usd for attempt in mine if attempt.cost_usd is not None]
        if len(costs) == len(mine):
            sums.amount("cost", sum(costs))

    def _spend(self, use_case: str, outcome: Outcome) -> None:
        if (allowed := self._allowed.get(use_case)) is None:
            return
        day = datetime.now(UTC).date().isoformat()
        for old in [key for key in self._spent if key[1] < day]:
            del self._spent[old]
        spent = self._spent.setdefault((use_case, day), [0.0, 0.0, allowed])
        spent[0] += 1
        spent[1] += outcome.route in STAND_INS
        spent[2] = allowed
        self._spent_dirty = True


def _mine(component: str, attempts: Iterable[AttemptRecord]) -> list[AttemptRecord] | None:
    """The attempts at a component's targets; None where it was not asked at all."""
    part = component.partition("/")[2]
    if part == "config":
        return list(attempts)
    found = [a for a in attempts if a.target.partition("/")[0] == part]
    asked = [a for a in found if a.outcome not in NOT_ASKED]
    # where one side alone may be asked, as of endpoints in two regions, the other has not answered
    return asked or (found if part == "cloud" else None) or None
