"""Kept answers in Redis or Valkey, for replicas on several machines. The twin of `DatabaseAnswers`."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.errors import StateUnavailable


class RedisAnswers:
    """`services.kept_answers.KeptAnswers`; connects at first use, belongs to one event loop. Raises
    `StateUnavailable`."""

    def __init__(self, url: str, *, prefix: str = "switchyard", timeout_s: float = 0.5) -> None:
        self._prefix = prefix
        self._redis = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )

    async def get(self, key: str) -> str | None:
        value = await self._ask("read", self._redis.get(self._name(key)))
        return None if value is None else str(value, "utf-8")

    async def put(self, key: str, value: str, keep_s: float) -> None:
        keep_ms = max(1, round(keep_s * 1000))
        await self._ask("written", self._redis.set(self._name(key), value, px=keep_ms))

    async def drop(self, key: str) -> None:
        await self._ask("written", self._redis.delete(self._name(key)))

    async def close(self) -> None:
        await self._redis.aclose()

    async def _ask(self, what: str, call: Awaitable[Any]) -> Any:
        # Shielded, since redis-py on Python 3.11 loses cancellations: the call ends by its own timeouts.
        try:
            return await asyncio.shield(asyncio.ensure_future(call))
        except (RedisError, OSError) as error:
            message = f"the store of kept answers (Redis) cannot be {what} ({type(error).__name__})"
            raise StateUnavailable(
                f"{message}; see whether it runs and takes connections from here"
            ) from None

    def _name(self, key: str) -> str:
        return f"{self._prefix}:kept:{key}"
