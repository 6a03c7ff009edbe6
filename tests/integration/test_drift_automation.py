"""A drift event starts the retraining deployment by Prefect's automation, once for each alarm."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from feature_checks.usecase import load_usecase
from flows.processes import free_port, prefect_server

ROOT = Path(__file__).parents[2]
NAME = "support"
PATIENCE_S = 200

pytestmark = [pytest.mark.integration, pytest.mark.timeout(800)]

RAISE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from feature_checks.monitoring_spec import MonitoringSpec
from flows.alarm_store import AlarmStore
from flows.trigger import announce
store = AlarmStore(Path(sys.argv[1]) / "monitoring.db")
alarm = store.add(sys.argv[2], sys.argv[3], "drifted: input.text", "", MonitoringSpec(), datetime.now(UTC))
announce(alarm)
from prefect.events.worker import EventsWorker
EventsWorker.drain_all(timeout=30)
print(alarm.id)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("automation")
    shutil.copytree(ROOT / "usecases" / NAME, place / "usecases" / NAME)
    shutil.copy(ROOT / "params.yaml", place / "params.yaml")
    return place


@pytest.fixture(scope="module")
def prefect(place: Path) -> Iterator[str]:
    port = free_port(0)
    with prefect_server(place / "home", port) as server:
        server.wait_ready()
        yield f"http://127.0.0.1:{port}/api"


def surroundings(place: Path, prefect: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "SWITCHYARD_", "MLFLOW_"))}
    return kept | {
        "PREFECT_API_URL": prefect,
        "PREFECT_HOME": str(place / "home" / "prefect"),
        "SWITCHYARD_HOME": str(place / "home"),
        "SWITCHYARD_USECASES": str(place / "usecases"),
        "PYTHONPATH": str(ROOT),
    }


def ask(prefect: str, path: str, body: dict[str, object] | None = None) -> list[dict[str, object]]:
    answer = httpx.post(f"{prefect}/{path}", json=body or {}, timeout=30)
    answer.raise_for_status()
    found: list[dict[str, object]] = answer.json()
    return found


def wait_for(what: str, found: Callable[[], list[dict[str, object]]], log: Path) -> list[dict[str, object]]:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if rows := found():
            return rows
        time.sleep(0.5)
    pytest.fail(f"{what} did not come; the deployments said: {log.read_text()[-2000:]}")


def test_an_event_becomes_a_run_that_names_its_alarm(place: Path, prefect: str) -> None:
    env = surroundings(place, prefect)
    usecase = load_usecase(NAME, place / "usecases")
    assert usecase.local
    log = place / "deployments.log"
    with log.open("wb") as sink:
        served = subprocess.Popen(
            [sys.executable, "-m", "flows.deployments"], cwd=place, env=env, stdout=sink, stderr=sink
        )
    try:
        wait_for("the automation", lambda: ask(prefect, "automations/filter"), log)
        words = [sys.executable, "-c", RAISE, str(place / "home"), NAME, usecase.local.model]
        done = subprocess.run(words, cwd=place, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        alarm = done.stdout.strip().splitlines()[-1]
        runs = wait_for(
            "the run",
            lambda: [
                run
                for run in ask(prefect, "flow_runs/filter", {"flows": {"name": {"any_": ["retraining"]}}})
                if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED")
            ],
            log,
        )
        assert [run["state_type"] for run in runs] == ["COMPLETED"], log.read_text()[-2000:]
        assert runs[0]["parameters"] == {"usecase_name": NAME, "alarm": alarm}
        assert runs[0]["name"] == f"{NAME}-{alarm}"
        told = ask(prefect, "artifacts/filter", {"artifacts": {"key": {"any_": [f"{NAME}-retraining"]}}})
        assert alarm in json.dumps(told[0]["data"])
        assert "no snapshot of labelled rows" in json.dumps(told[0]["data"])
    finally:
        served.terminate()
        served.wait(30)
