"""What any store of counters must do: the same tests for SQLite and for a real Redis."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from services.state.counters import MS_PER_DAY, Bucket, Cell, Claim, CountersDown, Retention
from services.state.redis_counters import RedisCounters
from services.state.sqlite_counters import SqliteCounters
from tests.services.counting import KINDS, NOON_MS, REDIS_URL, Counters, SetClock, new_prefix, opened

TODAY = NOON_MS // MS_PER_DAY
KEEP = Retention(reservation_s=60, days=2)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest_asyncio.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: SetClock) -> AsyncIterator[Counters]:
    async with opened(request.param, tmp_path, clock, KEEP) as found:
        yield found


def claim(request_id: str = "r1", attempt: str = "a", tenant: str = "t", use_case: str = "u") -> Claim:
    return Claim(tenant, use_case, request_id, attempt)


async def test_a_reservation_is_held_and_its_settlement_replaces_it(store: Counters) -> None:
    held = await store.reserve(claim(), 40, 1000, 100, 100)
    assert (held.outcome, held.amount, held.expires_ms) == ("granted", 40, NOON_MS + 1000)
    assert (held.use.day, held.use.spent, held.use.reserved) == (TODAY, 0, 40)
    done = await store.settle(claim(), TODAY, 40, held.expires_ms, 25)
    assert (done.outcome, done.actual, done.late) == ("settled", 25, False)
    assert (done.use.spent, done.use.reserved) == (25, 0)
    assert await store.use("t", "u") == done.use


async def test_the_day_limit_counts_spent_and_reserved_to_the_last_nano(store: Counters) -> None:
    held = await store.reserve(claim("r1"), 60, 1000, 100, 100)
    await store.settle(claim("r1"), TODAY, 60, held.expires_ms, 50)
    assert (await store.reserve(claim("r2"), 40, 1000, 100, 100)).outcome == "granted"
    refused = await store.reserve(claim("r3"), 11, 1000, 100, 100)
    assert (refused.outcome, refused.use.spent, refused.use.reserved) == ("day", 50, 40)
    assert (await store.reserve(claim("r4"), 10, 1000, 100, 100)).outcome == "granted"
    assert (await store.use("t", "u")).total == 100


async def test_the_request_limit_counts_all_attempts_of_one_request(store: Counters) -> None:
    first = await store.reserve(claim("r1", "a"), 60, 1000, 1000, 100)
    refused = await store.reserve(claim("r1", "b"), 60, 1000, 1000, 100)
    assert (refused.outcome, refused.request_used) == ("request", 60)
    await store.settle(claim("r1", "a"), TODAY, 60, first.expires_ms, 10)
    assert (await store.reserve(claim("r1", "c"), 60, 1000, 1000, 100)).request_used == 10
    assert (await store.reserve(claim("r2", "a"), 60, 1000, 1000, 100)).outcome == "granted"


async def test_an_expired_attempt_no_longer_counts_for_its_request(store: Counters, clock: SetClock) -> None:
    await store.reserve(claim("r1", "a"), 60, 1000, 1000, 100)
    clock.pass_s(1)
    assert (await store.reserve(claim("r1", "b"), 60, 1000, 1000, 100)).outcome == "granted"


async def test_nothing_costs_nothing_even_where_nothing_is_left(store: Counters) -> None:
    assert (await store.reserve(claim(), 0, 1000, 0, 0)).outcome == "granted"
    assert (await store.reserve(claim("r2"), 1, 1000, 0, 100)).outcome == "day"


async def test_tenants_and_use_cases_have_a_budget_each(store: Counters) -> None:
    assert (await store.reserve(claim(), 100, 1000, 100, 100)).outcome == "granted"
    assert (await store.reserve(claim(tenant="t2"), 100, 1000, 100, 100)).outcome == "granted"
    assert (await store.reserve(claim(use_case="u2"), 100, 1000, 100, 100)).outcome == "granted"
    assert (await store.reserve(claim("r2"), 1, 1000, 100, 100)).outcome == "day"


async def test_names_that_look_like_separators_do_not_mix(store: Counters) -> None:
    for tenant, use_case in (("a:b", "c"), ("a", "b:c"), ("a}:{b", "c"), ("%", "|")):
        reply = await store.reserve(claim(tenant=tenant, use_case=use_case), 100, 1000, 100, 100)
        assert (reply.outcome, reply.use.reserved) == ("granted", 100)
    for request_id, attempt in (("y|z", "x"), ("z", "x|y")):
        assert (await store.reserve(claim(request_id, attempt), 10, 1000, 100, 100)).outcome == "granted"
    for left, (request_id, attempt) in ((10, ("z", "x|y")), (0, ("y|z", "x"))):
        await store.settle(claim(request_id, attempt), TODAY, 10, NOON_MS + 1000, 0)
        assert (await store.use("t", "u")).reserved == left


async def test_reserving_again_under_the_same_id_holds_it_once(store: Counters, clock: SetClock) -> None:
    first = await store.reserve(claim(), 40, 1000, 100, 100)
    clock.pass_s(0.5)
    again = await store.reserve(claim(), 99, 1000, 100, 100)
    assert (again.outcome, again.amount, again.expires_ms) == ("granted", 40, first.expires_ms)
    assert again.use.reserved == 40


async def test_an_id_that_was_settled_or_has_expired_is_used_up(store: Counters, clock: SetClock) -> None:
    held = await store.reserve(claim("r1"), 40, 1000, 100, 100)
    await store.settle(claim("r1"), TODAY, 40, held.expires_ms, 1)
    await store.reserve(claim("r2"), 40, 1000, 100, 100)
    clock.pass_s(1)
    assert (await store.reserve(claim("r1"), 1, 1000, 100, 100)).outcome == "settled"
    assert (await store.reserve(claim("r2"), 1, 1000, 100, 100)).outcome == "expired"


async def test_settling_twice_counts_once_and_the_first_amount_stands(store: Counters) -> None:
    held = await store.reserve(claim(), 40, 1000, 100, 100)
    await store.settle(claim(), TODAY, 40, held.expires_ms, 25)
    again = await store.settle(claim(), TODAY, 40, held.expires_ms, 99)
    assert (again.outcome, again.actual) == ("repeated", 25)
    assert (again.use.spent, again.use.reserved) == (25, 0)


async def test_spending_more_than_was_reserved_is_recorded_as_it_was(store: Counters) -> None:
    held = await store.reserve(claim(), 40, 1000, 100, 100)
    done = await store.settle(claim(), TODAY, 40, held.expires_ms, 150)
    assert (done.use.spent, done.use.reserved) == (150, 0)
    assert (await store.reserve(claim("r2"), 1, 1000, 100, 100)).outcome == "day"


async def test_what_expires_comes_back_and_is_counted_by_the_stores_clock(
    store: Counters, clock: SetClock
) -> None:
    await store.reserve(claim("r1"), 100, 1000, 100, 100)
    clock.pass_s(0.999)
    assert (await store.reserve(claim("r2"), 100, 1000, 100, 100)).outcome == "day"
    clock.pass_s(0.001)
    assert (await store.use("t", "u")).total == 0
    assert (await store.reserve(claim("r3"), 100, 1000, 100, 100)).outcome == "granted"
    assert (await store.use("t", "u")).reserved == 100


async def test_money_spent_under_an_expired_reservation_counts_all_the_same(
    store: Counters, clock: SetClock
) -> None:
    held = await store.reserve(claim("r1"), 100, 1000, 100, 100)
    clock.pass_s(1)
    await store.reserve(claim("r2"), 100, 1000, 100, 100)
    done = await store.settle(claim("r1"), TODAY, 100, held.expires_ms, 70)
    assert (done.outcome, done.late) == ("settled", True)
    assert (done.use.spent, done.use.reserved) == (70, 100)


async def test_a_settlement_right_at_expiry_does_not_give_the_amount_back_twice(
    store: Counters, clock: SetClock
) -> None:
    held = await store.reserve(claim("r1"), 100, 1000, 1000, 1000)
    clock.pass_s(1)
    assert (await store.settle(claim("r1"), TODAY, 100, held.expires_ms, 70)).use.reserved == 0
    assert (await store.reserve(claim("r2"), 50, 1000, 1000, 1000)).use.reserved == 50


async def test_a_day_ends_at_midnight_utc_and_what_was_reserved_before_counts_for_its_own_day(
    store: Counters, clock: SetClock
) -> None:
    clock.now_ms = (TODAY + 1) * MS_PER_DAY - 1
    held = await store.reserve(claim("r1"), 100, 60_000, 100, 100)
    clock.now_ms += 1
    assert (await store.use("t", "u")).total == 0
    assert (await store.reserve(claim("r2"), 30, 60_000, 100, 100)).use.reserved == 30
    done = await store.settle(claim("r1"), held.use.day, 100, held.expires_ms, 80)
    assert (done.use.day, done.use.spent, done.use.reserved) == (TODAY, 80, 0)
    assert (await store.use("t", "u")).total == 30


async def test_a_clock_that_goes_back_brings_no_money_to_life(store: Counters, clock: SetClock) -> None:
    await store.reserve(claim("r1"), 100, 1000, 100, 100)
    clock.pass_s(2)
    await store.reserve(claim("r2"), 100, 5000, 100, 100)
    clock.pass_s(-1.5)
    assert (await store.reserve(claim("r1"), 100, 1000, 100, 100)).outcome == "expired"
    assert (await store.reserve(claim("r3"), 1, 1000, 100, 100)).outcome == "day"


async def test_a_settlement_whose_reservation_was_lost_with_the_store_is_counted_once(
    store: Counters,
) -> None:
    for outcome in ("settled", "repeated"):
        reply = await store.settle(claim("lost"), TODAY, 40, NOON_MS + 1000, 30)
        assert (reply.outcome, reply.use.spent, reply.use.reserved) == (outcome, 30, 0)


async def test_a_settlement_that_comes_after_its_time_is_told_and_not_counted(
    store: Counters, clock: SetClock
) -> None:
    held_until = NOON_MS + 1000
    clock.pass_s(1 + KEEP.reservation_s)
    assert (await store.settle(claim("r1"), TODAY, 40, held_until, 30)).outcome == "settled"
    clock.pass_s(0.001)
    late = await store.settle(claim("r2"), TODAY, 40, held_until, 30)
    assert (late.outcome, late.actual, late.use.spent) == ("too_late", 0, 30)


async def test_amounts_up_to_nine_million_dollars_stay_exact(store: Counters) -> None:
    most = 2**53 - 1
    held = await store.reserve(claim(), most, 1000, most, most)
    assert (held.outcome, held.use.reserved) == ("granted", most)
    assert (await store.settle(claim(), TODAY, most, held.expires_ms, most)).use.spent == most
    assert (await store.reserve(claim("r2"), 1, 1000, most, most)).outcome == "day"


async def test_many_at_once_never_get_more_than_there_is(store: Counters) -> None:
    replies = await asyncio.gather(*(store.reserve(claim(f"r{i}"), 7, 1000, 100, 100) for i in range(60)))
    assert sum(reply.outcome == "granted" for reply in replies) == 14


async def test_a_bucket_adds_up_over_workers_and_goes_when_it_is_old(
    store: Counters, clock: SetClock
) -> None:
    second = NOON_MS // 1000
    await store.sync(["e"], {"e": [Bucket(1, second, 4, 1, 0), Bucket(1, second - 1, 1, 0, 1)]}, 30)
    reply = await store.sync(["e", "f"], {"e": [Bucket(1, second, 2, 1, 1)], "f": []}, 30)
    assert reply.now_ms == NOON_MS
    assert sorted(reply.buckets["e"], key=lambda b: b.second) == [
        Bucket(1, second - 1, 1, 0, 1),
        Bucket(1, second, 6, 2, 1),
    ]
    assert reply.buckets["f"] == ()
    clock.pass_s(31)
    assert (await store.sync(["e"], {}, 30)).buckets["e"] == ()


async def test_epochs_are_counted_apart(store: Counters) -> None:
    second = NOON_MS // 1000
    reply = await store.sync(["e"], {"e": [Bucket(1, second, 1, 0, 0), Bucket(2, second, 5, 0, 0)]}, 30)
    assert {(b.epoch, b.calls) for b in reply.buckets["e"]} == {(1, 1), (2, 5)}


async def test_syncing_nothing_is_fine(store: Counters) -> None:
    reply = await store.sync([], {}, 30)
    assert (reply.now_ms, reply.cells, reply.buckets) == (NOON_MS, {}, {})


async def test_a_cell_changes_only_for_who_has_seen_its_last_version(store: Counters) -> None:
    assert (await store.sync(["e"], {}, 30)).cells["e"] == Cell()
    assert await store.swap("e", 0, '{"ü": 1}') == (True, Cell(1, '{"ü": 1}'))
    assert await store.swap("e", 0, "other") == (False, Cell(1, '{"ü": 1}'))
    assert await store.swap("e", 1, "next") == (True, Cell(2, "next"))
    assert (await store.sync(["e"], {}, 30)).cells["e"] == Cell(2, "next")


async def test_of_many_swaps_at_once_one_wins(store: Counters) -> None:
    replies = await asyncio.gather(*(store.swap("e", 0, str(i)) for i in range(20)))
    assert [done for done, _ in replies].count(True) == 1


async def test_a_call_that_is_given_up_ends_at_once_and_its_work_is_done_once(store: Counters) -> None:
    """At whatever point it is cancelled, redis-py's own loss of cancellations included."""
    for turns in range(25):
        task = asyncio.create_task(store.settle(claim(f"r{turns}"), TODAY, 0, NOON_MS, 1))
        for _ in range(turns):
            await asyncio.sleep(0)
        given_up = task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(result, asyncio.CancelledError) is given_up
    for turns in range(25):
        await store.settle(claim(f"r{turns}"), TODAY, 0, NOON_MS, 1)
    assert (await store.use("t", "u")).spent == 25


async def test_a_store_can_be_used_again_after_it_was_closed(store: Counters) -> None:
    await store.reserve(claim(), 10, 1000, 100, 100)
    await store.close()
    await store.close()
    assert (await store.use("t", "u")).reserved == 10


async def test_a_store_keeps_no_time_of_its_own_only_where_it_is_given_one(tmp_path: Path) -> None:
    for kind in KINDS:
        async with opened(kind, tmp_path, None) as store:
            reply = await store.reserve(claim(), 10, 60_000, 100, 100)
            assert reply.outcome == "granted"
            assert reply.expires_ms // MS_PER_DAY in (reply.use.day, reply.use.day + 1)
            assert abs((await store.sync([], {}, 30)).now_ms - (reply.expires_ms - 60_000)) < 60_000


async def test_old_reservations_and_days_are_pruned_from_sqlite(tmp_path: Path, clock: SetClock) -> None:
    async with opened("sqlite", tmp_path, clock, KEEP) as store:
        assert isinstance(store, SqliteCounters)
        for i in range(200):
            await store.reserve(claim(f"old{i}", tenant=f"t{i}"), 1, 1000, 100, 100)
        clock.pass_s(3 * 86_400)
        for i in range(130):
            held = await store.reserve(claim(f"new{i}"), 1, 1000, 1000, 100)
            await store.settle(claim(f"new{i}"), held.use.day, 1, held.expires_ms, 1)
        await store.close()
        db = sqlite3.connect(tmp_path / "counters.db")
        assert db.execute("SELECT COUNT(*) FROM budget_reservations").fetchone() == (130,)
        assert db.execute("SELECT day FROM budget_days").fetchall() == [(TODAY + 3,)]
        db.close()


async def test_pruning_gives_back_what_nobody_asked_about_since_it_expired(
    tmp_path: Path, clock: SetClock
) -> None:
    async with opened("sqlite", tmp_path, clock, KEEP) as store:
        await store.reserve(claim("old", tenant="quiet"), 100, 1000, 100, 100)
        clock.pass_s(120)
        for i in range(64):
            held = await store.reserve(claim(f"r{i}"), 1, 1000, 1000, 100)
            await store.settle(claim(f"r{i}"), held.use.day, 1, held.expires_ms, 1)
        assert (await store.use("quiet", "u")).total == 0
        assert (await store.reserve(claim("new", tenant="quiet"), 100, 1000, 100, 100)).outcome == "granted"


async def test_every_key_in_redis_goes_away_by_itself(tmp_path: Path, clock: SetClock) -> None:
    async with opened("redis", tmp_path, clock, KEEP) as store:
        assert isinstance(store, RedisCounters)
        held = await store.reserve(claim(), 10, 1000, 100, 100)
        await store.settle(claim(), TODAY, 10, held.expires_ms, 5)
        await store.reserve(claim("r2"), 10, 1000, 100, 100)
        await store.swap("e", 0, "x")
        await store.sync(["e"], {"e": [Bucket(1, NOON_MS // 1000, 1, 1, 1)]}, 30)
        client = Redis.from_url(REDIS_URL, decode_responses=True)
        lives = {
            key.split("}:", 1)[1]: await client.ttl(key)
            async for key in client.scan_iter(match=f"{store._prefix}:*")
        }
        await client.aclose()
        assert set(lives) == {"days", "held", "request:r1", "request:r2", "e:cell", "e:window"}
        assert all(life > 0 for life in lives.values()), lives
        assert lives["request:r1"] <= KEEP.reservation_s + 1
        clock.pass_s(3 * 86_400)
        await store.reserve(claim("r3"), 10, 1000, 100, 100)
        client = Redis.from_url(REDIS_URL, decode_responses=True)
        days = await client.hkeys(f"{store._prefix}:{{t:u}}:days")
        await client.aclose()
        assert days == [f"{TODAY + 3}:r"]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "redis://:hunter2secret@127.0.0.1:1/0"])
async def test_a_redis_that_is_not_there_is_down_and_its_address_stays_unsaid(
    url: str,
) -> None:
    store = RedisCounters(url, prefix=new_prefix())
    with pytest.raises(CountersDown) as caught:
        await store.use("t", "u")
    await store.close()
    assert "hunter2secret" not in str(caught.value) + repr(store)


async def test_a_redis_that_never_answers_costs_no_more_than_the_timeout() -> None:
    server = await asyncio.start_server(lambda reader, writer: asyncio.sleep(60), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    store = RedisCounters(f"redis://127.0.0.1:{port}", timeout_s=0.05)
    started = asyncio.get_running_loop().time()
    with pytest.raises(CountersDown):
        await store.use("t", "u")
    assert asyncio.get_running_loop().time() - started < 1
    await store.close()
    server.close()
