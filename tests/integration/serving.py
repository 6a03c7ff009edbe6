"""A real `bentoml serve` for tests: own state, own BentoML home, stopped whatever happens."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from flows.processes import Server, free_port
from services import keys
from services.state.api_keys import ApiKeys
from services.state.database import Database


@dataclass
class Serving:
    """A server that runs. `log` is everything that it and its workers wrote."""

    url: str
    port: int
    home: Path
    log: Path
    pid: int

    def key(self, *roles: str, tenant: str = "acme") -> str:
        key, record = keys.issue(tenant, roles or ("caller",), keys.utc_now())
        with Database(self.home / "state.db") as database:
            ApiKeys(database).add(record)
        return key

    def client(self, *roles: str, tenant: str = "acme") -> httpx.Client:
        headers = {"authorization": f"Bearer {self.key(*roles, tenant=tenant)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def workers(self) -> list[psutil.Process]:
        """The processes that answer; one that was killed is none, reaped or not."""
        found = []
        for child in psutil.Process(self.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # a zombie is one too
                if "_bentoml_impl.worker.service" in child.cmdline():
                    found.append(child)
        return found

    def logged(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def serving(
    scratch: Path,
    home: Path,
    service: str = "services.orchestrator:Orchestrator",
    *options: str,
    **settings: str,
) -> Iterator[Serving]:
    """Serve with these SWITCHYARD_* settings and no others, from a folder of its own."""
    port = free_port(0)
    for name in [name for name in os.environ if name.startswith("SWITCHYARD_")]:
        settings.setdefault(name, "")  # an empty one counts as not set
    server = Server(
        name=service,
        command=[
            sys.executable,
            "-m",
            "bentoml",
            "serve",
            service,
            *options,
            "--port",
            str(port),
            "--timeout-graceful-shutdown",
            "5",
        ],
        health_url=f"http://127.0.0.1:{port}/readyz",
        log=scratch / "server.log",
        env={
            "BENTOML_HOME": str(scratch / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
            **settings,
            "SWITCHYARD_HOME": str(home),
        },
        start_timeout_s=150,
    )
    with server:
        server.wait_ready()
        process = server._process
        assert process is not None
        yield Serving(f"http://127.0.0.1:{port}", port, home, server.log, process.pid)


def eventually(seconds: float) -> Iterator[None]:
    """`for _ in eventually(2): if …: break` tries until the time is over, then fails."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


def only(environment: Mapping[str, str]) -> dict[str, str]:
    """A clean shell's environment and nothing else."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, **environment}
