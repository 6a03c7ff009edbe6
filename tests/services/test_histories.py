"""What any store of key histories must do: the same tests for SQLite and for a real Redis."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from feature_checks.feature_table import feature_table
from feature_checks.key_history import KeyHistory
from feature_checks.made_rows import make_rows, read_recipe
from feature_checks.usecase import load_usecase
from services.errors import StateUnavailable
from services.online_features import HistoryStore, MemoryHistories, OnlineFeatures
from services.state.redis_histories import RedisHistories
from services.state.sqlite_histories import SqliteHistories
from services.values import Envelope
from tests.services.counting import KINDS, REDIS_URL, forget, need_redis, new_prefix

FOLDER = Path(__file__).parents[2] / "usecases"


@pytest_asyncio.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[HistoryStore]:
    if request.param == "sqlite":
        embedded = SqliteHistories(tmp_path / "histories.db", timeout_s=10)
        yield embedded
        await embedded.close()
        return
    need_redis()
    prefix = new_prefix()
    shared = RedisHistories(REDIS_URL, prefix=prefix, timeout_s=10)
    yield shared
    await shared.close()
    await forget(prefix)


async def add(store: HistoryStore, key: str, at: float, number: int) -> list[int]:
    """One event more of a key; how many were there before, once for each time that the change was tried."""
    before: list[int] = []

    def change(held: list[KeyHistory | None]) -> list[KeyHistory]:
        history = held[0] or KeyHistory(1)
        before.append(len(history.times))
        history.add(at, number, (1.5,))
        return [history]

    await store.change([key], [1], change)
    return before


async def look(store: HistoryStore, key: str, columns: int = 1) -> KeyHistory | None:
    found: list[KeyHistory | None] = []

    def change(held: list[KeyHistory | None]) -> list[KeyHistory]:
        found.append(held[0])
        return [held[0] or KeyHistory(columns)]

    await store.change([key], [columns], change)
    return found[-1]


async def test_what_was_kept_is_there_again_to_the_last_bit(store: HistoryStore) -> None:
    assert await look(store, "a/fresh") is None
    await add(store, "a/1", 12.25, 2**63 + 5)
    found = await look(store, "a/1")
    assert found is not None
    assert (found.times, found.ids, found.values) == ([12.25], [2**63 + 5], ([1.5],))
    assert await look(store, "a/2") is None


async def test_changes_at_once_all_count(store: HistoryStore) -> None:
    """Twenty at the same moment: none overwrites another one."""
    await asyncio.gather(*(add(store, "a/1", float(n), n) for n in range(20)))
    found = await look(store, "a/1")
    assert found is not None
    assert sorted(found.ids) == list(range(20))


async def test_a_change_that_fails_changes_nothing(store: HistoryStore) -> None:
    await add(store, "a/1", 1.0, 1)

    def broken(held: list[KeyHistory | None]) -> list[KeyHistory]:
        (held[0] or KeyHistory(1)).add(2.0, 2, (9.0,))
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await store.change(["a/1"], [1], broken)
    found = await look(store, "a/1")
    assert found is not None
    assert found.ids == [1]


async def test_a_history_of_features_declared_otherwise_begins_anew(store: HistoryStore) -> None:
    await add(store, "a/1", 1.0, 1)
    assert await look(store, "a/1", columns=2) is None


async def test_a_month_replayed_one_by_one_gives_the_features_of_training(store: HistoryStore) -> None:
    """The shipped use case, a month of its sample's recipe: stored bytes and feedback against one table."""
    usecase = load_usecase("fraud", FOLDER)
    assert usecase.features is not None
    recipe = read_recipe(usecase.path(usecase.data.sample))
    actors = recipe.actors.model_copy(update={"count": 25})
    places = recipe.places.model_copy(update={"count": 30})
    rows = make_rows(recipe.model_copy(update={"actors": actors, "places": places, "days": 31}))
    times = rows["at"].astype("datetime64[us]").dt.tz_localize("UTC")
    online = OnlineFeatures(usecase.features, store, None)
    table = feature_table(rows.assign(at=times), online.engine, usecase.label)
    served = np.empty_like(table.to_numpy())
    fraud = (rows[usecase.label] == usecase.features.positive).tolist()
    for place, row in enumerate(rows.to_dict("records")):
        fields = {str(name): row[name] for name in usecase.input if row.get(name) is not None}
        fields["at"] = row["at"].isoformat()
        envelope = Envelope(str(place), usecase.name, "bank", fields, frozenset(), "")
        enriched, _ = await online.enrich(envelope)
        assert enriched.features is not None
        served[place] = list(enriched.features.values())
        if fraud[place]:
            await online.label(fields, "bank", usecase.name)
    assert len(rows) > 1000
    assert table["terminal_risk_14d"].max() > 0
    assert np.abs(served - table.to_numpy()).max() <= 1e-9


async def test_there_are_never_more_known_frauds_than_payments(tmp_path: Path) -> None:
    """A payment that a client sends twice is judged twice; one that was not counted is judged, too."""
    usecase, now = load_usecase("fraud", FOLDER), [1_795_900_000.0]
    assert usecase.features is not None
    online = OnlineFeatures(
        usecase.features, MemoryHistories(), lambda: now[0], {"amount": (0.0, 1_000_000.0)}
    )

    def paid(number: int, amount: float = 50.0) -> Envelope:
        at = datetime.fromtimestamp(now[0], UTC).isoformat()
        fields = {"transaction_id": number, "at": at, "customer_id": "c", "terminal_id": 9, "amount": amount}
        return Envelope("r", usecase.name, "bank", fields, frozenset(), "")

    first, uncounted = paid(1), paid(2, amount=-5.0)
    for one in (first, first, uncounted):
        await online.enrich(one)
        await online.label(one.fields, "bank", usecase.name)
    now[0] += 8 * 86_400
    later, _ = await online.enrich(paid(3))
    assert later.features is not None
    assert (later.features["terminal_risk_7d"], later.features["terminal_positives_21d"]) == (1.0, 1.0)


async def test_a_store_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    embedded = SqliteHistories(tmp_path / "folder", timeout_s=0.1)
    shared = RedisHistories("redis://127.0.0.1:1", timeout_s=0.2)
    for store in (embedded, shared):
        with pytest.raises(StateUnavailable, match="cannot be used"):
            await look(store, "a/1")
        await store.close()


async def test_a_file_of_another_form_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "histories.db"
    with sqlite3.connect(file) as other:
        other.execute("PRAGMA user_version=99")
    store = SqliteHistories(file)
    with pytest.raises(StateUnavailable):
        await look(store, "a/1")
    await store.close()
    with sqlite3.connect(file) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (99,)


async def test_a_file_of_the_form_before_is_taken_over_with_what_it_holds(tmp_path: Path) -> None:
    """By two workers at once: one of them does it, neither loses anything."""
    file, kept = tmp_path / "histories.db", KeyHistory(1)
    kept.add(3.0, 7, (2.5,))
    with sqlite3.connect(file) as before:
        before.execute(
            "CREATE TABLE histories (key TEXT PRIMARY KEY, at REAL NOT NULL, history BLOB NOT NULL) "
            "WITHOUT ROWID"
        )
        before.execute("INSERT INTO histories VALUES ('a/1', 0.0, ?)", (kept.dump(),))
        before.execute("PRAGMA user_version=1")
    workers = [SqliteHistories(file, timeout_s=10) for _ in range(2)]
    found = await asyncio.gather(*(look(one, "a/1") for one in workers))
    for one in found:
        assert one is not None
        assert (one.times, one.ids, one.values) == ([3.0], [7], ([2.5],))
    for worker in workers:
        await worker.close()
    with sqlite3.connect(file) as after:
        assert after.execute("PRAGMA user_version").fetchone() == (2,)
        assert after.execute("SELECT count(*) FROM histories").fetchone() == (1,)
