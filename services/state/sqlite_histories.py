"""Key histories in one SQLite file, for the workers of one machine. The twin of `redis_histories.py`.

Like the counters it is a file of its own, at `synchronous=NORMAL`: a power cut may lose the last moments. All
work runs in one thread with one connection. Form 2: `histories(key, at, history)`, `history` as
`feature_checks/key_history.py` has it. Form 1 was the same without row ids, where a history larger than a
quarter of a page took a whole page more: twice the size.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from feature_checks.key_history import KeyHistory, load_history
from services.errors import StateUnavailable
from services.online_features import Change, HistoryStore

_FORM = 2
_TABLE = "CREATE TABLE histories (key TEXT PRIMARY KEY, at REAL NOT NULL, history BLOB NOT NULL)"
_FROM_1 = (
    "ALTER TABLE histories RENAME TO histories_1",
    _TABLE,
    "INSERT INTO histories SELECT key, at, history FROM histories_1",
    "DROP TABLE histories_1",
)


class SqliteHistories(HistoryStore):
    """`HistoryStore` in the file at `path`, made at first use."""

    def __init__(self, path: Path, timeout_s: float = 0.5) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="histories")

    async def change(self, keys: Sequence[str], columns: Sequence[int], change: Change) -> None:
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._thread, self._change, keys, columns, change)
        await asyncio.shield(work)  # what was begun is ended, or a request given up would leave a lock

    async def close(self) -> None:
        """Close the file; nothing may be asked afterwards."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False)

    def _change(self, keys: Sequence[str], columns: Sequence[int], change: Change) -> None:
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                kept = change([self._read(connection, key, n) for key, n in zip(keys, columns, strict=True)])
                rows = [(key, time.time(), one.dump()) for key, one in zip(keys, kept, strict=True)]
                connection.executemany("INSERT OR REPLACE INTO histories VALUES (?, ?, ?)", rows)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            raise StateUnavailable(
                f"{self._path.name} cannot be used ({type(error).__name__}); see whether its disk has room "
                "and may be written"
            ) from None

    @staticmethod
    def _read(connection: sqlite3.Connection, key: str, columns: int) -> KeyHistory | None:
        row = connection.execute("SELECT history FROM histories WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        try:
            return load_history(row[0], columns)
        except ValueError:
            return None  # of features that were declared otherwise: it begins anew

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            self._path.chmod(0o600)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            if _form(connection) != _FORM:
                _migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _form(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to the newest form, in one transaction: another worker may be at it too."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        steps = {0: (_TABLE,), 1: _FROM_1, _FORM: ()}.get(_form(connection))
        if steps is None:
            raise sqlite3.DatabaseError("another form")
        for step in steps:
            connection.execute(step)
        connection.execute(f"PRAGMA user_version={_FORM}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
