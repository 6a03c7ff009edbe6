"""What workers counted of each rollout's steps, kept so that it adds up over workers, restarts and machines.

A worker writes the sums that it has so far, under its own name, so writing twice counts once. Sticky keys are
kept as keyed hashes, since one person may be answered by several workers and must count once.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select

from registry.rollout import SHADOW_STEP, Rollout
from registry.rollout_database import BUDGETS, COUNTS, KEYS, RolloutDatabase
from registry.rollout_evidence import Amounts, Latencies, Measured, Period, Rate, Side

MIN_BUDGET_REQUESTS = 100
"""Fewer requests than this use up no error budget."""


@dataclass(frozen=True, slots=True)
class Tally:
    """One worker's sums for one variant in one step. `settled`: without the step's first `novelty_s`."""

    rollout: str
    step: str
    variant: str
    settled: bool
    side: Side


@dataclass(frozen=True, slots=True)
class Sticky:
    """One sticky key (hashed with a key) that a step gave to a variant."""

    rollout: str
    step: str
    variant: str
    hashed: str


@dataclass(frozen=True, slots=True)
class Spent:
    """One worker's requests of a use case on one day (UTC): how many, how many of them bad, and which share
    of bad ones its SLO allows."""

    use_case: str
    day: str
    requests: int
    bad: int
    allowed: float


@dataclass(frozen=True, slots=True)
class Counted:
    """All that one worker writes at once."""

    tallies: tuple[Tally, ...] = ()
    sticky: tuple[Sticky, ...] = ()
    spent: tuple[Spent, ...] = field(default=())


class RolloutTallies:
    """Methods raise `RolloutsUnavailable`."""

    def __init__(self, database: RolloutDatabase) -> None:
        self._database = database

    def write(self, worker: str, counted: Counted) -> None:
        """Keep a worker's sums in place of those that it wrote before."""
        with self._database.connected() as connection:
            for tally in counted.tallies:
                key = {
                    "rollout": tally.rollout, "step": tally.step, "worker": worker,
                    "variant": tally.variant, "settled": int(tally.settled),
                }  # fmt: skip
                _replace(connection, COUNTS, key, {"value": json.dumps(side_to_wire(tally.side))})
            for spent in counted.spent:
                key = {"use_case": spent.use_case, "day": spent.day, "worker": worker}
                sums = {"requests": spent.requests, "bad": spent.bad, "allowed": spent.allowed}
                _replace(connection, BUDGETS, key, sums)
            _add_keys(connection, counted.sticky)

    def period(self, rollout: Rollout, step_id: str | None = None) -> tuple[Period, Period]:
        """What both sides showed since the step began: whole, and settled. This step's, or a named one's."""
        step_id = step_id or rollout.step_id
        of = (COUNTS.c.rollout == rollout.id) & (COUNTS.c.step == step_id)
        keys_of = (KEYS.c.rollout == rollout.id) & (KEYS.c.step == step_id)
        with self._database.connected() as connection:
            rows = connection.execute(select(COUNTS.c.variant, COUNTS.c.settled, COUNTS.c.value).where(of))
            found = [(variant, settled, json.loads(value)) for variant, settled, value in rows]
            query = select(KEYS.c.variant, func.count()).where(keys_of).group_by(KEYS.c.variant)
            keys = {row[0]: row[1] for row in connection.execute(query)}
        settled = {v: _sum(wire for variant, s, wire in found if variant == v and s) for v in _VARIANTS}
        early = {v: _sum(wire for variant, s, wire in found if variant == v and not s) for v in _VARIANTS}
        whole = {v: with_keys(add_sides(early[v], settled[v]), keys.get(v, 0)) for v in _VARIANTS}
        return (
            Period(whole["stable"], whole["candidate"]),
            Period(settled["stable"], settled["candidate"]),
        )

    def earlier(self, rollout: Rollout) -> list[tuple[Period, Period]]:
        """The same of this rollout's steps before, those in shadow left out."""
        query = select(COUNTS.c.step).where(COUNTS.c.rollout == rollout.id).distinct()
        with self._database.connected() as connection:
            steps = sorted(step for (step,) in connection.execute(query))
        shadow = f"{SHADOW_STEP}@"
        return [
            self.period(rollout, step)
            for step in steps
            if step != rollout.step_id and not step.startswith(shadow)
        ]

    def frozen(self, use_case: str, day: str) -> bool:
        """Is the use case's error budget of that day (UTC, ISO 8601) used up?"""
        of = (BUDGETS.c.use_case == use_case) & (BUDGETS.c.day == day)
        sums = (func.sum(BUDGETS.c.requests), func.sum(BUDGETS.c.bad), func.min(BUDGETS.c.allowed))
        with self._database.connected() as connection:
            requests, bad, allowed = connection.execute(select(*sums).where(of)).one()
        return bool(requests and requests >= MIN_BUDGET_REQUESTS and bad > allowed * requests)

    def forget(self, rollout_id: str, step_id: str) -> None:
        """Drop the sticky keys of a step that is over; its counts stay with the rollout's records."""
        of = (KEYS.c.rollout == rollout_id) & (KEYS.c.step == step_id)
        with self._database.connected() as connection:
            connection.execute(delete(KEYS).where(of))


def side_to_wire(side: Side) -> dict[str, Any]:
    """JSON-like; `side_from_wire` reads it."""
    return {"keys": side.keys, "metrics": {name: _to_wire(one) for name, one in side.metrics.items()}}


def side_from_wire(wire: Mapping[str, Any]) -> Side:
    return Side(wire["keys"], {name: _from_wire(one) for name, one in wire["metrics"].items()})


def add_sides(one: Side, other: Side) -> Side:
    """Both together."""
    metrics = dict(one.metrics)
    for name, measured in other.metrics.items():
        metrics[name] = metrics[name] + measured if name in metrics else measured  # type: ignore[operator]  # a name has one kind
    return Side(one.keys + other.keys, metrics)


def with_keys(side: Side, more: int) -> Side:
    """The same with so many sticky keys more."""
    return Side(side.keys + more, side.metrics)


_VARIANTS = ("stable", "candidate")


def _sum(wires: Iterable[Mapping[str, Any]]) -> Side:
    total = Side()
    for wire in wires:
        total = add_sides(total, side_from_wire(wire))
    return total


def _to_wire(measured: Measured) -> dict[str, Any]:
    if isinstance(measured, Rate):
        return {"n": measured.n, "hits": measured.hits}
    if isinstance(measured, Amounts):
        return {"n": measured.n, "total": measured.total, "deviation": measured.deviation}
    return {"bins": {str(place): count for place, count in measured.counts.items()}}


def _from_wire(wire: Mapping[str, Any]) -> Measured:
    if "bins" in wire:
        return Latencies({int(place): count for place, count in wire["bins"].items()})
    return Rate(**wire) if "hits" in wire else Amounts(**wire)


def _replace(connection: Connection, table: Table, key: Mapping[str, Any], value: Mapping[str, Any]) -> None:
    same = [table.c[name] == found for name, found in key.items()]
    connection.execute(delete(table).where(*same))  # one writer a key: the worker whose name is in it
    connection.execute(insert(table).values({**key, **value}))


def _add_keys(connection: Connection, sticky: Iterable[Sticky]) -> None:
    rows = [{"rollout": s.rollout, "step": s.step, "sticky": s.hashed, "variant": s.variant} for s in sticky]
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgres_insert

        connection.execute(postgres_insert(KEYS).on_conflict_do_nothing(), rows)
        return
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    connection.execute(sqlite_insert(KEYS).on_conflict_do_nothing(), rows)
