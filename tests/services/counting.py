"""What tests of budgets and breakers share: clocks set by hand, stores of both kinds, a dead one."""

import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.state.counters import (
    MS_PER_DAY,
    Bucket,
    Cell,
    Claim,
    CountersDown,
    ReserveReply,
    Retention,
    SettleReply,
    SyncReply,
    Use,
)
from services.state.redis_counters import RedisCounters
from services.state.sqlite_counters import SqliteCounters

REDIS_URL = "redis://127.0.0.1:6379"
KINDS = ("sqlite", "redis")
NOON_MS = 20_000 * MS_PER_DAY + MS_PER_DAY // 2
Counters = SqliteCounters | RedisCounters


class SetClock:
    """A clock that moves when a test says so. `ms()` is the store's, `s()` a worker's monotonic one."""

    def __init__(self) -> None:
        self.now_ms = NOON_MS

    def ms(self) -> int:
        return self.now_ms

    def s(self) -> float:
        return self.now_ms / 1000

    def pass_s(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


def need_redis() -> None:
    """Skip where there is no Redis; in CI that is a failure."""
    try:
        socket.create_connection(("127.0.0.1", 6379), timeout=1).close()
    except OSError:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs a Redis at {REDIS_URL}")
        pytest.skip(f"no Redis at {REDIS_URL}")


def new_prefix() -> str:
    return f"switchyard-test-{uuid4().hex}"


async def forget(prefix: str) -> None:
    """Remove every key of one test."""
    client = Redis.from_url(REDIS_URL)
    try:
        async for key in client.scan_iter(match=f"{prefix}:*", count=1000):
            await client.delete(key)
    except RedisError as error:
        pytest.fail(f"could not clean up in Redis: {error}")
    finally:
        await client.aclose()


@asynccontextmanager
async def opened(
    kind: str, folder: Path, clock: SetClock | None, keep: Retention | None = None
) -> AsyncIterator[Counters]:
    """A store of that kind for one test, cleaned after it. Without a clock it keeps its own time."""
    if kind == "sqlite":
        timed = {"clock_ms": clock.ms} if clock else {}
        sqlite = SqliteCounters(folder / "counters.db", timeout_s=10, keep=keep, **timed)
        try:
            yield sqlite
        finally:
            await sqlite.close()
        return
    need_redis()
    prefix = new_prefix()
    redis = RedisCounters(
        REDIS_URL, prefix=prefix, timeout_s=10, keep=keep, clock_ms=clock.ms if clock else None
    )
    try:
        yield redis
    finally:
        await redis.close()
        await forget(prefix)


class DeadStore:
    """A store that cannot be asked while `down`; otherwise `inner` does the work."""

    def __init__(self, inner: Counters) -> None:
        self.inner = inner
        self.down = True
        self.asked = 0

    def _check(self) -> None:
        self.asked += 1
        if self.down:
            raise CountersDown("switched off by the test")

    async def reserve(
        self, claim: Claim, amount: int, ttl_ms: int, day_limit: int, request_limit: int
    ) -> ReserveReply:
        self._check()
        return await self.inner.reserve(claim, amount, ttl_ms, day_limit, request_limit)

    async def settle(self, claim: Claim, day: int, amount: int, expires_ms: int, actual: int) -> SettleReply:
        self._check()
        return await self.inner.settle(claim, day, amount, expires_ms, actual)

    async def use(self, tenant: str, use_case: str) -> Use:
        self._check()
        return await self.inner.use(tenant, use_case)

    async def sync(
        self, endpoints: Sequence[str], pushed: Mapping[str, Sequence[Bucket]], keep_s: int
    ) -> SyncReply:
        self._check()
        return await self.inner.sync(endpoints, pushed, keep_s)

    async def swap(self, endpoint: str, expected_version: int, value: str) -> tuple[bool, Cell]:
        self._check()
        return await self.inner.swap(endpoint, expected_version, value)

    async def close(self) -> None:
        await self.inner.close()
