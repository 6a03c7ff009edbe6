"""Kept answers in the state database, for the workers of one machine. The twin of `RedisAnswers`."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select

from services.keys import utc_now
from services.state.database import Database
from services.state.tables import kept_answers


class DatabaseAnswers:
    """`services.kept_answers.KeptAnswers`. Raises `StateUnavailable`."""

    def __init__(self, database: Database, now: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._now = now

    async def get(self, key: str) -> str | None:
        return await asyncio.to_thread(self._get, key)

    async def put(self, key: str, value: str, keep_s: float) -> None:
        await asyncio.to_thread(self._put, key, value, keep_s)

    async def drop(self, key: str) -> None:
        await asyncio.to_thread(self._drop, key)

    def _drop(self, key: str) -> None:
        with self._database.writing() as connection:
            connection.execute(delete(kept_answers).where(kept_answers.c.key == key))

    def _get(self, key: str) -> str | None:
        good = (kept_answers.c.key == key) & (kept_answers.c.expires_at > self._now().isoformat())
        with self._database.reading() as connection:
            return connection.execute(select(kept_answers.c.value).where(good)).scalar()

    def _put(self, key: str, value: str, keep_s: float) -> None:
        now = self._now()
        row = {"key": key, "value": value, "expires_at": (now + timedelta(seconds=keep_s)).isoformat()}
        old = (kept_answers.c.key == key) | (kept_answers.c.expires_at <= now.isoformat())
        with self._database.writing() as connection:
            connection.execute(delete(kept_answers).where(old))
            connection.execute(insert(kept_answers).values(row))
