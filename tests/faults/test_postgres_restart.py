"""PostgreSQL ends without a word while decisions are shipped to it, and comes back: what the callers get."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from flows.processes import free_port
from services.journal_reader import read_entries
from tests.served import served
from tests.services.evidence.made import need_postgres


def tool(name: str) -> str | None:
    """A program of the PostgreSQL server's own, which distributions keep off the PATH."""
    there = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(there[-1]) if there else None)


class OwnPostgres:
    """A cluster of the test's own on loopback, which it may stop the hard way."""

    def __init__(self, folder: Path, user: str | None) -> None:
        self._folder = folder
        self._user = user
        self.port = free_port(0)
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._run("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self._folder} -c fsync=off"
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-o", options, "-l",
                  str(self._folder / "log"), "start")  # fmt: skip

    def stop(self) -> None:
        """Immediate: connections break, nothing is written down; the next start recovers."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "immediate", "stop")

    def shipped(self) -> list[str]:
        with psycopg.connect(self.url) as connection:
            there = connection.execute("SELECT to_regclass('decisions')").fetchone()
            if there is None or there[0] is None:
                return []
            return [str(row[0]) for row in connection.execute("SELECT id FROM decisions")]

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(tool(name)), *arguments]
        subprocess.run(command, user=self._user, cwd="/", check=True, stdout=subprocess.DEVNULL, timeout=60)


@pytest.fixture
def postgres() -> Iterator[OwnPostgres]:
    """PostgreSQL does not run as root: then as the user `postgres`, in a folder of its own."""
    user = "postgres" if os.geteuid() == 0 else None
    if tool("initdb") is None or tool("pg_ctl") is None:
        need_postgres()  # in CI it is another container's, which no test may stop
        pytest.skip("no PostgreSQL programs to start a cluster with")
    folder = Path(tempfile.mkdtemp(prefix="switchyard-pg-"))
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    try:
        made = OwnPostgres(folder, user)
        made.start()
        yield made
        with suppress(subprocess.CalledProcessError):  # a test that failed had stopped it
            made.stop()
    finally:
        shutil.rmtree(folder)


async def test_with_postgresql_gone_answers_go_on_and_after_its_restart_each_is_shipped_once(
    tmp_path: Path, postgres: OwnPostgres
) -> None:
    """Shipping is behind the answers: the journal holds them until the database takes them."""
    async with served(tmp_path, database_url=postgres.url, shipping_s=0.05) as running:
        answers = [await running.decide() for _ in range(3)]
        async with asyncio.timeout(30):
            while len(postgres.shipped()) < 3:  # noqa: ASYNC110  — another thread ships
                await asyncio.sleep(0.05)
        postgres.stop()
        answers += [await running.decide() for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 8
        postgres.start()
        async with asyncio.timeout(60):
            while len(postgres.shipped()) < 8:  # noqa: ASYNC110  — another thread ships
                await asyncio.sleep(0.05)
        answers.append(await running.decide())
        async with asyncio.timeout(60):
            while len(postgres.shipped()) < 9:  # noqa: ASYNC110  — another thread ships
                await asyncio.sleep(0.05)
    shipped = postgres.shipped()
    assert sorted(shipped) == sorted(answer.json()["id"] for answer in answers)
    assert len(shipped) == len(list(read_entries(tmp_path / "journal")))
