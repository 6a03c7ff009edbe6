"""The state database: keys and kept answers, its form, and what happens when it is away."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import insert

from services import keys
from services.errors import Conflict, InputError, NotFound, StateUnavailable
from services.state import database as database_module
from services.state import tables
from services.state.api_keys import ApiKeys, _row
from services.state.database import NEWEST, Database
from services.state.repeats import Repeats

NOW = keys.utc_now()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "state.db") as opened:
        yield opened


def test_a_key_comes_back_as_it_was_kept(database: Database) -> None:
    """Times, roles and hash survive the database."""
    _, record = keys.issue("acme", ["caller", "auditor"], NOW)
    ApiKeys(database).add(record)
    assert ApiKeys(database).get(record.id) == record
    assert ApiKeys(database).list("acme") == (record,)
    assert ApiKeys(database).list("other") == ()


def test_the_database_never_holds_a_key(database: Database, tmp_path: Path) -> None:
    """Neither the key nor its secret part is in any file."""
    key, record = keys.issue("acme", ["caller"], NOW)
    ApiKeys(database).add(record)
    database.close()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert record.hash.encode() in stored
    assert key.removeprefix(f"sk-{record.id}-").encode() not in stored


def _steps(api_keys: ApiKeys, database: Database, key_id: str) -> int:
    """Instructions that SQLite's virtual machine runs for one look-up."""
    steps = 0

    def one_more() -> int:
        nonlocal steps
        steps += 1
        return 0

    with database.reading() as connection:
        raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    raw.set_progress_handler(one_more, 1)
    api_keys.find(key_id)
    raw.set_progress_handler(None, 1)
    assert steps, "the look-up ran on this connection"
    return steps


def test_looking_a_key_up_costs_the_same_among_ten_and_ten_thousand_tenants(database: Database) -> None:
    """Counted in steps of the database, not in time; for ids that nobody has, too."""
    api_keys = ApiKeys(database)
    known = keys.issue("tenant", ["caller"], NOW)[1]
    api_keys.add(known)
    row = _row(known)
    cost = {}
    for number in (10, 10_000):
        rows = [{**row, "id": f"{number:06x}{n:06x}", "tenant": f"t{n}"} for n in range(number)]
        with database.writing() as connection:
            connection.execute(insert(tables.api_keys), rows)
        cost[number] = [_steps(api_keys, database, wanted) for wanted in (known.id, "f" * 12)]
    assert cost[10_000] == cost[10]


def test_revoking_twice_keeps_the_first_time(database: Database) -> None:
    """A later revocation does not rewrite history; an unknown id is told apart."""
    _, record = keys.issue("acme", ["caller"], NOW)
    store = ApiKeys(database)
    store.add(record)
    store.revoke(record.id, NOW)
    assert store.revoke(record.id, NOW + timedelta(hours=1)).revoked_at == NOW
    with pytest.raises(NotFound, match="keys list"):
        store.revoke("000000000000", NOW)


def test_workers_that_start_together_migrate_once(tmp_path: Path) -> None:
    """Eight first uses of one new database all work."""

    def use(_: int) -> int:
        with Database(tmp_path / "new" / "state.db") as opened:
            return len(ApiKeys(opened).list())

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(8))) == [0] * 8


def test_the_code_works_with_the_newest_migration() -> None:
    """`NEWEST` is what the migration files lead to."""
    config = Config()
    config.set_main_option("script_location", str(Path(database_module.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == NEWEST


def test_a_database_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    """The error names the file and what to look at, and quotes nothing of it."""
    (tmp_path / "state.db").write_bytes(b"this is not SQLite, and it is secret" * 100)
    with (
        Database(tmp_path / "state.db") as broken,
        pytest.raises(StateUnavailable, match=r"state\.db") as error,
    ):
        ApiKeys(broken).find("000000000000")
    assert "secret" not in str(error.value)


def test_a_writer_that_holds_the_lock_does_not_stop_readers(database: Database, tmp_path: Path) -> None:
    """WAL: keys are found while another process writes; a write waits shortly, then says so."""
    _, record = keys.issue("acme", ["caller"], NOW)
    store = ApiKeys(database)
    store.add(record)
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        assert store.find(record.id) == record
        with pytest.raises(StateUnavailable, match="locked"):
            store.revoke(record.id, NOW)
    finally:
        other.close()


def test_the_first_answer_is_kept_for_the_same_body_only(database: Database) -> None:
    """Work once, wait while it is at work, replay after; another body is refused; tenants are apart."""
    repeats = Repeats(database, keep_s=60)
    assert repeats.begin("acme", "k", "body-1", "id-1", NOW, work_s=5) is None
    with pytest.raises(Conflict):
        repeats.begin("acme", "k", "body-1", "id-2", NOW, work_s=5)
    repeats.keep("acme", "k", '{"answer": 1}', NOW)
    kept = repeats.begin("acme", "k", "body-1", "id-3", NOW, work_s=5)
    assert kept is not None
    assert (kept.request_id, kept.response) == ("id-1", '{"answer": 1}')
    with pytest.raises(InputError, match="another body"):
        repeats.begin("acme", "k", "body-2", "id-4", NOW, work_s=5)
    assert repeats.begin("globex", "k", "body-2", "id-5", NOW, work_s=5) is None


def test_a_failed_or_killed_first_request_does_not_block_the_key(database: Database) -> None:
    """Abandoned work, and work whose worker died, may be done again."""
    repeats = Repeats(database, keep_s=60)
    repeats.begin("acme", "failed", "b", "id-1", NOW, work_s=5)
    repeats.abandon("acme", "failed")
    assert repeats.begin("acme", "failed", "b", "id-2", NOW, work_s=5) is None
    repeats.begin("acme", "killed", "b", "id-3", NOW, work_s=5)
    assert repeats.begin("acme", "killed", "b", "id-4", NOW + timedelta(seconds=6), work_s=5) is None


def test_a_kept_answer_is_forgotten_after_its_time(database: Database) -> None:
    """After `keep_s` the key is free again."""
    repeats = Repeats(database, keep_s=60)
    repeats.begin("acme", "k", "b", "id-1", NOW, work_s=5)
    repeats.keep("acme", "k", "{}", NOW)
    assert repeats.begin("acme", "k", "other", "id-2", NOW + timedelta(seconds=61), work_s=5) is None
