"""Key histories in Redis or Valkey, for replicas on several machines. The twin of `sqlite_histories.py`."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, WatchError

from feature_checks.key_history import KeyHistory, load_history
from services.errors import StateUnavailable
from services.online_features import Change, HistoryStore

_TRIES = 20
_KEEP_S = 100 * 86_400  # longer than any window: a key that is never seen again goes away


class RedisHistories(HistoryStore):
    """`HistoryStore`; connects at first use, belongs to one event loop. A change that met another one is
    made anew on what is there then."""

    def __init__(self, url: str, *, prefix: str = "switchyard", timeout_s: float = 0.5) -> None:
        self._prefix = prefix
        self._redis = Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )

    async def change(self, keys: Sequence[str], columns: Sequence[int], change: Change) -> None:
        # Shielded, since redis-py on Python 3.11 loses cancellations: the call ends by its own timeouts.
        try:
            await asyncio.shield(asyncio.ensure_future(self._change(keys, columns, change)))
        except (RedisError, OSError) as error:
            raise StateUnavailable(
                f"the store of key histories (Redis) cannot be used ({type(error).__name__}); see whether it "
                "runs and takes connections from here"
            ) from None

    async def close(self) -> None:
        await self._redis.aclose()

    async def _change(self, keys: Sequence[str], columns: Sequence[int], change: Change) -> None:
        names = [f"{self._prefix}:history:{key}" for key in keys]
        async with self._redis.pipeline(transaction=True) as pipe:
            for _ in range(_TRIES):
                try:
                    await pipe.watch(*names)
                    found = cast("list[bytes | None]", await cast(Any, pipe.mget(names)))
                    held = [_read(raw, n) for raw, n in zip(found, columns, strict=True)]
                    kept = change(held)
                    pipe.multi()  # type: ignore[no-untyped-call]  # redis-py's
                    for name, history in zip(names, kept, strict=True):
                        pipe.set(name, history.dump(), ex=_KEEP_S)
                    await pipe.execute()
                    return
                except WatchError:
                    continue
        raise WatchError("changed by others each time")


def _read(raw: bytes | None, columns: int) -> KeyHistory | None:
    if raw is None:
        return None
    try:
        return load_history(raw, columns)
    except ValueError:
        return None  # of features that were declared otherwise: it begins anew
