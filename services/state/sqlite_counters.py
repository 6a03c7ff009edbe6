"""Counters in one SQLite file, for the workers of one machine.

All work runs in one thread with one connection, so that the event loop never waits for a lock. The
file is its own (not `state.db`): it is written a thousand times a second at `synchronous=NORMAL`, which
survives `kill -9` and may lose the last moments in a power cut; keys and answers must not pay for that.
"""

import asyncio
import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from services.state import sqlite_breakers as breakers
from services.state import sqlite_budgets as budgets
from services.state.counters import (
    Bucket,
    Cell,
    Claim,
    CountersDown,
    ReserveReply,
    Retention,
    SettleReply,
    SyncReply,
    Use,
)

T = TypeVar("T")
_FORM = 1  # PRAGMA user_version of the tables below
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PRUNE_EVERY = 64


def wall_ms() -> int:
    """This machine's clock, which all its processes share: milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


class SqliteCounters:
    """`BudgetStore` and `BreakerStore` in the file at `path`, made at first use.

    `timeout_s` bounds every call, waiting for its turn and for the lock included.
    """

    def __init__(
        self,
        path: Path,
        *,
        timeout_s: float = 0.5,
        keep: Retention | None = None,
        clock_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._keep = keep or Retention()
        self._clock_ms = clock_ms
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._settled = 0
        self._thread: ThreadPoolExecutor | None = None

    async def reserve(
        self, claim: Claim, amount: int, ttl_ms: int, day_limit: int, request_limit: int
    ) -> ReserveReply:
        return await self._write(
            lambda db: budgets.reserve(db, self._clock_ms(), claim, amount, ttl_ms, day_limit, request_limit)
        )

    async def settle(self, claim: Claim, day: int, amount: int, expires_ms: int, actual: int) -> SettleReply:
        def work(db: sqlite3.Connection) -> SettleReply:
            now_ms = self._clock_ms()
            self._settled += 1
            if self._settled % _PRUNE_EVERY == 0:
                budgets.prune(db, now_ms, self._keep)
            return budgets.settle(db, now_ms, claim, day, amount, expires_ms, actual, self._keep)

        return await self._write(work)

    async def use(self, tenant: str, use_case: str) -> Use:
        return await self._run("BEGIN", lambda db: budgets.use(db, self._clock_ms(), tenant, use_case))

    async def sync(
        self, endpoints: Sequence[str], pushed: Mapping[str, Sequence[Bucket]], keep_s: int
    ) -> SyncReply:
        def work(db: sqlite3.Connection) -> SyncReply:
            now_ms = self._clock_ms()
            breakers.push(db, now_ms, pushed, keep_s)
            return breakers.read(db, now_ms, endpoints, keep_s)

        return await (self._write(work) if any(pushed.values()) else self._run("BEGIN", work))

    async def swap(self, endpoint: str, expected_version: int, value: str) -> tuple[bool, Cell]:
        return await self._write(lambda db: breakers.swap(db, endpoint, expected_version, value))

    async def close(self) -> None:
        """Finish what was begun and close the file."""
        if self._thread:
            thread, self._thread = self._thread, None
            thread.submit(self._drop)
            await asyncio.get_running_loop().run_in_executor(None, thread.shutdown)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        # IMMEDIATE: the write lock is taken before anything is read, so what is read stays true.
        return await self._run("BEGIN IMMEDIATE", work)

    async def _run(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="counters")
        deadline = time.monotonic() + self._timeout_s
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(self._transact, begin, work, deadline))

    def _transact(self, begin: str, work: Callable[[sqlite3.Connection], T], deadline: float) -> T:
        try:
            db = self._connect(deadline)
            _patiently(deadline, lambda: db.execute(begin))
            result = work(db)
            db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._drop()
            raise CountersDown(f"{self._path.name}: {type(error).__name__}: {error}") from error
        except BaseException:
            self._drop()  # also rolls back
            raise
        return result

    def _connect(self, deadline: float) -> sqlite3.Connection:
        """The open connection; a new one when there is none or the file at `path` is another one now."""
        if self._db is not None and self._file == _identity(self._path):
            return self._db
        self._drop()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = self._db = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        _patiently(deadline, lambda: db.execute("PRAGMA journal_mode = WAL"))
        db.execute("PRAGMA synchronous = NORMAL")
        _patiently(deadline, lambda: self._prepare(db))
        self._file = _identity(self._path)
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Make the tables, once. A file of a later form is left alone."""
        (form,) = db.execute("PRAGMA user_version").fetchone()
        if form > _FORM:
            raise sqlite3.DatabaseError(f"its form is {form}, this program knows {_FORM}; use a newer one")
        if form < _FORM:
            db.executescript(
                f"BEGIN IMMEDIATE; {budgets.SCHEMA} {breakers.SCHEMA} PRAGMA user_version = {_FORM}; COMMIT;"
            )

    def _drop(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
        self._db = self._file = None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  — twice as fast, and on every call
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _patiently(deadline: float, statement: Callable[[], object]) -> None:
    """Run `statement`, again while the database is locked, until `deadline`.

    SQLite's own busy handler sleeps up to 100 ms at a time; a transaction here takes 0.1 ms.
    """
    while True:
        if time.monotonic() >= deadline:
            raise sqlite3.OperationalError("was locked, or had no time left, until the call had to end")
        try:
            statement()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _BUSY:
                raise
        time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311  — spreads waiting workers, hides nothing
