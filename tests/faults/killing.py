"""Served workers that are killed while clients send: shortly in `make test`, longer in `make soak`."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes import REPOSITORY
from tests.faults.load import Got, Load, place_model
from tests.integration.serving import Serving, eventually, serving
from tests.scripted_endpoint import ScriptedEndpoint


@contextmanager
def served(scratch: Path, home: Path, endpoint: ScriptedEndpoint, **settings: str) -> Iterator[Serving]:
    """`bentoml serve` with a placed model and one scripted endpoint."""
    place_model(home, scratch)
    primary = {"base_url": endpoint.url, "api_key": "scripted", "model": "scripted", "region": "eu"}
    with serving(
        scratch,
        home,
        SWITCHYARD_USECASES=str(REPOSITORY / "usecases"),
        SWITCHYARD_ENDPOINTS=json.dumps({"primary": primary}),
        **settings,
    ) as running:
        yield running


def kill_one(server: Serving, load: Load) -> None:
    """kill -9 of any worker, as soon as two of those that run have answered: so one goes on."""
    answering: set[int] = set()
    for _ in eventually(120):
        answering = (answering | load.answered_by()) & {worker.pid for worker in server.workers()}
        if len(answering) >= 2:
            break
    os.kill(random.choice(sorted(answering)), signal.SIGKILL)


def kills_under_load(server: Serving, kills: int, requests: int, clients: int = 4, tries: int = 2) -> Got:
    """Kill so often, and go on until so many requests are answered; then check what must hold."""
    with Load(server, clients, tries) as load:
        for _ in range(kills):
            kill_one(server, load)
        while load.count() < requests:
            before = load.count()
            for _ in eventually(60):
                if load.count() > before:
                    break
    got = load.got
    broken = sum(got.broken.values())
    assert set(got.statuses) == {200}, got.statuses
    assert got.unanswered == [], f"{len(got.unanswered)} requests broke {tries} times"
    assert broken <= kills * clients, got.broken
    load.assert_in_evidence(server.home, lost=broken)
    audited = audit(server.home)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    return got


def audit(home: Path) -> subprocess.CompletedProcess[str]:
    """`switchyard audit verify --json` for this home."""
    command = [sys.executable, "-m", "switchyard", "audit", "verify", "--json"]
    environment = {"SWITCHYARD_HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
