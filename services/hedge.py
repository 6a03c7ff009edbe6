"""Hedging (Dean and Barroso 2013, "The Tail at Scale"): ask a second target when the first takes long.

Both were permitted, each is asked in its own right, and the first sound answer wins; the other is cancelled.
A model's refusal for safety ends both: it is final, whichever model it comes from.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from services.values import AttemptRecord


class Runs(Protocol):
    """One attempt: `run` it once; `settled` says that nobody else need be asked after it, and `refused`
    that nobody may."""

    async def run(self) -> AttemptRecord: ...

    @property
    def settled(self) -> bool: ...

    @property
    def refused(self) -> bool: ...

    def overtaken(self, by: str) -> AttemptRecord: ...


async def race(first: Runs, second: Runs, after_s: float) -> Sequence[AttemptRecord]:
    """Records of `first` and, if it was still at work after `after_s` and `second` was asked, of both."""
    leading = asyncio.ensure_future(first.run())
    tasks: dict[asyncio.Future[AttemptRecord], Runs] = {leading: first}
    try:
        await asyncio.wait({leading}, timeout=after_s)
        if not leading.done():
            tasks[asyncio.ensure_future(second.run())] = second
            await _first_settled(tasks)
    finally:
        for task in tasks:
            task.cancel()  # nothing happens to one that is done
        await asyncio.gather(*tasks, return_exceptions=True)
    settled = [task for task in tasks if not task.cancelled() and tasks[task].settled]
    winner = next((task for task in settled if tasks[task].refused), settled[0] if settled else None)
    if winner is None:
        return [task.result() for task in tasks]
    by = winner.result().target
    return [
        one.overtaken(by) if task is not winner and _lost(task, one) else task.result()
        for task, one in tasks.items()
    ]


def _lost(task: "asyncio.Future[AttemptRecord]", attempt: Runs) -> bool:
    """Cancelled, or sound a moment too late; one that failed by itself keeps its own record."""
    return task.cancelled() or attempt.settled


async def _first_settled(tasks: Mapping["asyncio.Future[AttemptRecord]", Runs]) -> None:
    """Until one is settled, or all have ended."""
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if any(tasks[task].settled for task in done):
            return
