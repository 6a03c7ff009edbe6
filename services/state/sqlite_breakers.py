"""Breaker cells and call counts in SQLite: plain functions inside one transaction of `SqliteCounters`."""

import sqlite3
from collections.abc import Mapping, Sequence

from services.state.counters import Bucket, Cell, SyncReply

SCHEMA = """
CREATE TABLE IF NOT EXISTS breaker_cells (
    endpoint TEXT PRIMARY KEY, version INTEGER NOT NULL, value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS breaker_buckets (
    endpoint TEXT NOT NULL, epoch INTEGER NOT NULL, second INTEGER NOT NULL,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, slow INTEGER NOT NULL,
    PRIMARY KEY (endpoint, epoch, second)
) WITHOUT ROWID;
"""


def push(db: sqlite3.Connection, now_ms: int, pushed: Mapping[str, Sequence[Bucket]], keep_s: int) -> None:
    """Add call counts, and drop the old ones of the same endpoints."""
    for endpoint, buckets in pushed.items():
        db.executemany(
            "INSERT INTO breaker_buckets VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " calls = calls + excluded.calls, errors = errors + excluded.errors, slow = slow + excluded.slow",
            [(endpoint, b.epoch, b.second, b.calls, b.errors, b.slow) for b in buckets],
        )
        db.execute(
            "DELETE FROM breaker_buckets WHERE endpoint = ? AND second < ?",
            (endpoint, now_ms // 1000 - keep_s),
        )


def read(db: sqlite3.Connection, now_ms: int, endpoints: Sequence[str], keep_s: int) -> SyncReply:
    """Cells and buckets of `endpoints`."""
    cells: dict[str, Cell] = {}
    buckets: dict[str, tuple[Bucket, ...]] = {}
    for endpoint in endpoints:
        cells[endpoint] = _cell(db, endpoint)
        rows = db.execute(
            "SELECT epoch, second, calls, errors, slow FROM breaker_buckets"
            " WHERE endpoint = ? AND second >= ?",
            (endpoint, now_ms // 1000 - keep_s),
        ).fetchall()
        buckets[endpoint] = tuple(Bucket(*row) for row in rows)
    return SyncReply(now_ms, cells, buckets)


def swap(db: sqlite3.Connection, endpoint: str, expected_version: int, value: str) -> tuple[bool, Cell]:
    """`BreakerStore.swap`."""
    now = _cell(db, endpoint)
    if now.version != expected_version:
        return False, now
    after = Cell(expected_version + 1, value)
    db.execute(
        "INSERT INTO breaker_cells VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
        " SET version = excluded.version, value = excluded.value",
        (endpoint, after.version, value),
    )
    return True, after


def _cell(db: sqlite3.Connection, endpoint: str) -> Cell:
    found = db.execute("SELECT version, value FROM breaker_cells WHERE endpoint = ?", (endpoint,)).fetchone()
    return Cell(*found) if found else Cell()
