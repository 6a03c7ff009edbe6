"""Who may go in now: rates a tenant, a key and a guesser's address have, and how many work at once.

Rates are counted by a storage of `limits`: in Redis for all workers and replicas where the settings name
one (`services.state.shared_rates`), else in each worker (`services.state.rate_counters`): then a tenant
may reach its rate as many times over as there are workers.
"""

import asyncio
import ipaddress
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from limits import RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from services.errors import TooManyRequests
from services.values import Caller


class RateLimits:
    """Requests a minute for each tenant and key, and wrong keys a minute from each address.

    `hide` makes of an address what may be kept outside this process, where that is needed.
    """

    def __init__(
        self,
        storage: Storage,
        per_key: int,
        per_tenant: int,
        failures: int,
        hide: Callable[[str], str] = str,
    ) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._key = RateLimitItemPerMinute(per_key, namespace="key")
        self._tenant = RateLimitItemPerMinute(per_tenant, namespace="tenant")
        self._failures = RateLimitItemPerMinute(failures, namespace="failures")
        self._hide = hide

    async def admit(self, caller: Caller) -> None:
        """Count one request of this caller. Raises `TooManyRequests`."""
        if not await self._limiter.hit(self._key, caller.key_id):
            raise await self._refusal(self._key, caller.key_id, "this key")
        if not await self._limiter.hit(self._tenant, caller.tenant):
            raise await self._refusal(self._tenant, caller.tenant, "this tenant")

    async def may_try_keys(self, address: str) -> None:
        """Raises `TooManyRequests` when too many wrong keys came from there."""
        source = self._hide(_source(address))
        if not await self._limiter.test(self._failures, source):
            raise await self._refusal(self._failures, source, "this address, of wrong keys")

    async def failed_key(self, address: str) -> None:
        await self._limiter.hit(self._failures, self._hide(_source(address)))

    async def _refusal(self, item: RateLimitItemPerMinute, name: str, whose: str) -> TooManyRequests:
        stats = await self._limiter.get_window_stats(item, name)
        wait = max(1, math.ceil(stats.reset_time - time.time()))
        return TooManyRequests(
            f"the limit of {item.amount} requests a minute for {whose} is reached; retry in {wait} s", wait
        )


class Gate:
    """At most `places` requests at work; at most `queue` more wait, each at most `timeout_s`."""

    def __init__(self, places: int, queue: int, timeout_s: float) -> None:
        self._free = places
        self._queue = queue
        self._timeout_s = timeout_s
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def place(self, deadline: float) -> AsyncIterator[None]:
        """Hold one place. Raises `TooManyRequests` when the queue is full or the wait too long."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(deadline)
        try:
            yield
        finally:
            self._give_back()

    async def _wait(self, deadline: float) -> None:
        if len(self._waiting) >= self._queue:
            raise TooManyRequests("too many requests are at work and waiting; retry in 1 s", 1)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(min(self._timeout_s, max(0.0, deadline - time.monotonic()))):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._give_back()  # the place came in the same moment as the end of the wait
            else:
                with suppress(ValueError):  # a passing _give_back may have dropped it already
                    self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise TooManyRequests("no place became free in time; retry in 1 s", 1) from None
            raise

    def _give_back(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def _source(address: str) -> str:
    """One guesser: an IPv4 address, or the /64 network that one IPv6 customer usually has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
