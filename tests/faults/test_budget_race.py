"""Real processes that race for a budget, and that are killed while they hold some of it."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from services.budget import BudgetLimits, Refused, Reservation
from services.budgets import Budgets, BudgetSettings
from services.state.counters import Use
from tests.faults.budget_racer import CENT, open_store
from tests.services.counting import KINDS, forget, need_redis, new_prefix

ROOT = Path(__file__).parents[2]
RACERS = 16


@dataclass
class Place:
    kind: str
    where: str  # a file, or a prefix of keys


@pytest_asyncio.fixture(params=KINDS)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "sqlite":
        yield Place("sqlite", str(tmp_path / "counters.db"))
        return
    need_redis()
    prefix = new_prefix()
    yield Place("redis", prefix)
    await forget(prefix)


class Racers:
    """Processes of budget_racer.py, started together and never left behind."""

    def __init__(self) -> None:
        self.starter: subprocess.Popen[str] | None = None
        self.count = 0

    def start(self, count: int, what: str, place: Place, limit: int, ttl_s: float = 600) -> None:
        arguments = [what, place.kind, place.where, str(count), str(limit), str(ttl_s)]
        self.starter = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.budget_racer", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        self.count = count
        assert all(self.hear()["ready"] for _ in range(count))

    def go(self) -> None:
        assert self.starter is not None
        assert self.starter.stdin is not None
        self.starter.stdin.write("go\n")
        self.starter.stdin.flush()

    def hear(self) -> dict[str, int]:
        assert self.starter is not None
        assert self.starter.stdout is not None
        found: dict[str, int] = json.loads(self.starter.stdout.readline())
        return found

    def results(self) -> list[dict[str, int]]:
        return [self.hear() for _ in range(self.count)]

    def kill(self) -> None:
        """kill -9 of all of them: they are a process group of their own."""
        if self.starter:
            os.killpg(self.starter.pid, signal.SIGKILL)
            self.starter.communicate(timeout=20)
            self.starter = None


@pytest.fixture
def racers() -> Iterator[Racers]:
    made = Racers()
    yield made
    made.kill()


@pytest_asyncio.fixture
async def budgets(place: Place) -> AsyncIterator[Budgets]:
    store = open_store(place.kind, place.where)
    made = Budgets(store, BudgetSettings(hold_off_s=0))
    yield made
    await made.close()
    await store.close()


async def test_of_sixteen_processes_that_race_for_the_last_cent_one_gets_it(
    place: Place, racers: Racers, budgets: Budgets
) -> None:
    limits = BudgetLimits(100 * CENT, 100 * CENT)
    spent = await budgets.reserve("t", "u", 99 * CENT, 600, "before", limits)
    assert isinstance(spent, Reservation)
    await budgets.settle(spent, 99 * CENT)
    racers.start(RACERS, "race", place, limits.day)
    racers.go()
    assert sorted(result["got"] for result in racers.results()) == [0] * (RACERS - 1) + [1]
    use = await budgets.use("t", "u")
    assert use is not None
    assert (use.spent, use.reserved) == (100 * CENT, 0)


async def test_sixteen_processes_spend_a_budget_to_the_last_cent_and_not_one_more(
    place: Place, racers: Racers, budgets: Budgets
) -> None:
    racers.start(RACERS, "race", place, 400 * CENT + CENT // 2)
    racers.go()
    results = racers.results()
    assert sum(result["got"] for result in results) == 400
    assert sum(result["refused"] for result in results) == 0
    use = await budgets.use("t", "u")
    assert use is not None
    assert (use.spent, use.reserved) == (400 * CENT, 0)


async def test_what_a_killed_process_held_comes_back_when_it_expires(
    place: Place, racers: Racers, budgets: Budgets
) -> None:
    limits = BudgetLimits(5 * CENT, CENT)
    racers.start(1, "hold", place, limits.day, ttl_s=2.0)
    racers.go()
    assert racers.results() == [{"got": 5}]
    racers.kill()
    refused = await budgets.reserve("t", "u", CENT, 600, "at once", limits)
    assert isinstance(refused, Refused)
    assert refused.kind == "day"
    await until(budgets, lambda use: use.reserved == 0)
    for number in range(6):
        held = await budgets.reserve("t", "u", CENT, 600, f"later {number}", limits)
        assert isinstance(held, Reservation) is (number < 5)


async def test_processes_killed_at_any_moment_leave_sums_that_are_true(
    place: Place, racers: Racers, budgets: Budgets
) -> None:
    limit = 10 * CENT
    racers.start(4, "churn", place, limit, ttl_s=0.5)
    racers.go()
    await until(budgets, lambda use: use.spent > CENT // 2)
    racers.kill()
    assert (await until(budgets, lambda use: True)).total <= limit
    use = await until(budgets, lambda use: use.reserved == 0)
    if place.kind == "sqlite":
        db = sqlite3.connect(place.where)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        settled = db.execute("SELECT SUM(settled) FROM budget_reservations").fetchone()
        assert settled == (use.spent,)
        db.close()


async def until(budgets: Budgets, true: Callable[[Use], bool]) -> Use:
    """Today's use as soon as `true` holds: time passes, and others work, outside of this process."""
    async with asyncio.timeout(60):
        while (use := await budgets.use("t", "u")) is None or not true(use):  # noqa: ASYNC110  — same
            await asyncio.sleep(0.02)
    return use
