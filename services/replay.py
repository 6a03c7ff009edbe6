"""Replaying labelled rows through the whole plan: the same pipeline, journal and receipts as in service."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from feature_checks.usecase import UseCase
from services.api.messages import new_id
from services.errors import InputError, NothingMayAnswer
from services.runtime import Runtime
from services.synthesis import Outcome
from services.targets.local import LocalModel, Scored
from services.values import Caller, Context, Decision, Envelope

TENANT = "evaluate"


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled input; `truth` is None where no label fits."""

    fields: Mapping[str, object]
    truth: str | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of one row. `scored` is what the local model alone says, accepted or not."""

    truth: str | None
    route: str | None  # None: refused as input, or nothing may answer
    label: object
    latency_ms: float
    cost_usd: float | None
    reasons: tuple[str, ...]
    scored: Scored | None


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
) -> list[Replayed]:
    """Decide every row, at most `concurrency` at once; `tick` is called after each."""
    places = asyncio.Semaphore(concurrency)
    model = runtime.local_model(usecase.name)

    async def one(row: Row) -> Replayed:
        async with places:
            replayed = await _decide(runtime, watcher, usecase, row, model)
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
    return Replayed(
        truth=row.truth,
        route=decision.route if decision else None,
        label=decision.output.get(usecase.label) if decision else None,
        latency_ms=latency_ms,
        cost_usd=seen[1].cost_usd if seen else 0.0,
        reasons=reasons,
        scored=await _score(model, usecase, seen[0]) if model and seen else None,
    )


async def _score(model: LocalModel, usecase: UseCase, envelope: Envelope) -> Scored | None:
    fields = envelope.features if usecase.features else envelope.fields
    return None if fields is None else await model.predict(fields)


def rows_of(records: Sequence[Mapping[Any, object]], usecase: UseCase, labelled: bool) -> list[Row]:
    """Rows from table records; a missing optional value is left out."""
    rows = []
    for record in records:
        fields = {name: plain(record[name]) for name in usecase.input if name in record}
        fields = {name: value for name, value in fields.items() if value is not None}
        rows.append(Row(fields, str(record[usecase.label]) if labelled else None))
    return rows
