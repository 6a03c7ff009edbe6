"""Budgets as one worker sees them, on SQLite and on Redis."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from services.budget import BudgetLimits, Refused, Reservation
from services.budgets import Budgets, BudgetSettings
from services.prices import MAX_NANOS
from services.state.counters import Claim, Retention
from tests.services.counting import KINDS, DeadStore, SetClock, opened

LIMITS = BudgetLimits(day=100, request=60, soft_fraction=0.5)
KEEP = Retention(reservation_s=60)
PATIENT = BudgetSettings(retry_s=3600)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest_asyncio.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: SetClock) -> AsyncIterator[DeadStore]:
    async with opened(request.param, tmp_path, clock, KEEP) as found:
        switch = DeadStore(found)
        switch.down = False
        yield switch


@pytest_asyncio.fixture
async def budgets(store: DeadStore, clock: SetClock) -> AsyncIterator[Budgets]:
    made = Budgets(store, PATIENT, clock.s)
    yield made
    await made.close()


async def hold(
    budgets: Budgets, request_id: str, amount: int | None = 40, attempt: str = "1", ttl_s: float = 10
) -> Reservation:
    found = await budgets.reserve("t", "u", amount, ttl_s, request_id, LIMITS, attempt)
    assert isinstance(found, Reservation), found
    return found


async def no(budgets: Budgets, request_id: str, amount: int = 40) -> Refused:
    found = await budgets.reserve("t", "u", amount, 10, request_id, LIMITS)
    assert isinstance(found, Refused), found
    return found


async def spent_and_reserved(budgets: Budgets) -> tuple[int, int]:
    use = await budgets.use("t", "u")
    assert use is not None
    return use.spent, use.reserved


async def test_money_is_held_and_then_counted_as_it_was_spent(budgets: Budgets) -> None:
    held = await hold(budgets, "r1")
    assert await spent_and_reserved(budgets) == (0, 40)
    settled = await budgets.settle(held, 25)
    assert (settled.actual, settled.counted, settled.over, settled.late) == (25, True, 0, False)
    assert await spent_and_reserved(budgets) == (25, 0)
    assert budgets.unsettled == 0


async def test_a_reservation_says_when_the_day_turns_soft(budgets: Budgets) -> None:
    assert (await hold(budgets, "r1", 40)).level == "open"
    assert (await hold(budgets, "r2", 40)).level == "soft"
    refused = await no(budgets, "r3", 40)
    assert (refused.kind, refused.level) == ("day", "soft")
    assert (await hold(budgets, "r4", 20)).level == "hard"


async def test_what_one_request_may_cost_counts_for_its_attempts_together(budgets: Budgets) -> None:
    first = await hold(budgets, "r1", 40, "primary")
    refused = await budgets.reserve("t", "u", 40, 10, "r1", LIMITS, "secondary")
    assert isinstance(refused, Refused)
    assert refused.kind == "request"
    await budgets.settle(first, 0)
    await hold(budgets, "r1", 40, "secondary")


async def test_a_call_without_a_price_holds_and_costs_all_that_its_request_may(budgets: Budgets) -> None:
    held = await hold(budgets, "r1", None)
    assert held.amount == LIMITS.request
    assert (await budgets.settle(held, None)).actual == LIMITS.request
    assert await spent_and_reserved(budgets) == (LIMITS.request, 0)


async def test_settling_twice_is_settling_once(budgets: Budgets) -> None:
    held = await hold(budgets, "r1")
    await budgets.settle(held, 25)
    again = await budgets.settle(held, 99)
    assert (again.actual, again.counted) == (25, True)
    assert await spent_and_reserved(budgets) == (25, 0)


async def test_spending_above_the_reservation_is_told_and_counted(
    budgets: Budgets, caplog: pytest.LogCaptureFixture
) -> None:
    held = await hold(budgets, "r1")
    assert (await budgets.settle(held, 140)).over == 100
    assert await spent_and_reserved(budgets) == (140, 0)
    assert "more than was reserved" in caplog.text
    assert budgets.level("t", "u", LIMITS) == "hard"


async def test_what_is_never_settled_comes_back(budgets: Budgets, clock: SetClock) -> None:
    held = await hold(budgets, "r1", 60)
    await hold(budgets, "r2", 40)
    await no(budgets, "r3")
    clock.pass_s(10)
    await hold(budgets, "r4", 60)
    assert (await budgets.settle(held, 60)).late


async def test_a_settlement_that_comes_far_too_late_is_an_alert(
    budgets: Budgets, clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    held = replace(await hold(budgets, "r1"), claim=Claim("t", "u", "pruned", "1"))
    clock.pass_s(10 + KEEP.reservation_s + 1)
    settled = await budgets.settle(held, 40)
    assert (settled.counted, settled.late) == (False, True)
    assert (budgets.unsettled, budgets.lost) == (0, 1)
    assert "settlements lost: 1" in caplog.text


async def test_an_absurd_cost_is_counted_as_far_as_one_can_count(budgets: Budgets) -> None:
    held = await hold(budgets, "r1")
    assert (await budgets.settle(held, 10**30)).actual == MAX_NANOS
    assert (await no(budgets, "r2", 10**30)).kind == "request"


@pytest.mark.parametrize(("amount", "ttl_s"), [(-1, 10), (1, 0), (1, -1)])
async def test_amounts_and_times_below_nothing_are_mistakes(
    budgets: Budgets, amount: int, ttl_s: float
) -> None:
    with pytest.raises(ValueError, match="expected 0 or more"):
        await budgets.reserve("t", "u", amount, ttl_s, "r1", LIMITS)
    held = await hold(budgets, "r2")
    with pytest.raises(ValueError, match="expected 0 or more"):
        await budgets.settle(held, -1)


async def test_while_the_store_is_down_nothing_may_be_spent_and_nothing_fails(
    budgets: Budgets, store: DeadStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.down = True
    refused = await no(budgets, "r1")
    assert (refused.kind, refused.level) == ("store", "unknown")
    assert budgets.level("t", "u", LIMITS) == "unknown"
    assert await budgets.use("t", "u") is None
    assert "nothing may be spent for now" in caplog.text


async def test_a_store_that_is_down_is_left_alone_for_a_while(
    budgets: Budgets, store: DeadStore, clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    """So that a store that never answers costs one request its timeout, and not every one."""
    store.down = True
    for i in range(10):
        await no(budgets, f"r{i}")
    assert store.asked == 1
    clock.pass_s(PATIENT.hold_off_s)
    await no(budgets, "r10")
    assert store.asked == 2
    store.down = False
    clock.pass_s(PATIENT.hold_off_s)
    caplog.set_level(logging.WARNING)
    await hold(budgets, "r11")
    assert caplog.text.count("nothing may be spent for now") == 1
    assert caplog.text.count("counted again") == 1


async def test_money_spent_while_the_store_was_down_is_counted_when_it_is_back(
    store: DeadStore, clock: SetClock
) -> None:
    budgets = Budgets(store, BudgetSettings(retry_s=0.001), clock.s)
    held = await hold(budgets, "r1")
    store.down = True
    settled = await budgets.settle(held, 25)
    assert (settled.counted, settled.actual) == (False, 25)
    assert "waits" in settled.reason
    await asyncio.sleep(0)
    store.down = False
    assert budgets._retrying is not None
    await asyncio.wait_for(budgets._retrying, 10)
    assert budgets.unsettled == 0
    assert await spent_and_reserved(budgets) == (25, 0)
    await budgets.close()


async def test_a_settlement_whose_request_is_given_up_half_way_is_made_all_the_same(
    store: DeadStore, clock: SetClock
) -> None:
    budgets = Budgets(store, BudgetSettings(retry_s=0.001), clock.s)
    for turns in range(12):
        held = await hold(budgets, f"r{turns}", 5)
        task = asyncio.create_task(budgets.settle(held, 5))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if turns == 0:  # it never began: nothing was spent either
            await budgets.settle(held, 5)
    if budgets._retrying:
        await asyncio.wait_for(budgets._retrying, 10)
    assert budgets.unsettled == 0
    assert await spent_and_reserved(budgets) == (60, 0)
    await budgets.close()


async def test_closing_settles_what_waits(budgets: Budgets, store: DeadStore) -> None:
    held = await hold(budgets, "r1")
    store.down = True
    await budgets.settle(held, 25)
    store.down = False
    await budgets.close()
    assert (budgets.unsettled, budgets.lost) == (0, 0)
    assert await spent_and_reserved(budgets) == (25, 0)


async def test_what_can_never_be_settled_is_counted_as_lost_and_said_so(
    budgets: Budgets, store: DeadStore, caplog: pytest.LogCaptureFixture
) -> None:
    held = await hold(budgets, "r1")
    store.down = True
    await budgets.settle(held, 25)
    await budgets.close()
    assert budgets.lost == 1
    assert "settlements lost: 1" in caplog.text


async def test_settlements_that_wait_are_bounded(store: DeadStore, clock: SetClock) -> None:
    budgets = Budgets(store, BudgetSettings(unsettled=3, retry_s=3600), clock.s)
    held = [await hold(budgets, f"r{i}", 5) for i in range(5)]
    store.down = True
    for each in held:
        await budgets.settle(each, 5)
    assert (budgets.unsettled, budgets.lost) == (3, 2)
    store.down = False
    await budgets.close()
    assert await spent_and_reserved(budgets) == (15, 10)


async def test_a_level_is_known_without_asking_and_brought_up_to_date_in_the_background(
    budgets: Budgets, store: DeadStore, clock: SetClock
) -> None:
    other = Budgets(store.inner, PATIENT, clock.s)
    await hold(other, "r1", 60)
    assert budgets.level("t", "u", LIMITS) == "open"
    await budgets._asking["t", "u"]
    assert budgets.level("t", "u", LIMITS) == "soft"
    asked = store.asked
    assert budgets.level("t", "u", LIMITS) == "soft"
    await asyncio.sleep(0)
    assert store.asked == asked
    await hold(other, "r2", 40)
    clock.pass_s(PATIENT.level_s + 0.1)
    assert budgets.level("t", "u", LIMITS) == "soft"
    await budgets._asking["t", "u"]
    assert budgets.level("t", "u", LIMITS) == "hard"
    await other.close()


async def test_a_level_of_long_ago_closes_nothing(budgets: Budgets, clock: SetClock) -> None:
    await hold(budgets, "r1", 60)
    await hold(budgets, "r2", 40)
    assert budgets.level("t", "u", LIMITS) == "hard"
    clock.pass_s(86_400)
    assert budgets.level("t", "u", LIMITS) == "open"
    await budgets._asking["t", "u"]
    assert budgets.level("t", "u", LIMITS) == "open"


async def test_a_reservation_of_yesterday_does_not_hide_todays_level(
    budgets: Budgets, clock: SetClock
) -> None:
    clock.pass_s(12 * 3600 - 1)
    held = await hold(budgets, "r1", 5)
    clock.pass_s(1)
    await hold(budgets, "r2", 60)
    await budgets.settle(held, 5)
    assert budgets.level("t", "u", LIMITS) == "soft"


async def test_levels_that_are_known_at_once_are_bounded(store: DeadStore, clock: SetClock) -> None:
    budgets = Budgets(store, BudgetSettings(levels=10), clock.s)
    for i in range(50):
        await budgets.use(f"t{i}", "u")
    assert len(budgets._levels) == 10
    await budgets.close()
