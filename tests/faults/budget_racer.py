"""The workers of the budget race, as processes of their own: see test_budget_race.py.

    python -m tests.faults.budget_racer race|hold|churn sqlite|redis PATH_OR_PREFIX RACERS LIMIT_NANOS TTL_S

Each says {"ready": <its process id>} and begins when this program has read a line.
"""

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path

from services.budget import BudgetLimits, Refused
from services.budgets import Budgets, BudgetSettings
from services.state.redis_counters import RedisCounters
from services.state.sqlite_counters import SqliteCounters

CENT = 10_000_000  # nano-USD
REDIS_URL = "redis://127.0.0.1:6379"


def open_store(kind: str, where: str) -> SqliteCounters | RedisCounters:
    if kind == "sqlite":
        return SqliteCounters(Path(where), timeout_s=20)
    return RedisCounters(REDIS_URL, prefix=where, timeout_s=20)


async def race(budgets: Budgets, name: str, limits: BudgetLimits, ttl_s: float) -> dict[str, int]:
    """Take a cent at a time until there is none; settle each at once, in full."""
    got = refused = 0
    while True:
        held = await budgets.reserve("t", "u", CENT, ttl_s, f"{name}-{got}-{refused}", limits)
        if not isinstance(held, Refused):
            await budgets.settle(held, CENT)
            got += 1
        elif held.kind == "day":
            return {"got": got, "refused": refused}
        else:
            refused += 1


async def hold(budgets: Budgets, name: str, limits: BudgetLimits, ttl_s: float) -> dict[str, int]:
    """Reserve all there is, and never settle it."""
    got = 0
    while not isinstance(await budgets.reserve("t", "u", CENT, ttl_s, f"{name}-{got}", limits), Refused):
        got += 1
    return {"got": got}


async def churn(budgets: Budgets, name: str, limits: BudgetLimits, ttl_s: float) -> dict[str, int]:
    """Reserve and settle for less, until killed."""
    for number in range(1_000_000):
        held = await budgets.reserve("t", "u", CENT, ttl_s, f"{name}-{number}", limits)
        if not isinstance(held, Refused):
            await budgets.settle(held, random.randrange(CENT // 100))
    return {}


async def child(
    what: str, place: tuple[str, str], name: str, limits: BudgetLimits, ttl_s: float, go: int
) -> None:
    """One racer: ready, waits until `go` (a pipe) is closed, works, says what it got."""
    store = open_store(*place)
    budgets = Budgets(store, BudgetSettings(hold_off_s=0))
    await budgets.use("t", "u")
    say({"ready": os.getpid()})
    os.read(go, 1)
    work = {"race": race, "hold": hold, "churn": churn}[what]
    say(await work(budgets, name, limits, ttl_s))
    if what == "hold":
        signal.pause()
    await budgets.close()
    await store.close()


def say(line: dict[str, int]) -> None:
    os.write(1, (json.dumps(line) + "\n").encode())


def main(what: str, kind: str, where: str, racers: str, limit: str, ttl_s: str) -> None:
    """Fork the racers from one process that has imported everything once."""
    go, hold_back = os.pipe()
    for number in range(int(racers)):
        if os.fork() == 0:
            os.close(hold_back)
            limits = BudgetLimits(int(limit), CENT)
            asyncio.run(child(what, (kind, where), f"racer{number}", limits, float(ttl_s), go))
            os._exit(0)
    sys.stdin.readline()
    os.close(hold_back)
    for _ in range(int(racers)):
        os.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
