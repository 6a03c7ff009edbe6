"""The gate in front of the work, and the counters behind rates."""

import asyncio
import time

import pytest
from limits import RateLimitItemPerMinute
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from services.api.limits import Gate
from services.errors import TooManyRequests
from services.state.rate_counters import LoopCounters


def soon() -> float:
    return time.monotonic() + 5


async def hold(gate: Gate, until: asyncio.Event, started: list[int], number: int) -> None:
    async with gate.place(soon()):
        started.append(number)
        await until.wait()


async def test_no_more_than_its_places_work_at_once_and_the_rest_wait_in_order() -> None:
    """Two places, three waiting: first come, first served."""
    gate, until, started = Gate(2, 3, 5), asyncio.Event(), []
    tasks = [asyncio.create_task(hold(gate, until, started, n)) for n in range(5)]
    await asyncio.sleep(0)
    assert started == [0, 1]
    until.set()
    await asyncio.gather(*tasks)
    assert started == [0, 1, 2, 3, 4]


async def test_a_full_queue_refuses_at_once() -> None:
    """The queue is bounded: the next one is told to come back."""
    gate, until, started = Gate(1, 1, 5), asyncio.Event(), []
    tasks = [asyncio.create_task(hold(gate, until, started, n)) for n in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests) as refused:
        async with gate.place(soon()):
            pass
    assert refused.value.retry_after_s == 1
    until.set()
    await asyncio.gather(*tasks)


async def test_nobody_waits_past_the_queue_time_or_the_deadline() -> None:
    """Whichever comes first ends the wait."""
    for gate, deadline in ((Gate(1, 5, 0.01), soon()), (Gate(1, 5, 60), time.monotonic() + 0.01)):
        async with gate.place(soon()):
            with pytest.raises(TooManyRequests, match="no place"):
                async with gate.place(deadline):
                    pass
        async with gate.place(soon()):
            pass


async def test_cancelled_and_failed_requests_give_their_place_back() -> None:
    """Whatever ends a request, its place is free again."""
    gate = Gate(1, 5, 5)
    with pytest.raises(RuntimeError):
        async with gate.place(soon()):
            raise RuntimeError
    until: asyncio.Event = asyncio.Event()
    first = asyncio.create_task(hold(gate, until, [], 0))
    await asyncio.sleep(0)
    second = asyncio.create_task(hold(gate, until, [], 1))
    await asyncio.sleep(0)
    second.cancel()
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    async with asyncio.timeout(1), gate.place(soon()):
        pass


async def test_a_place_given_in_the_moment_of_cancelling_is_not_lost() -> None:
    """The race between a freed place and the end of a wait costs nobody a place."""
    gate, until = Gate(1, 5, 5), asyncio.Event()
    first = asyncio.create_task(hold(gate, until, [], 0))
    await asyncio.sleep(0)
    second = asyncio.create_task(hold(gate, until, [], 1))
    await asyncio.sleep(0)
    gate._give_back()  # the place goes to the second …
    second.cancel()  # … which is cancelled before it runs
    await asyncio.gather(second, return_exceptions=True)
    async with asyncio.timeout(1), gate.place(soon()):
        pass
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_rates_slide_over_the_minute_and_old_windows_are_dropped() -> None:
    """No double burst at a window's edge; memory holds two windows, however many keys there were."""
    now = [60.0]
    counters = LoopCounters(lambda: now[0])
    limiter = SlidingWindowCounterRateLimiter(counters)
    item = RateLimitItemPerMinute(10)
    assert [await limiter.hit(item, "a") for _ in range(11)] == [True] * 10 + [False]
    now[0] = 119.0
    assert not await limiter.hit(item, "a")
    now[0] = 120.0
    assert not await limiter.hit(item, "a"), "at the edge the last window still counts in full"
    now[0] = 150.0
    assert [await limiter.hit(item, "a") for _ in range(10)].count(True) == 5, "half of it has slid out"
    for number in range(1000):
        await limiter.hit(item, str(number))
    now[0] = 300.0
    await limiter.hit(item, "a")
    assert sum(len(part) for window in counters._windows.values() for part in window[1:]) == 1
