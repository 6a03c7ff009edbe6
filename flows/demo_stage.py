"""What every chapter of the demo finds running, and how it runs a command of ours and says what it does."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from feature_checks.usecase import UseCase
from flows.demo_traffic import Client, Script
from flows.errors import ProcessError
from flows.relay import Relay


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a person can look, once everything runs."""

    prefect: str
    mlflow: str
    orchestrator: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """What whoever started the demo asked for: how many messages the story sends."""

    labelled: int
    outside: int


@dataclass(frozen=True, slots=True)
class Stage:
    """One demo that runs: servers are up, the model is trained and served.

    `home` is where the state lies, `trained` what `switchyard train --json` printed, `relay` the way to the
    stand-in model (it is up at the beginning of each chapter). What a chapter starts goes onto `stack`, or
    into a `with` of its own.
    """

    console: Console
    usecase: UseCase
    script: Script
    wishes: Wishes
    home: Path
    at: Addresses
    client: Client
    relay: Relay
    trained: Mapping[str, Any]
    stack: ExitStack

    @property
    def command_env(self) -> dict[str, str]:
        """With these, a command of ours talks to this demo's Prefect and names this demo's MLflow."""
        return {"PREFECT_API_URL": f"{self.at.prefect}/api", "SWITCHYARD_MLFLOW_URL": self.at.mlflow}


class Chapter(Protocol):
    """One part of the demo. It leaves the stage as it found it."""

    def __call__(self, stage: Stage) -> None: ...


def run_json(*words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Any:
    """What one of our own commands printed as JSON."""
    return json.loads(run_command(*words, env=env, cwd=cwd))


def run_command(*words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What one of our own commands printed, in a process of its own; its progress (stderr) passes through."""
    command = [sys.executable, "-m", "switchyard", *words]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, **(env or {})}, cwd=cwd
    )
    if done.returncode != 0:
        raise ProcessError(
            f"`switchyard {' '.join(words[:2])}` failed with exit code {done.returncode}; see above"
        )
    return done.stdout


def verified(answer: Mapping[str, Any], home: Path) -> str:
    """What `switchyard receipt verify` says, offline, of an answer's receipt."""
    done = run_command("receipt", "verify", answer["receipt"], "--jwks", str(home / "keys" / "jwks.json"))
    return " ".join(done.split())


@contextmanager
def step(console: Console, what: str) -> Iterator[None]:
    """Say what begins, and afterwards how long it took."""
    console.print(f"[bold]·[/bold] {what}")
    started = time.monotonic()
    yield
    console.print(f"  [dim]{time.monotonic() - started:.0f} s[/dim]")


@contextmanager
def progress(console: Console, what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar; what it yields is to be called once for each of `total`."""
    columns = (TextColumn("· {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
