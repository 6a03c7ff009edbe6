"""Reservations in SQLite: plain functions inside one `BEGIN IMMEDIATE` transaction of `SqliteCounters`.

`held` marks a reservation whose amount is counted in its day's `reserved`; it is cleared exactly once,
by its settlement or when it has expired. Work per call depends on neither tenants nor history.
"""

import sqlite3
from typing import NamedTuple

from services.state.counters import MS_PER_DAY, Claim, ReserveReply, Retention, SettleReply, Use

SCHEMA = """
CREATE TABLE IF NOT EXISTS budget_days (
    tenant TEXT NOT NULL, use_case TEXT NOT NULL, day INTEGER NOT NULL,
    spent INTEGER NOT NULL DEFAULT 0, reserved INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, use_case, day)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS budget_days_day ON budget_days (day);
CREATE TABLE IF NOT EXISTS budget_reservations (
    tenant TEXT NOT NULL, use_case TEXT NOT NULL, request_id TEXT NOT NULL, attempt TEXT NOT NULL,
    day INTEGER NOT NULL, amount INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
    held INTEGER NOT NULL, settled INTEGER,
    PRIMARY KEY (tenant, use_case, request_id, attempt)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS budget_reservations_held
    ON budget_reservations (tenant, use_case, expires_ms) WHERE held = 1;
CREATE INDEX IF NOT EXISTS budget_reservations_expires ON budget_reservations (expires_ms);
"""

_SCOPE = "tenant = ? AND use_case = ?"
_ONE = f"{_SCOPE} AND request_id = ? AND attempt = ?"
_PRUNED_AT_ONCE = 256


class _Row(NamedTuple):
    day: int
    amount: int
    expires_ms: int
    held: int
    settled: int | None


def reserve(
    db: sqlite3.Connection,
    now_ms: int,
    claim: Claim,
    amount: int,
    ttl_ms: int,
    day_limit: int,
    request_limit: int,
) -> ReserveReply:
    """`BudgetStore.reserve`."""
    today = now_ms // MS_PER_DAY
    _release_expired(db, claim.tenant, claim.use_case, now_ms)
    use = _use(db, claim.tenant, claim.use_case, today)
    known = _row(db, claim)
    if known and known.settled is not None:
        return ReserveReply("settled", use, amount=known.amount, expires_ms=known.expires_ms)
    if known:
        outcome = "granted" if known.held else "expired"
        held_on = _use(db, claim.tenant, claim.use_case, known.day) if known.held else use
        return ReserveReply(outcome, held_on, 0, known.amount, known.expires_ms)  # type: ignore[arg-type]  # one of two literals
    (request_used,) = db.execute(
        f"SELECT COALESCE(SUM(COALESCE(settled, amount * held)), 0) FROM budget_reservations"  # noqa: S608  — constant text
        f" WHERE {_SCOPE} AND request_id = ?",
        (claim.tenant, claim.use_case, claim.request_id),
    ).fetchone()
    if amount and request_used + amount > request_limit:
        return ReserveReply("request", use, request_used)
    if amount and use.total + amount > day_limit:
        return ReserveReply("day", use, request_used)
    expires_ms = now_ms + ttl_ms
    db.execute(
        "INSERT INTO budget_reservations VALUES (?, ?, ?, ?, ?, ?, ?, 1, NULL)",
        (claim.tenant, claim.use_case, claim.request_id, claim.attempt, today, amount, expires_ms),
    )
    _add(db, claim.tenant, claim.use_case, today, reserved=amount)
    after = Use(today, use.spent, use.reserved + amount)
    return ReserveReply("granted", after, request_used, amount, expires_ms)


def settle(
    db: sqlite3.Connection,
    now_ms: int,
    claim: Claim,
    day: int,
    amount: int,
    expires_ms: int,
    actual: int,
    keep: Retention,
) -> SettleReply:
    """`BudgetStore.settle`."""
    known = _row(db, claim)
    if known and known.settled is not None:
        return SettleReply("repeated", _use(db, claim.tenant, claim.use_case, known.day), known.settled)
    if known is None:
        if now_ms > expires_ms + int(keep.reservation_s * 1000):
            return SettleReply("too_late", _use(db, claim.tenant, claim.use_case, day), 0, late=True)
        # The database lost it (it was replaced); the money was spent all the same.
        known = _Row(day, amount, expires_ms, 0, None)
        db.execute(
            "INSERT INTO budget_reservations VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)",
            (claim.tenant, claim.use_case, claim.request_id, claim.attempt, day, amount, expires_ms, actual),
        )
    else:
        db.execute(
            f"UPDATE budget_reservations SET settled = ?, held = 0 WHERE {_ONE}",  # noqa: S608  — constant text
            (actual, claim.tenant, claim.use_case, claim.request_id, claim.attempt),
        )
    given_back = known.amount if known.held else 0
    _add(db, claim.tenant, claim.use_case, known.day, spent=actual, reserved=-given_back)
    use = _use(db, claim.tenant, claim.use_case, known.day)
    return SettleReply("settled", use, actual, late=now_ms >= known.expires_ms)


def use(db: sqlite3.Connection, now_ms: int, tenant: str, use_case: str) -> Use:
    """`BudgetStore.use`: reads only."""
    today = now_ms // MS_PER_DAY
    counted = _use(db, tenant, use_case, today)
    (expired,) = db.execute(
        f"SELECT COALESCE(SUM(amount), 0) FROM budget_reservations"  # noqa: S608  — constant text
        f" WHERE {_SCOPE} AND held = 1 AND expires_ms <= ? AND day = ?",
        (tenant, use_case, now_ms, today),
    ).fetchone()
    return Use(today, counted.spent, counted.reserved - expired)


def prune(db: sqlite3.Connection, now_ms: int, keep: Retention) -> None:
    """Drop some of what is older than `keep`. Bounded, so that no call pays for a backlog."""
    before_ms = now_ms - int(keep.reservation_s * 1000)
    old = db.execute(
        "SELECT tenant, use_case, request_id, attempt, day, amount, held FROM budget_reservations"
        " WHERE expires_ms < ? ORDER BY expires_ms LIMIT ?",
        (before_ms, _PRUNED_AT_ONCE),
    ).fetchall()
    for tenant, use_case, request_id, attempt, day, amount, held in old:
        if held:
            _add(db, tenant, use_case, day, reserved=-amount)
        db.execute(
            f"DELETE FROM budget_reservations WHERE {_ONE}",  # noqa: S608  — constant text
            (tenant, use_case, request_id, attempt),
        )
    db.execute(
        "DELETE FROM budget_days WHERE (tenant, use_case, day) IN"
        " (SELECT tenant, use_case, day FROM budget_days WHERE day < ? LIMIT ?)",
        (now_ms // MS_PER_DAY - keep.days, _PRUNED_AT_ONCE),
    )


def _release_expired(db: sqlite3.Connection, tenant: str, use_case: str, now_ms: int) -> None:
    """Give back what expired since the last look; each is looked at once."""
    expired = db.execute(
        f"SELECT request_id, attempt, day, amount FROM budget_reservations"  # noqa: S608  — constant text
        f" WHERE {_SCOPE} AND held = 1 AND expires_ms <= ?",
        (tenant, use_case, now_ms),
    ).fetchall()
    for request_id, attempt, day, amount in expired:
        db.execute(
            f"UPDATE budget_reservations SET held = 0 WHERE {_ONE}",  # noqa: S608  — constant text
            (tenant, use_case, request_id, attempt),
        )
        _add(db, tenant, use_case, day, reserved=-amount)


def _row(db: sqlite3.Connection, claim: Claim) -> _Row | None:
    found = db.execute(
        f"SELECT day, amount, expires_ms, held, settled FROM budget_reservations WHERE {_ONE}",  # noqa: S608  — constant text
        (claim.tenant, claim.use_case, claim.request_id, claim.attempt),
    ).fetchone()
    return _Row(*found) if found else None


def _use(db: sqlite3.Connection, tenant: str, use_case: str, day: int) -> Use:
    found = db.execute(
        f"SELECT spent, reserved FROM budget_days WHERE {_SCOPE} AND day = ?",  # noqa: S608  — constant text
        (tenant, use_case, day),
    ).fetchone()
    return Use(day, *found) if found else Use(day, 0, 0)


def _add(
    db: sqlite3.Connection, tenant: str, use_case: str, day: int, *, spent: int = 0, reserved: int = 0
) -> None:
    db.execute(
        "INSERT INTO budget_days VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET spent = spent + excluded.spent, reserved = reserved + excluded.reserved",
        (tenant, use_case, day, spent, reserved),
    )
