"""Counters for rate limits in Redis, for all workers and replicas; in this worker while Redis is away.

Redis being down must neither be a 500 nor open the door: then each worker counts for itself, as it does
without Redis, and asks again once a second. What is counted here meanwhile is not told to Redis later.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from limits.aio.storage import RedisStorage
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from services.state.rate_counters import LoopCounters

AGAIN_S = 1.0
log = logging.getLogger(__name__)
T = TypeVar("T")


class SharedRates(LoopCounters):
    """`LoopCounters` whose two questions on the request path go to Redis first.

    `timeout_s` bounds connecting and answering, each. Connects at first use, belongs to one event loop.
    """

    STORAGE_SCHEME: list[str] | None = ["async+switchyard-shared"]  # noqa: RUF012  — the base class declares it so

    def __init__(
        self,
        url: str,
        prefix: str = "switchyard",
        timeout_s: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock)
        self._pool = ConnectionPool.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # One more try, at once: a connection that was idle too long must not look like an outage.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        # The pool knows the address; the storage needs one only to choose its kind of client.
        options: dict[str, Any] = {"connection_pool": self._pool}
        self._redis = RedisStorage(
            "async+redis://", implementation="redispy", key_prefix=f"{prefix}:rates", **options
        )
        self._down = False
        self._ask_at = 0.0

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        here = super().acquire_sliding_window_entry
        return await self._shared(
            lambda: self._redis.acquire_sliding_window_entry(key, limit, expiry, amount),
            lambda: here(key, limit, expiry, amount),
        )

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        here = super().get_sliding_window
        return await self._shared(
            lambda: self._redis.get_sliding_window(key, expiry), lambda: here(key, expiry)
        )

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        here = super().clear_sliding_window
        await self._shared(lambda: self._redis.clear_sliding_window(key, expiry), lambda: here(key, expiry))

    async def aclose(self) -> None:
        await self._pool.disconnect()

    async def _shared(self, there: Callable[[], Awaitable[T]], here: Callable[[], Awaitable[T]]) -> T:
        if self._down:
            if self._clock() < self._ask_at:
                return await here()
            self._ask_at = self._clock() + AGAIN_S  # one request asks, the others do not wait with it
        try:
            answer = await there()
        except (RedisError, OSError, ValueError) as error:
            if not self._down:
                log.error("rates are counted in this worker alone: redis: %s", type(error).__name__)
            self._down, self._ask_at = True, self._clock() + AGAIN_S
            return await here()
        if self._down:
            log.warning("rates are shared again")
            self._down = False
        return answer
