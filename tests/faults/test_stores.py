"""Databases that are locked, gone or restarted while requests come: what the callers get."""

import asyncio
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from flows.processes import free_port
from tests.served import Served, served
from tests.services.counting import need_redis

UNSURE = 0.1  # of the local model: its requests go to the cloud


async def ask(running: Served, key: str | None = None) -> tuple[int, str, str]:
    """Status, route, and the reasons or the error's message, of one request."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    body = {"use_case": "support", "input": {"text": "Where is my card?"}}
    response = await running.client.post("/v1/decide", json=body, headers=headers)
    found = response.json()
    if response.status_code != 200:
        return response.status_code, "", found["error"]["message"]
    return 200, found["route"], " ".join(found["reasons"])


async def until_route(running: Served, route: str) -> None:
    async with asyncio.timeout(30):
        while (await ask(running))[1] != route:  # noqa: ASYNC110  — a store of its own comes back when it does
            await asyncio.sleep(0.05)


def locked(database: Path) -> sqlite3.Connection:
    """Another process' exclusive transaction, as a backup or a stuck writer would hold it."""
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    return holder


async def test_with_the_state_database_locked_known_and_unknown_keys_are_served(tmp_path: Path) -> None:
    """Reading needs no lock (WAL), so nobody notices; an idempotent request, which writes, gets a 503."""
    async with served(tmp_path) as running:
        await ask(running)
        other = running.key()
        holder = locked(running.runtime.settings.state_db)
        try:
            assert (await ask(running))[0] == 200
            assert (await ask(running, other))[0] == 200
            body = {"use_case": "support", "input": {"text": "Where is my card?"}}
            kept = await running.client.post("/v1/decide", json=body, headers={"idempotency-key": "one"})
            assert (kept.status_code, kept.json()["error"]["type"]) == (503, "state_unavailable")
        finally:
            holder.close()
        again = await running.client.post("/v1/decide", json=body, headers={"idempotency-key": "one"})
        assert again.status_code == 200


async def test_with_the_counters_locked_nothing_is_spent_and_the_answer_is_the_safe_default(
    tmp_path: Path,
) -> None:
    """Money that cannot be counted is not spent; when the lock is gone the cloud is asked again."""
    async with served(tmp_path, UNSURE) as running:
        assert (await ask(running))[1] == "cloud/primary"
        holder = locked(running.runtime.settings.counters_db)
        try:
            asked = len(running.chat.prompts)
            status, route, reasons = await ask(running)
            assert (status, route) == (200, "safe_default")
            assert "spending cannot be counted" in reasons
            assert len(running.chat.prompts) == asked
        finally:
            holder.close()
        await until_route(running, "cloud/primary")


async def test_with_the_counters_file_gone_it_is_made_anew_and_requests_go_on(tmp_path: Path) -> None:
    async with served(tmp_path, UNSURE) as running:
        assert (await ask(running))[1] == "cloud/primary"
        for ending in ("", "-wal", "-shm"):
            (tmp_path / f"counters.db{ending}").unlink(missing_ok=True)
        assert (await ask(running))[0] == 200
        await until_route(running, "cloud/primary")
        assert running.runtime.settings.counters_db.exists()


class OwnRedis:
    """A Redis of the test's own on loopback, which it may kill."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port(0)
        self.url = f"redis://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        command = ["redis-server", "--port", str(self.port), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        with redis.Redis(
            port=self.port, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 200)
        ) as one:
            assert one.ping()

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(20)
            self._process = None


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    if shutil.which("redis-server") is None:
        need_redis()  # in CI Redis is another container's: its twin tests run against a store that is away
        pytest.skip("no redis-server to start here")
    made = OwnRedis(tmp_path)
    made.start()
    yield made
    made.kill()


async def test_with_redis_killed_the_answer_is_the_safe_default_and_after_its_restart_the_clouds(
    tmp_path: Path, own_redis: OwnRedis
) -> None:
    """Budgets, breakers, rates and kept answers live there, and its restart forgets them all: never a 500."""
    async with served(tmp_path / "home", UNSURE, redis_url=own_redis.url) as running:
        assert (await ask(running))[1] == "cloud/primary"
        own_redis.kill()
        for _ in range(5):
            status, route, reasons = await ask(running)
            assert (status, route) == (200, "safe_default")
            assert "spending cannot be counted" in reasons
            assert str(own_redis.port) not in reasons
        own_redis.start()
        await until_route(running, "cloud/primary")


async def test_with_the_decisions_database_locked_answers_go_on_and_it_catches_up(tmp_path: Path) -> None:
    """Shipping is behind the answers: the journal has them, and then the database too."""
    async with served(tmp_path, shipping_s=0.05) as running:
        await ask(running)
        database = running.runtime.settings.decisions_db
        async with asyncio.timeout(30):
            while shipped(database) < 1:  # noqa: ASYNC110  — another thread ships
                await asyncio.sleep(0.02)
        holder = locked(database)
        try:
            assert [(await ask(running))[0] for _ in range(5)] == [200] * 5
        finally:
            holder.close()
        async with asyncio.timeout(30):
            while shipped(database) < 6:  # noqa: ASYNC110  — another thread ships
                await asyncio.sleep(0.02)
    assert shipped(database) == 6


def shipped(database: Path) -> int:
    if not database.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as reader:
            return int(reader.execute("SELECT COUNT(*) FROM decisions").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        reader.close()


async def test_with_the_state_database_gone_or_put_back_from_a_backup_keys_are_those_of_the_file_there(
    tmp_path: Path,
) -> None:
    """No worker goes on with a file that was removed: it would know no new key, and none that was revoked."""
    async with served(tmp_path, key_cache_s=0.0) as running:
        database, backup = running.runtime.settings.state_db, tmp_path / "backup"
        kept = running.key()
        assert (await ask(running, kept))[0] == 200
        backup.write_bytes(whole(database))
        remove(database)
        assert (await ask(running, kept))[0] == 401, "there is no such key in a new, empty database"
        later = running.key()
        assert (await ask(running, later))[0] == 200
        remove(database)
        backup.rename(database)
        assert (await ask(running, kept))[0] == 200
        assert (await ask(running, later))[0] == 401


def whole(database: Path) -> bytes:
    with sqlite3.connect(database) as reader:
        return reader.serialize()


def remove(database: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        database.with_name(database.name + ending).unlink(missing_ok=True)
