"""Replaying labelled rows through the whole plan: the same pipeline, journal and receipts as in service."""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from feature_checks.usecase import UseCase
from services.api.messages import new_id
from services.errors import InputError, NothingMayAnswer
from services.runtime import Runtime
from services.synthesis import Outcome
from services.targets.local import LocalModel, Scored
from services.values import Caller, Context, Decision, Envelope

TENANT = "evaluate"
NOTHING: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled input; `truth` is None where no label fits. `unsent` are fields that are known and not
    sent with it, `features` what training has for it."""

    fields: Mapping[str, object]
    truth: str | None
    unsent: Mapping[str, object] = field(default_factory=dict)
    features: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of one row. `scored` is what the local model alone says, accepted or not; `combined` what it
    says with the fields that were not sent. `off`: how far serving's features are at most from training's."""

    truth: str | None
    route: str | None  # None: refused as input, or nothing may answer
    label: object
    latency_ms: float
    cost_usd: float | None
    reasons: tuple[str, ...]
    scored: Scored | None
    combined: Scored | None = None
    off: float | None = None


class Around(Protocol):
    """What happens around replayed rows, in the order in which they are decided."""

    def until(self, fields: Mapping[str, object]) -> None: ...

    def judged(self, fields: Mapping[str, object], truth: str | None) -> None: ...


class Watcher:
    """A pipeline observer that keeps what a replay needs and an answer does not say."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Envelope, Outcome]] = {}

    def __call__(self, envelope: Envelope, outcome: Outcome) -> None:
        if envelope.tenant == TENANT:
            self._seen[envelope.id] = envelope, outcome

    def take(self, call_id: str) -> tuple[Envelope, Outcome] | None:
        return self._seen.pop(call_id, None)


async def replay(
    runtime: Runtime,
    watcher: Watcher,
    usecase: UseCase,
    rows: Sequence[Row],
    concurrency: int,
    tick: Callable[[], None],
    around: Around | None = None,
) -> list[Replayed]:
    """Decide every row, at most `concurrency` at once, begun in their order; `tick` is called after each."""
    places = asyncio.Semaphore(concurrency)
    model = runtime.local_model(usecase.name)

    async def one(row: Row) -> Replayed:
        async with places:
            if around is not None:
                around.until(row.fields)
            replayed = await _decide(runtime, watcher, usecase, row, model)
            if around is not None:
                around.judged(row.fields, row.truth)
        tick()
        return replayed

    return list(await asyncio.gather(*(one(row) for row in rows)))


def plain(value: object) -> object:
    """A table's value as JSON would have it: no NumPy, no pandas, NaN as None."""
    item = getattr(value, "item", None)
    value = item() if callable(item) else value
    if isinstance(value, float) and math.isnan(value):
        return None
    return value.isoformat() if isinstance(value, date) else value


async def _decide(
    runtime: Runtime, watcher: Watcher, usecase: UseCase, row: Row, model: LocalModel | None
) -> Replayed:
    caller = Caller(TENANT, "command-line", frozenset({"caller"}))
    call_id, started = new_id(), time.perf_counter()
    decision: Decision | None = None
    reasons: tuple[str, ...] = ()
    try:
        call = runtime.calls.call(usecase, dict(row.fields), Context(), call_id, caller, time.monotonic())
        decision = await runtime.pipeline.decide(call)
        reasons = decision.reasons
    except (InputError, NothingMayAnswer) as error:
        reasons = (error.message,)
    latency_ms = 1000 * (time.perf_counter() - started)
    await asyncio.sleep(0)  # observers run just after the answer
    seen = watcher.take(call_id)
    found = seen[0].features if seen else None
    return Replayed(
        truth=row.truth,
        route=decision.route if decision else None,
        label=decision.output.get(usecase.label) if decision else None,
        latency_ms=latency_ms,
        cost_usd=seen[1].cost_usd if seen else 0.0,
        reasons=reasons,
        scored=await _score(model, usecase, seen[0]) if model and seen else None,
        combined=await _score(model, usecase, seen[0], row.unsent) if model and seen and row.unsent else None,
        off=_off(row.features, found) if row.features else None,
    )


def _off(trained: Mapping[str, float], served: Mapping[str, float] | None) -> float:
    if served is None:
        return math.inf
    return max(abs(value - served[name]) for name, value in trained.items())


async def _score(
    model: LocalModel, usecase: UseCase, envelope: Envelope, beside: Mapping[str, object] = NOTHING
) -> Scored | None:
    fields = envelope.features if usecase.features else envelope.fields
    return None if fields is None else await model.predict({**fields, **beside} if beside else fields)


def rows_of(
    records: Sequence[Mapping[Any, object]], usecase: UseCase, labelled: bool, unsent: Collection[str] = ()
) -> list[Row]:
    """Rows from table records; a missing optional value is left out, and `unsent` fields are kept apart."""
    rows = []
    for record in records:
        fields = {name: plain(record[name]) for name in usecase.input if name in record}
        fields = {name: value for name, value in fields.items() if value is not None}
        apart = {name: fields.pop(name) for name in unsent if name in fields}
        columns = usecase.features.columns if usecase.features else ()
        features = {str(n): float(record[n]) for n in columns if n in record}  # type: ignore[arg-type]  # numbers
        rows.append(Row(fields, str(record[usecase.label]) if labelled else None, apart, features or None))
    return rows
