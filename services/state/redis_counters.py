"""Counters in Redis or Valkey, for replicas on several machines. The twin of `SqliteCounters`.

Each step is one Lua script, so it is atomic and costs one round trip. Redis' own clock counts. All keys
of one scope share a hash tag, so that they lie in one slot of a cluster.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, cast
from urllib.parse import quote

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from services.state import redis_scripts as scripts
from services.state.counters import (
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

_SCRIPTS: Final = {
    "reserve": scripts.RESERVE,
    "settle": scripts.SETTLE,
    "use": scripts.USE,
    "sync": scripts.SYNC,
    "swap": scripts.SWAP,
}


class RedisCounters:
    """`BudgetStore` and `BreakerStore` at `url`; connects at first use, belongs to one event loop.

    `timeout_s` bounds connecting and answering, each. `clock_ms` replaces Redis' clock in tests.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "switchyard",
        timeout_s: float = 0.5,
        keep: Retention | None = None,
        clock_ms: Callable[[], int] | None = None,
    ) -> None:
        self._url = url
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._keep = keep or Retention()
        self._clock_ms = clock_ms
        self._client: Redis | None = None
        self._scripts: dict[str, AsyncScript] = {}
        self._under_way: set[asyncio.Future[Any]] = set()

    async def reserve(
        self, claim: Claim, amount: int, ttl_ms: int, day_limit: int, request_limit: int
    ) -> ReserveReply:
        outcome, day, spent, reserved, used, held, expires_ms = await self._run(
            "reserve",
            self._scope_keys(claim),
            [amount, ttl_ms, day_limit, request_limit, *self._named(claim)],
        )
        named = cast(Literal["granted", "day", "request", "settled", "expired"], outcome.decode())
        return ReserveReply(named, Use(day, spent, reserved), used, held, expires_ms)

    async def settle(self, claim: Claim, day: int, amount: int, expires_ms: int, actual: int) -> SettleReply:
        outcome, on, spent, reserved, counted, late, _ = await self._run(
            "settle",
            self._scope_keys(claim),
            [day, amount, expires_ms, actual, *self._named(claim)],
        )
        named = cast(Literal["settled", "repeated", "too_late"], outcome.decode())
        return SettleReply(named, Use(on, spent, reserved), counted, bool(late))

    async def use(self, tenant: str, use_case: str) -> Use:
        return Use(*await self._run("use", self._scope_keys(Claim(tenant, use_case, "", "")), []))

    async def sync(
        self, endpoints: Sequence[str], pushed: Mapping[str, Sequence[Bucket]], keep_s: int
    ) -> SyncReply:
        keys = [key for endpoint in endpoints for key in self._breaker_keys(endpoint)]
        counts = [
            [[b.epoch, b.second, b.calls, b.errors, b.slow] for b in pushed.get(endpoint, ())]
            for endpoint in endpoints
        ]
        now_ms, *found = await self._run("sync", keys, [keep_s, json.dumps(counts)])
        oldest = int(now_ms) // 1000 - keep_s
        cells, buckets = {}, {}
        for endpoint, (version, value, window) in zip(endpoints, found, strict=True):
            cells[endpoint] = Cell(int(version), value.decode())
            buckets[endpoint] = tuple(b for b in _buckets(window) if b.second >= oldest)
        return SyncReply(int(now_ms), cells, buckets)

    async def swap(self, endpoint: str, expected_version: int, value: str) -> tuple[bool, Cell]:
        done, version, now = await self._run(
            "swap", [self._breaker_keys(endpoint)[0]], [value], first=expected_version
        )
        return bool(done), Cell(int(version), now.decode())

    async def close(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way)
        if self._client:
            client, self._client = self._client, None
            self._scripts = {}
            await client.aclose()

    async def _run(self, name: str, keys: list[str], args: list[Any], first: Any = None) -> Any:
        if first is None:
            first = self._clock_ms() if self._clock_ms else ""
        # Shielded, for redis-py loses cancellations (asyncio.wait_for of Python 3.11), and a settlement
        # must not be half-way when its request is given up.
        call = asyncio.ensure_future(self._script(name)(keys=keys, args=[first, *args]))
        self._under_way.add(call)
        call.add_done_callback(self._ended)
        try:
            return await asyncio.shield(call)
        except (RedisError, OSError, ValueError) as error:
            # Only the kind: the text of some of these holds the address.
            raise CountersDown(f"redis: {name}: {type(error).__name__}") from error

    def _ended(self, call: "asyncio.Future[Any]") -> None:
        self._under_way.discard(call)
        if not call.cancelled():
            call.exception()  # seen, also when nobody waits for it any more

    def _script(self, name: str) -> AsyncScript:
        if self._client is None:
            # One more try, at once: an idle connection that the server closed must not cost a request its
            # cloud route. Reserving and settling are idempotent; a swap that was done is seen by its value.
            self._client = Redis.from_url(
                self._url,
                socket_timeout=self._timeout_s,
                socket_connect_timeout=self._timeout_s,
                retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            )
            self._scripts = {key: self._client.register_script(text) for key, text in _SCRIPTS.items()}
        return self._scripts[name]

    def _named(self, claim: Claim) -> list[str | int]:
        # Quoted, since `|` separates the parts of what is held.
        return [quote(claim.attempt), claim.request_id, int(self._keep.reservation_s * 1000), self._keep.days]

    def _scope_keys(self, claim: Claim) -> list[str]:
        scope = f"{self._prefix}:{{{quote(claim.tenant, '')}:{quote(claim.use_case, '')}}}"
        return [f"{scope}:days", f"{scope}:held", f"{scope}:request:{claim.request_id}"]

    def _breaker_keys(self, endpoint: str) -> tuple[str, str]:
        base = f"{self._prefix}:{{breakers}}:{endpoint}"
        return f"{base}:cell", f"{base}:window"


def _buckets(window: list[bytes]) -> list[Bucket]:
    """A flat Redis hash <epoch>:<second>:<c|e|s> -> count, as buckets."""
    counts: dict[tuple[int, int], dict[str, int]] = {}
    for field, count in zip(window[::2], window[1::2], strict=True):
        epoch, second, kind = field.decode().split(":")
        counts.setdefault((int(epoch), int(second)), {})[kind] = int(count)
    return [
        Bucket(epoch, second, kinds.get("c", 0), kinds.get("e", 0), kinds.get("s", 0))
        for (epoch, second), kinds in counts.items()
    ]
