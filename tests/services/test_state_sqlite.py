"""What can happen to the SQLite file of the counters, and what one step costs."""

import sqlite3
from pathlib import Path

import pytest

from services.state import sqlite_budgets
from services.state.counters import Claim, CountersDown, Retention
from services.state.sqlite_counters import SqliteCounters


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "counters.db"


@pytest.fixture
def garbage(tmp_path: Path) -> Path:
    path = tmp_path / "counters.db"
    path.write_bytes(b"not a database " * 100)
    return path


@pytest.fixture
def later(tmp_path: Path) -> Path:
    path = tmp_path / "counters.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    return path


def files(path: Path) -> list[Path]:
    return list(path.parent.glob("*"))


def content(path: Path) -> bytes:
    return path.read_bytes()


def claim(request_id: str = "r1") -> Claim:
    return Claim("t", "u", request_id, "1")


async def test_nothing_is_made_until_something_is_counted(path: Path) -> None:
    store = SqliteCounters(path, timeout_s=10)
    await store.close()
    assert files(path) == []
    await store.use("t", "u")
    await store.close()
    assert [file.name for file in files(path)] == ["counters.db"]


async def test_a_locked_database_is_down_after_the_timeout_and_works_when_the_lock_is_gone(
    path: Path,
) -> None:
    patient, store = SqliteCounters(path, timeout_s=10), SqliteCounters(path, timeout_s=0.05)
    await patient.reserve(claim(), 1, 60_000, 10, 10)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(CountersDown, match="locked"):
        await store.reserve(claim("r2"), 1, 60_000, 10, 10)
    holder.execute("COMMIT")
    holder.close()
    assert (await patient.reserve(claim("r2"), 1, 60_000, 10, 10)).use.reserved == 2
    await patient.close()
    await store.close()


async def test_a_file_that_is_gone_is_made_anew(path: Path) -> None:
    """What was counted in it is lost; that nobody may spend until somebody comes would be worse."""
    store = SqliteCounters(path, timeout_s=10)
    await store.reserve(claim(), 1, 60_000, 10, 10)
    for file in files(path):
        file.unlink()
    assert (await store.reserve(claim("r2"), 1, 60_000, 10, 10)).use.reserved == 1
    other = SqliteCounters(path, timeout_s=10)
    assert (await other.use("t", "u")).reserved == 1
    await other.close()
    await store.close()


async def test_a_file_that_is_no_database_is_down_and_stays_as_it_is(garbage: Path) -> None:
    store, before = SqliteCounters(garbage, timeout_s=10), content(garbage)
    with pytest.raises(CountersDown, match="not a database"):
        await store.reserve(claim(), 1, 60_000, 10, 10)
    await store.close()
    assert content(garbage) == before


async def test_a_file_of_a_later_program_is_left_alone(later: Path) -> None:
    store = SqliteCounters(later, timeout_s=10)
    with pytest.raises(CountersDown, match=r"its form is 99, .* use a newer one"):
        await store.use("t", "u")
    await store.close()


async def test_a_folder_that_cannot_be_made_is_a_store_that_is_down(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file in the way")
    store = SqliteCounters(tmp_path / "home" / "counters.db", timeout_s=10)
    with pytest.raises(CountersDown):
        await store.use("t", "u")
    await store.close()


async def test_a_full_disk_is_a_store_that_is_down_and_nothing_is_counted_by_halves(path: Path) -> None:
    store = SqliteCounters(path, timeout_s=10)
    granted = [await store.reserve(claim("r0"), 1, 60_000, 10**9, 10)]
    assert store._thread is not None
    store._thread.submit(lambda: store._db and store._db.execute("PRAGMA max_page_count = 1")).result()

    async def fill() -> None:
        while len(granted) < 10_000:
            granted.append(await store.reserve(claim(f"r{len(granted)}"), 1, 60_000, 10**9, 10))

    with pytest.raises(CountersDown, match="full"):
        await fill()
    assert (await store.use("t", "u")).reserved == len(granted)
    await store.close()


def _steps(db: sqlite3.Connection, request_id: str, now_ms: int) -> int:
    """How many steps of SQLite's machine a reservation and its settlement take."""
    steps = 0

    def one_more() -> int:
        nonlocal steps
        steps += 1
        return 0

    db.set_progress_handler(one_more, 1)
    held = sqlite_budgets.reserve(db, now_ms, claim(request_id), 1, 1000, 100, 100)
    sqlite_budgets.settle(db, now_ms, claim(request_id), held.use.day, 1, held.expires_ms, 1, Retention())
    db.set_progress_handler(None, 1)
    return steps


def test_a_reservation_costs_the_same_among_ten_thousand_tenants_and_their_history() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(sqlite_budgets.SCHEMA)
    now_ms = 1_800_000_000_000
    _steps(db, "first", now_ms)
    alone = _steps(db, "second", now_ms)
    day = now_ms // 86_400_000
    db.execute("BEGIN")
    for i in range(10_000):
        db.execute("INSERT INTO budget_days VALUES (?, 'u', ?, 1, 1)", (f"x{i}", day))
        db.execute(
            "INSERT INTO budget_reservations VALUES (?, 'u', 'r', '1', ?, 1, ?, ?, NULL)",
            (f"x{i}", day, now_ms + i - 5000, i % 2),
        )
        db.execute(
            "INSERT INTO budget_reservations VALUES ('t', 'u', ?, '1', ?, 1, ?, 0, 1)",
            (f"old{i}", day, now_ms + i - 5000),
        )
    db.execute("COMMIT")
    assert _steps(db, "third", now_ms) <= alone * 1.2
    db.close()
