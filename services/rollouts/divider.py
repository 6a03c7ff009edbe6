"""Divides the requests of one use case between the sides of its rollouts, and takes out what was killed.

Needs no state: the sides were made ready before (`watch.py`), and assignment is a hash (`variants.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from feature_checks.usecase import UseCase
from services.prepared import PreparedUseCase
from services.rollouts.cutoff import Cutoff
from services.targets import Target
from services.targets.variant import VariantTarget
from services.values import Call, Envelope, VariantRecord
from services.variants import Assignment, Exposure, Variant, Why, assign, sticky_key

STAND_INS = frozenset({"stale", "safe_default"})
"""What answers when nothing else does: nothing stands behind it."""


NOTHING: Mapping[str, str] = {}


class Side(Protocol):
    """One side of a component: the use case as that side answers."""

    def of(self, prepared: PreparedUseCase) -> PreparedUseCase: ...


class TargetSide:
    """A side that is another target in the same plan: a local model."""

    def __init__(self, make: Callable[[UseCase], Mapping[str, Target]], usecase: UseCase) -> None:
        """`make` builds the targets for a configuration; `usecase` is the one that is served."""
        self._make = make
        self.targets = make(usecase)
        self._made = [(usecase, self.targets)]
        self._last: tuple[PreparedUseCase, PreparedUseCase] | None = None

    def of(self, prepared: PreparedUseCase) -> PreparedUseCase:
        """Made once for each use case as it is served, and not for each request."""
        last = self._last
        if last is None or last[0] is not prepared:
            targets = self.under(prepared.usecase)
            last = self._last = prepared, replace(prepared, targets={**prepared.targets, **targets})
        return last[1]

    def under(self, usecase: UseCase) -> Mapping[str, Target]:
        """The targets as they answer under a configuration, which another rollout may have as its candidate.
        Raises `ConfigError` the first time that they do not fit it."""
        for made, targets in self._made:
            if made is usecase:
                return targets
        targets = self._make(usecase)
        self._made = [(usecase, targets), *self._made[:1]]
        return targets


@dataclass(frozen=True, slots=True)
class Exposed:
    """One rollout in this worker. `candidate` None: it cannot be served here; `stable` None: what serves
    anyway is stable. `step` names the step that its numbers count for."""

    exposure: Exposure
    step: str
    candidate: Side | None
    stable: Side | None
    cutoff: Cutoff


class Divided:
    """One request's use case, as its sides answer it."""

    def __init__(self, prepared: PreparedUseCase, killed_targets: Mapping[str, str] = NOTHING) -> None:
        self.prepared = prepared
        self._killed_targets = killed_targets
        self._assigned: list[tuple[Assignment, str, list[VariantTarget]]] = []

    def records(self) -> tuple[VariantRecord, ...]:
        """For journal and receipt, once all is answered."""
        return tuple(_record(one, step, tried) for one, step, tried in self._assigned)

    def take(self, exposed: Exposed, call: Call, *, killed: frozenset[str]) -> None:
        """Assign this call a side of one more rollout."""
        found = self._assign(exposed, call, killed)
        stable = exposed.stable.of(self.prepared) if exposed.stable else self.prepared
        tried: list[VariantTarget] = []
        if found.variant is Variant.CANDIDATE and exposed.candidate is not None:
            candidate = exposed.candidate.of(self.prepared)
            stable = without(self._killed_targets, stable)  # what was killed answers in nobody's place either
            self.prepared = _with_fallback(candidate, stable, exposed.cutoff, tried)
        else:
            self.prepared = stable
        self._assigned.append((found, exposed.step, tried))

    def _assign(self, exposed: Exposed, call: Call, killed: frozenset[str]) -> Assignment:
        exposure, context = exposed.exposure, call.context
        key = sticky_key(call.caller.tenant, context.subject, context.session, call.id)
        wish = call.forced.get(exposure.component)
        forced = Variant(wish) if wish is not None else None
        if exposed.candidate is None:
            return _stable(exposure, Why.UNAVAILABLE)
        if not exposed.cutoff.may_ask:
            return _stable(exposure, Why.CUT_OFF)
        return assign(exposure, key, killed=killed, forced=forced)


@dataclass(frozen=True, slots=True)
class Divider:
    """One use case's rollouts and kill switches. `killed_targets`: target -> why it is not asked."""

    exposed: tuple[Exposed, ...] = ()
    killed: frozenset[str] = frozenset()
    killed_targets: Mapping[str, str] = field(default_factory=dict)

    def divide(self, prepared: PreparedUseCase, call: Call) -> Divided:
        """This call's use case, as its sides answer."""
        divided = Divided(prepared, self.killed_targets)
        for exposed in self.exposed:
            divided.take(exposed, call, killed=self.killed)
        divided.prepared = without(self.killed_targets, divided.prepared)
        return divided


@dataclass(frozen=True, slots=True)
class _Closed:
    """Why a target should not be asked just now: it was killed, or what the use case itself knows."""

    killed: Mapping[str, str]
    prepared: PreparedUseCase

    def __call__(self, name: str, envelope: Envelope) -> str | None:
        kind = name.partition("/")[0]  # `cloud` kills every endpoint
        return self.killed.get(name) or self.killed.get(kind) or self.prepared.closed(name, envelope)


def without(killed: Mapping[str, str], prepared: PreparedUseCase) -> PreparedUseCase:
    """The use case with these targets not asked. `killed`: target -> why."""
    return replace(prepared, closed=_Closed(killed, prepared)) if killed else prepared


def _stable(exposure: Exposure, why: Why) -> Assignment:
    return Assignment(exposure.component, exposure.rollout, Variant.STABLE, exposure.stable, why)


def _record(one: Assignment, step: str, tried: list[VariantTarget]) -> VariantRecord:
    bad = next((target for target in tried if target.failed), None) if tried else None
    failed, how = (bad.failed, bad.how) if bad else (None, None)
    return VariantRecord(
        one.component, one.rollout, step, one.variant, one.version, one.why, failed, how
    )  # fmt: skip


def _with_fallback(
    candidate: PreparedUseCase, stable: PreparedUseCase, cutoff: Cutoff, tried: list[VariantTarget]
) -> PreparedUseCase:
    """The candidate's use case, in which stable's targets stand behind those that differ."""
    targets = dict(candidate.targets)
    wrapped: dict[str, VariantTarget] = {}

    def permits(target: Target, envelope: Envelope) -> bool:
        return stable.permits(target, envelope).allowed

    for name, target in candidate.targets.items():
        behind = _behind(name, stable)
        if name in STAND_INS or (behind and behind[0] is target):
            continue
        wrapped[name] = VariantTarget(target, behind, cutoff, candidate.validators, permits, stable.closed)
        for one in behind:
            targets.setdefault(one.name, one)  # it may be the one that answers, and is looked up by its name
    tried.extend(wrapped.values())

    def closed(name: str, envelope: Envelope) -> str | None:
        why = candidate.closed(name, envelope)
        return None if why and name in wrapped and wrapped[name].stands_in(envelope) else why

    return replace(candidate, targets={**targets, **wrapped}, closed=closed)


def _behind(name: str, stable: PreparedUseCase) -> tuple[Target, ...]:
    """Stable's target of that name; for an endpoint that stable does not have, its endpoints in order."""
    if (same := stable.targets.get(name)) is not None:
        return (same,)
    if not name.startswith("cloud/"):
        return ()
    return tuple(t for n, t in stable.targets.items() if n.startswith("cloud/"))
