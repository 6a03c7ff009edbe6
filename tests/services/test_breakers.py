"""Breakers shared by workers, on SQLite and on Redis."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from services.breaker import Blocked, BreakerSettings, BreakerState, Permit
from services.breakers import Breakers
from services.state.counters import Bucket, Cell, SyncReply
from tests.services.counting import KINDS, Counters, DeadStore, SetClock, opened

RULES = BreakerSettings(min_calls=10, open_s=5, jitter=0.0, probes=2, refresh_s=30)
Worker = Callable[..., Breakers]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest_asyncio.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: SetClock) -> AsyncIterator[Counters]:
    async with opened(request.param, tmp_path, clock) as found:
        yield found


@pytest_asyncio.fixture
async def worker(store: Counters, clock: SetClock) -> AsyncIterator[Worker]:
    """Makes workers that share `store` (or the one given); they sync when told, or upon a change."""
    made: list[Breakers] = []

    def make(on: object = store, **more: object) -> Breakers:
        made.append(Breakers(on, RULES, clock.s, endpoints=["e"], wall=clock.s, luck=lambda: 0.0, **more))  # type: ignore[arg-type]  # a fake store
        return made[-1]

    yield make
    for breakers in made:
        await breakers.close()


async def call(breakers: Breakers, *, ok: bool, latency_s: float = 0.1) -> Permit | Blocked:
    permit = await breakers.permit("e")
    if isinstance(permit, Permit):
        breakers.record(permit, ok, latency_s)
    return permit


async def trip(breakers: Breakers) -> None:
    for _ in range(10):
        await call(breakers, ok=False)
    assert breakers.state("e").phase == "open"


async def test_a_good_endpoint_may_be_called(worker: Worker) -> None:
    a = worker()
    for _ in range(50):
        assert isinstance(await call(a, ok=True), Permit)
    assert a.state("e") == BreakerState("closed")


async def test_a_failing_endpoint_is_left_alone_at_once_with_the_reason(worker: Worker) -> None:
    a = worker()
    await trip(a)
    blocked = await a.permit("e")
    assert blocked == Blocked("10 of 10 calls failed within 30 s; tried again in 5.0 s", 5.0)


async def test_a_slow_endpoint_is_left_alone_too(worker: Worker) -> None:
    a = worker()
    for _ in range(10):
        await call(a, ok=True, latency_s=5.0)
    assert a.state("e").phase == "open"
    assert "took 5 s or longer" in a.state("e").reason


async def test_what_one_worker_found_the_others_know_after_their_next_look(worker: Worker) -> None:
    a, b = worker(), worker()
    await b.start()
    await trip(a)
    await a.sync()
    assert b.state("e").phase == "closed"
    assert await b.sync()
    assert b.state("e") == a.state("e")
    assert isinstance(await b.permit("e"), Blocked)


async def test_a_worker_that_starts_during_an_outage_knows_of_it_before_its_first_call(
    worker: Worker,
) -> None:
    a = worker()
    await trip(a)
    await a.sync()
    assert isinstance(await worker().permit("e"), Blocked)


async def test_failures_spread_over_workers_open_it_together(worker: Worker) -> None:
    workers = [worker() for _ in range(5)]
    for each in workers:
        for _ in range(2):
            await call(each, ok=False)
        await each.sync()
    assert workers[-1].state("e").phase == "open"
    await workers[-1].sync()
    for each in workers:
        await each.sync()
        assert each.state("e").phase == "open"


async def test_workers_that_open_it_at_the_same_moment_open_it_once(worker: Worker, store: Counters) -> None:
    a, b = worker(), worker()
    await a.start()
    await b.start()
    await trip(a)
    await trip(b)
    await asyncio.gather(a.sync(), b.sync())
    await asyncio.gather(a.sync(), b.sync())
    cell = json.loads((await store.sync(["e"], {}, 30)).cells["e"].value)
    assert (cell["phase"], cell["epoch"], cell["opens"]) == ("open", 1, 1)
    assert a.state("e") == b.state("e")


async def test_all_workers_together_send_no_more_probes_than_set(worker: Worker, clock: SetClock) -> None:
    workers = [worker() for _ in range(6)]
    await trip(workers[0])
    for each in workers:
        await each.sync()
        await each.start()
    clock.pass_s(5)
    answers = await asyncio.gather(*(each.permit("e") for each in workers for _ in range(3)))
    probes = [answer for answer in answers if isinstance(answer, Permit)]
    assert len(probes) == RULES.probes
    assert all(probe.probe for probe in probes)


async def test_after_good_probes_every_worker_goes_back_to_it(worker: Worker, clock: SetClock) -> None:
    a, b = worker(), worker()
    await trip(a)
    await a.sync()
    await b.sync()
    clock.pass_s(5)
    await call(a, ok=True)
    await a.sync()
    await call(b, ok=True)
    await b.sync()
    await a.sync()
    assert (a.state("e").phase, b.state("e").phase) == ("closed", "closed")
    assert await call(a, ok=False) == await call(b, ok=False)
    assert a.state("e").phase == "closed"


async def test_a_bad_or_slow_probe_opens_it_for_longer(worker: Worker, clock: SetClock) -> None:
    a = worker()
    await trip(a)
    for ok, latency_s, length_s in ((False, 0.1, 10), (True, 5.0, 20)):
        clock.pass_s(a.state("e").retry_after_s)
        assert isinstance(await call(a, ok=ok, latency_s=latency_s), Permit)
        assert a.state("e").retry_after_s == length_s


async def test_a_probe_that_was_released_may_be_claimed_by_another_worker(
    worker: Worker, clock: SetClock
) -> None:
    a, b = worker(), worker()
    await trip(a)
    await a.sync()
    await b.sync()
    clock.pass_s(5)
    first, second = await a.permit("e"), await a.permit("e")
    assert isinstance(first, Permit)
    assert isinstance(second, Permit)
    assert isinstance(await b.permit("e"), Blocked)
    a.release(second)
    await a.sync()
    await b.sync()
    assert isinstance(await b.permit("e"), Permit)


async def test_probes_of_a_killed_worker_do_not_close_the_road_for_ever(
    worker: Worker, clock: SetClock
) -> None:
    a, b = worker(), worker()
    await trip(a)
    await a.sync()
    clock.pass_s(5)
    await a.permit("e")
    await a.permit("e")
    assert isinstance(await b.permit("e"), Blocked)
    clock.pass_s(RULES.probe_lease_s)
    assert isinstance(await b.permit("e"), Permit)


async def test_the_late_failure_of_an_old_call_does_not_count_after_it_closed_again(
    worker: Worker, clock: SetClock
) -> None:
    a = worker()
    old = [await a.permit("e") for _ in range(20)]
    await trip(a)
    clock.pass_s(5)
    await call(a, ok=True)
    await call(a, ok=True)
    assert a.state("e").phase == "closed"
    for permit in old:
        assert isinstance(permit, Permit)
        a.record(permit, False, 8.0)
    assert a.state("e").phase == "closed"


async def test_without_the_store_each_worker_decides_alone_and_no_call_fails(
    worker: Worker, store: Counters, clock: SetClock
) -> None:
    dead = DeadStore(store)
    a = worker(dead)
    await trip(a)
    assert isinstance(await a.permit("e"), Blocked)
    clock.pass_s(5)
    await call(a, ok=True)
    assert a.state("e").phase == "half_open"
    await call(a, ok=True)
    assert a.state("e").phase == "closed"
    assert not await a.sync()


async def test_what_happened_while_the_store_was_away_reaches_the_others_when_it_is_back(
    worker: Worker, store: Counters, clock: SetClock
) -> None:
    dead = DeadStore(store)
    a, b = worker(dead), worker()
    await b.start()
    await trip(a)
    clock.pass_s(5)
    await call(a, ok=False)
    dead.down = False
    assert await a.sync()
    await b.sync()
    assert b.state("e") == a.state("e")
    assert b.state("e").retry_after_s == 10
    clock.pass_s(10)
    await call(b, ok=True)
    await call(b, ok=True)
    await b.sync()
    await a.sync()
    assert a.state("e").phase == "closed"


async def test_calls_counted_while_the_store_was_away_are_pushed_later(
    worker: Worker, store: Counters
) -> None:
    dead = DeadStore(store)
    a, b = worker(dead), worker()
    for _ in range(9):
        await call(a, ok=False)
    dead.down = False
    await a.sync()
    await b.start()
    await call(b, ok=False)
    assert b.state("e").phase == "open"


async def test_a_store_that_forgot_everything_is_believed(tmp_path: Path, clock: SetClock) -> None:
    """Rather a call too many than an endpoint that nobody may try again."""
    async with opened("sqlite", tmp_path / "old", clock) as old, opened("redis", tmp_path, clock) as new:
        store = DeadStore(old)
        store.down = False
        a = Breakers(store, RULES, clock.s, wall=clock.s, luck=lambda: 0.0)
        await trip(a)
        await a.sync()
        clock.pass_s(5)
        await call(a, ok=False)
        await a.sync()
        store.inner = new
        await a.sync()
        assert a.state("e").phase == "closed"
        await trip(a)
        await a.sync()
        b = Breakers(new, RULES, clock.s)
        assert isinstance(await b.permit("e"), Blocked)
        await a.close()
        await b.close()


@pytest.mark.parametrize("value", ["not json", "[]", '{"phase": "gone"}', '{"epoch": "1"}', '{"new": 1}'])
async def test_a_cell_that_nobody_understands_is_a_closed_breaker(
    worker: Worker, store: Counters, value: str
) -> None:
    await store.swap("e", 0, value)
    a = worker()
    assert isinstance(await call(a, ok=True), Permit)
    await trip(a)
    await a.sync()
    assert isinstance(await worker().permit("e"), Blocked)


async def test_each_change_is_told_once(worker: Worker, clock: SetClock) -> None:
    told: list[tuple[str, str]] = []
    a = worker(on_change=lambda name, state: told.append((name, state.phase)))
    await trip(a)
    await a.sync()
    clock.pass_s(5)
    await call(a, ok=True)
    await call(a, ok=True)
    await a.sync()
    assert told == [("e", "open"), ("e", "half_open"), ("e", "closed")]


async def test_breakers_without_a_store_are_a_workers_own(clock: SetClock) -> None:
    a = Breakers(None, RULES, clock.s, wall=clock.s, luck=lambda: 0.0)
    await trip(a)
    clock.pass_s(5)
    await call(a, ok=True)
    await call(a, ok=True)
    assert a.state("e").phase == "closed"
    assert not await a.sync()
    await a.close()


async def test_a_worker_whose_clock_differs_from_the_stores_still_opens_for_as_long(
    store: Counters, clock: SetClock
) -> None:
    """A monotonic clock begins anywhere, and a wall clock may be an hour off."""
    a = Breakers(
        store,
        RULES,
        lambda: clock.s() - 12_345,
        endpoints=["e"],
        wall=lambda: clock.s() + 3600,
        luck=lambda: 0.0,
    )
    await a.start()
    await trip(a)
    await a.sync()
    assert a.state("e").retry_after_s == 5.0
    await a.close()


async def test_in_the_background_siblings_learn_without_being_asked(tmp_path: Path) -> None:
    rules = BreakerSettings(refresh_s=0.01)
    async with opened("sqlite", tmp_path, None) as store:
        learned = asyncio.Event()
        a = Breakers(store, rules)
        b = Breakers(store, rules, endpoints=["e"], on_change=lambda name, state: learned.set())
        await b.start()
        await trip(a)
        await asyncio.wait_for(learned.wait(), 10)
        assert b.state("e").phase == "open"
        await a.close()
        await b.close()


async def test_a_store_that_breaks_in_an_unforeseen_way_does_not_end_the_background_work(
    tmp_path: Path,
) -> None:
    async with opened("sqlite", tmp_path, None) as inner:
        store = DeadStore(inner)
        broken = Breaks()
        store._check = broken  # type: ignore[method-assign]  # breaks in a way of its own
        a = Breakers(store, BreakerSettings(refresh_s=0.005), endpoints=["e"])
        with pytest.raises(ZeroDivisionError):
            await a.start()
        await asyncio.wait_for(broken.often.wait(), 10)
        await a.close()


class Breaks:
    """Fails in a way that no store should; `often` is set when it was asked a third time."""

    def __init__(self) -> None:
        self.times = 0
        self.often = asyncio.Event()

    def __call__(self) -> None:
        self.times += 1
        if self.times >= 3:
            self.often.set()
        raise ZeroDivisionError


class LosesAnswers(DeadStore):
    """Swaps, and then tells what a repeated swap would: that the cell has another version by now."""

    async def swap(self, endpoint: str, expected_version: int, value: str) -> tuple[bool, Cell]:
        _, cell = await super().swap(endpoint, expected_version, value)
        return False, cell


async def test_a_claim_whose_answer_was_lost_on_the_way_is_granted_and_counted_once(
    worker: Worker, store: Counters, clock: SetClock
) -> None:
    lossy = LosesAnswers(store)
    lossy.down = False
    a = worker(lossy)
    await trip(a)
    clock.pass_s(5)
    assert isinstance(await a.permit("e"), Permit)
    cell = json.loads((await store.sync(["e"], {}, 30)).cells["e"].value)
    assert (cell["phase"], cell["granted"]) == ("half_open", 1)


async def test_an_endpoint_that_is_first_named_later_is_asked_about_before_its_first_call(
    worker: Worker,
) -> None:
    a, b = worker(), worker()
    await b.start()
    permits = [await a.permit("new") for _ in range(10)]
    for permit in permits:
        assert isinstance(permit, Permit)
        a.record(permit, False, 0.1)
    await a.sync()
    assert isinstance(await b.permit("new"), Blocked)


async def test_a_worker_that_lags_behind_goes_on_when_it_learns_that_the_trial_is_over(
    worker: Worker, clock: SetClock
) -> None:
    a, b = worker(), worker()
    await trip(a)
    clock.pass_s(5)
    await call(a, ok=True)
    await a.sync()
    await b.start()
    await call(a, ok=True)
    await a.sync()
    assert b.state("e").phase == "half_open"
    assert await b.permit("e") == await a.permit("e")
    assert b.state("e").phase == "closed"


class Tardy(DeadStore):
    """A reply takes five seconds, at the end of which it tells a time long past."""

    clock: SetClock

    async def sync(
        self, endpoints: Sequence[str], pushed: Mapping[str, Sequence[Bucket]], keep_s: int
    ) -> SyncReply:
        reply = await super().sync(endpoints, pushed, keep_s)
        self.clock.pass_s(5)
        return reply


async def test_a_reply_that_was_long_on_its_way_does_not_set_the_clock(
    worker: Worker, store: Counters, clock: SetClock
) -> None:
    slow = Tardy(store)
    slow.down, slow.clock = False, clock
    a = worker()
    await trip(a)
    await a.sync()
    left_s = a.state("e").retry_after_s
    b = worker(slow)
    await b.start()
    assert (left_s, b.state("e").phase) == (5.0, "half_open")
