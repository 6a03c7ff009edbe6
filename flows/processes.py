"""Servers that a command starts, waits for, and stops again: `Server` and those that we use.

Each writes to its own log file; nothing is left running when the `with` ends, however it ends.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO

import httpx

from flows.errors import ProcessError

STOP_GRACE_S = 15.0
POLL_S = 0.25


@dataclass
class Server:
    """One child process that serves `health_url` when it is ready; without one it is ready when it runs."""

    name: str
    command: Sequence[str]
    health_url: str | None
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    start_timeout_s: float = 90.0
    cwd: Path | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _sink: IO[bytes] | None = field(default=None, init=False, repr=False)

    def start(self) -> "Server":
        """Start the process, in a group of its own so that stopping it stops its children too."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._sink = self.log.open("ab")
        self._process = subprocess.Popen(
            list(self.command),
            stdout=self._sink,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self.env},
            cwd=self.cwd,
            start_new_session=True,
        )
        return self

    def wait_ready(self, tick: Callable[[], None] = lambda: None) -> None:
        """Wait until the health address answers 200. Raises `ProcessError` that names the log."""
        until = time.monotonic() + self.start_timeout_s
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                raise ProcessError(f"{self.name} ended while starting; see {self.log}{self._last_line()}")
            if self.health_url is None:
                return
            try:
                if httpx.get(self.health_url, timeout=2).status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pass  # not listening yet: the next look decides
            tick()
            time.sleep(POLL_S)
        raise ProcessError(f"{self.name} not ready after {self.start_timeout_s:.0f} s; see {self.log}")

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the process and its children; safe to call twice."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(STOP_GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _last_line(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"; it ends: {lines[-1][:300]}" if lines else ""

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def free_port(wanted: int) -> int:
    """`wanted` if nothing listens on it on loopback, else a port that is free now."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free(port: int, name: str, option: str) -> int:
    """`port`, or a `ProcessError` that says which option changes it."""
    if free_port(port) != port:
        raise ProcessError(f"{name}: port {port} is in use; stop what listens there, or set {option}")
    return port


def prefect_server(home: Path, port: int) -> Server:
    """Prefect's API and UI, its state under `home`. A first start takes 20-46 s (migrations)."""
    url = f"http://127.0.0.1:{port}"
    return Server(
        "Prefect",
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        f"{url}/api/health",
        home / "logs" / "prefect.log",
        {
            "PREFECT_HOME": str((home / "prefect").resolve()),
            "PREFECT_UI_API_URL": f"{url}/api",
            "PREFECT_API_URL": f"{url}/api",
        },
        start_timeout_s=150,
    )


def mlflow_server(home: Path, tracking_uri: str, artifacts: Path, port: int) -> Server:
    """MLflow's UI over the same database that training writes to."""
    url = f"http://127.0.0.1:{port}"
    return Server(
        "MLflow",
        [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--backend-store-uri",
            tracking_uri,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
            "--default-artifact-root",
            artifacts.resolve().as_uri(),
            "--allowed-hosts",
            f"127.0.0.1:{port},localhost:{port}",
            "--cors-allowed-origins",
            url,
        ],
        f"{url}/health",
        home / "logs" / "mlflow.log",
    )


def flow_server(home: Path, prefect_url: str, monitored: str) -> Server:
    """Schedules and automations of every use case; `monitored` is one with a local model."""
    return Server(
        "flows",
        [sys.executable, "-m", "flows.deployments"],
        f"{prefect_url}/api/deployments/name/monitoring/{monitored}",
        home / "logs" / "flows.log",
        _prefect_client(home, prefect_url),
    )


def rollout_controller(home: Path, prefect_url: str, every_s: float = 5.0) -> Server:
    """Judges and moves every rollout that lives. It listens nowhere."""
    return Server(
        "rollout controller",
        [sys.executable, "-m", "switchyard", "rollout", "controller", "--every-s", str(every_s)],
        None,
        home / "logs" / "controller.log",
        _prefect_client(home, prefect_url),
    )


def _prefect_client(home: Path, prefect_url: str) -> dict[str, str]:
    return {"PREFECT_HOME": str((home / "prefect").resolve()), "PREFECT_API_URL": f"{prefect_url}/api"}


def stand_in_model(home: Path, port: int) -> Server:
    """The demo's small LLM on this machine, where a cloud endpoint would be."""
    url = f"http://127.0.0.1:{port}"
    return Server(
        "stand-in model",
        [sys.executable, "-m", "flows.stand_in", "--port", str(port)],
        f"{url}/health",
        home / "logs" / "stand-in.log",
    )


def orchestrator(home: Path, port: int, env: Mapping[str, str]) -> Server:
    """The orchestrator, by the same command that the README gives."""
    url = f"http://127.0.0.1:{port}"
    return Server(
        "orchestrator",
        [
            sys.executable,
            "-m",
            "bentoml",
            "serve",
            "services.orchestrator:Orchestrator",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--timeout-graceful-shutdown",
            "10",
        ],
        f"{url}/readyz",
        home / "logs" / "orchestrator.log",
        {"BENTOML_HOME": str((home / "bentoml").resolve()), **env},
    )


def has_console() -> bool:
    """Is the extra `console` installed?"""
    return find_spec("nicegui") is not None


def console(home: Path, port: int, api_url: str) -> Server:
    """The console, over the orchestrator's HTTP API. It writes nothing but its log."""
    return Server(
        "console",
        [sys.executable, "-m", "services.console", "--port", str(port), "--api", api_url],
        f"http://127.0.0.1:{port}/livez",
        home / "logs" / "console.log",
    )


def console_at(port: int, tenant: str) -> str:
    """Where the console is, and how to get a key that may enter; or how to get the console."""
    if not has_console():
        return "not installed; `make setup`, or pip install 'switchyard[console]'"
    key = f"switchyard keys create --tenant {tenant} --role auditor --role reviewer"
    return f"http://127.0.0.1:{port}  (sign in with a key: {key})"
