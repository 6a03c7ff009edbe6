"""What counts the rates: one contract for this worker's own counters and for Redis, and Redis going away."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from limits import RateLimitItemPerHour, RateLimitItemPerSecond
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis

from services.api.limits import RateLimits
from services.errors import TooManyRequests
from services.state.rate_counters import LoopCounters
from services.state.shared_rates import AGAIN_S, SharedRates
from services.values import Caller
from tests.services.counting import REDIS_URL, forget, need_redis, new_prefix

KINDS = ("loop", "redis")
HERE = "192.0.2.77"


def caller(tenant: str = "acme", key: str = "k1") -> Caller:
    return Caller(tenant, key, frozenset({"caller"}))


@asynccontextmanager
async def counters(kind: str) -> AsyncIterator[Storage]:
    if kind == "loop":
        yield LoopCounters()
        return
    need_redis()
    prefix = new_prefix()
    shared = SharedRates(REDIS_URL, prefix, timeout_s=5)  # how fast it answers is not what is asked here
    try:
        yield shared
        assert not shared._down, "Redis was there all the time"
    finally:
        await shared.aclose()
        await forget(prefix)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_and_a_tenant_have_their_rates_and_nobody_pays_for_another(kind: str) -> None:
    """Limits are exact; each key and tenant counts by itself; the refusal says when to come back."""
    async with counters(kind) as storage:
        limits = RateLimits(storage, per_key=3, per_tenant=5, failures=1)
        for _ in range(3):
            await limits.admit(caller())
        with pytest.raises(TooManyRequests, match="this key") as refused:
            await limits.admit(caller())
        assert 1 <= refused.value.retry_after_s <= 120
        await limits.admit(caller(key="k2"))
        await limits.admit(caller(key="k2"))
        with pytest.raises(TooManyRequests, match="this tenant"):
            await limits.admit(caller(key="k2"))
        await limits.admit(caller("globex", "k3"))


@pytest.mark.parametrize("kind", KINDS)
async def test_guesses_are_counted_by_address(kind: str) -> None:
    """Asking is free; failing is not."""
    async with counters(kind) as storage:
        limits = RateLimits(storage, 1, 1, failures=2)
        for _ in range(2):
            await limits.may_try_keys(HERE)
            await limits.failed_key(HERE)
        with pytest.raises(TooManyRequests, match="wrong keys"):
            await limits.may_try_keys(HERE)
        await limits.may_try_keys("192.0.2.78")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_hundred_at_once_get_in_exactly_as_often_as_the_limit_says(kind: str) -> None:
    async with counters(kind) as storage:
        limiter, item = SlidingWindowCounterRateLimiter(storage), RateLimitItemPerHour(37)
        entered = await asyncio.gather(*(limiter.hit(item, "a") for _ in range(100)))
        assert sum(entered) == 37


@pytest.mark.parametrize("kind", KINDS)
async def test_when_the_time_has_passed_one_may_come_again(kind: str) -> None:
    async with counters(kind) as storage:
        limiter, item = SlidingWindowCounterRateLimiter(storage), RateLimitItemPerSecond(2)
        async with asyncio.timeout(10):
            while await limiter.hit(item, "a"):
                pass
            while not await limiter.hit(item, "a"):  # noqa: ASYNC110  — time itself is what is waited for
                await asyncio.sleep(0.02)


async def test_workers_and_replicas_count_together_in_redis() -> None:
    """Two workers: what one let in the other counts, wrong keys too; no address is kept readable."""
    need_redis()
    prefix = new_prefix()
    hide = {HERE: "hidden"}.__getitem__
    both = [SharedRates(REDIS_URL, prefix) for _ in range(2)]
    first, second = (RateLimits(storage, 4, 100, 3, hide) for storage in both)
    try:
        for limits in (first, second, first, second):
            await limits.admit(caller())
        for limits in (first, second):
            with pytest.raises(TooManyRequests):
                await limits.admit(caller())
        for limits in (first, second, first):
            await limits.failed_key(HERE)
        with pytest.raises(TooManyRequests):
            await second.may_try_keys(HERE)
        client = Redis.from_url(REDIS_URL)
        names = [key.decode() async for key in client.scan_iter(match=f"{prefix}:*")]
        await client.aclose()
        assert names
        assert not any(HERE in name for name in names)
    finally:
        for storage in both:
            await storage.aclose()
        await forget(prefix)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_without_redis_each_worker_counts_for_itself_and_the_door_stays_guarded(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No 500, no free guesses, one line in the log without an address; nobody waits for it each time."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if how == "hangs":
            listener.listen()  # and never answers
        port = listener.getsockname()[1]
        clock = Clock()
        shared = SharedRates(f"redis://:hidden-password@127.0.0.1:{port}", timeout_s=0.05, clock=clock)
        limits = RateLimits(shared, per_key=3, per_tenant=5, failures=2)
        for _ in range(3):
            await limits.admit(caller())
        with pytest.raises(TooManyRequests):
            await limits.admit(caller())
        for _ in range(2):
            await limits.may_try_keys(HERE)
            await limits.failed_key(HERE)
        with pytest.raises(TooManyRequests):
            await limits.may_try_keys(HERE)
        clock.now += AGAIN_S
        with pytest.raises(TooManyRequests):
            await limits.may_try_keys(HERE)
        await shared.aclose()
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "in this worker alone" in line
    assert "hidden-password" not in caplog.text


async def test_when_redis_is_back_rates_are_shared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked once a second while it is away; then what the others count counts here too."""
    async with counters("redis") as storage:
        assert isinstance(storage, SharedRates)
        clock, asked = Clock(), 0
        real, storage._clock = storage._redis.acquire_sliding_window_entry, clock

        async def away(*_: object) -> bool:
            nonlocal asked
            asked += 1
            raise ConnectionRefusedError

        limiter, item = SlidingWindowCounterRateLimiter(storage), RateLimitItemPerHour(100)
        monkeypatch.setattr(storage._redis, "acquire_sliding_window_entry", away)
        for _ in range(50):
            assert await limiter.hit(item, "a")
        assert asked == 1
        clock.now += AGAIN_S
        for _ in range(50):
            assert await limiter.hit(item, "a")
        assert asked == 2
        assert not await limiter.hit(item, "a"), "still counted, here"
        monkeypatch.setattr(storage._redis, "acquire_sliding_window_entry", real)
        clock.now += AGAIN_S
        assert await limiter.hit(item, "a"), "Redis has counted none of these"


async def test_while_one_request_asks_whether_redis_is_back_no_other_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with counters("redis") as storage:
        assert isinstance(storage, SharedRates)
        storage._down, storage._clock, asked, never = True, Clock(), 0, asyncio.Event()

        async def hang(*_: object) -> bool:
            nonlocal asked
            asked += 1
            await never.wait()
            raise TimeoutError

        monkeypatch.setattr(storage._redis, "acquire_sliding_window_entry", hang)
        limiter, item = SlidingWindowCounterRateLimiter(storage), RateLimitItemPerHour(100)
        first = asyncio.create_task(limiter.hit(item, "a"))
        await asyncio.sleep(0.01)
        assert asked == 1
        async with asyncio.timeout(5):
            assert await limiter.hit(item, "a")
        never.set()
        assert await first
        assert asked == 1
        storage._down = False
