"""Drift starts a retraining by Prefect's automation, once for each alarm, up to a candidate in shadow."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from feature_checks.usecase import load_usecase
from flows.processes import free_port, prefect_server
from flows.snapshots import EXTRA, write_snapshot
from tests.flows.journals import Traffic
from tests.toy import text_rows, write_text_usecase

ROOT = Path(__file__).parents[2]
NAME = "support"
PATIENCE_S = 200

pytestmark = [pytest.mark.integration, pytest.mark.timeout(800)]

TOY = "parcels"
TOY_KIND = """
from flows.kinds import KINDS
from registry.runtimes import RUNTIMES
KINDS["toy"] = RUNTIMES["toy"] = "tests.flows.toy_kind"
"""
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
    known = [
        (f"{text} {more}".strip(), label) for more in ("", "again", "indeed") for text, label in text_rows()
    ]
    write_text_usecase(place / "usecases", TOY, known, monitoring={"min_rows": 50})
    (place / "sitecustomize.py").write_text(TOY_KIND)  # every process of the test knows the kind
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
        "PYTHONPATH": os.pathsep.join((str(place), str(ROOT))),
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


@pytest.fixture(scope="module")
def log(place: Path, prefect: str) -> Iterator[Path]:
    """What the deployments say, which are served for the whole module."""
    log = place / "deployments.log"
    words = [sys.executable, "-m", "flows.deployments"]
    with log.open("wb") as sink:
        served = subprocess.Popen(
            words, cwd=place, env=surroundings(place, prefect), stdout=sink, stderr=sink
        )
    wait_for("the automations", lambda: ask(prefect, "automations/filter")[1:], log)
    yield log
    served.terminate()
    served.wait(30)


def ended_runs(prefect: str, usecase: str) -> list[dict[str, object]]:
    runs = ask(prefect, "flow_runs/filter", {"flows": {"name": {"any_": ["retraining"]}}})
    ended = ("COMPLETED", "FAILED", "CRASHED")
    return [run for run in runs if run["state_type"] in ended and str(run["name"]).startswith(f"{usecase}-")]


def test_an_event_becomes_a_run_that_names_its_alarm(place: Path, prefect: str, log: Path) -> None:
    usecase = load_usecase(NAME, place / "usecases")
    assert usecase.local
    words = [sys.executable, "-c", RAISE, str(place / "home"), NAME, usecase.local.model]
    env = surroundings(place, prefect)
    done = subprocess.run(words, cwd=place, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    alarm = done.stdout.strip().splitlines()[-1]
    runs = wait_for("the run", lambda: ended_runs(prefect, NAME), log)
    assert [run["state_type"] for run in runs] == ["COMPLETED"], log.read_text()[-2000:]
    assert runs[0]["parameters"] == {"usecase_name": NAME, "alarm": alarm}
    assert runs[0]["name"] == f"{NAME}-{alarm}"
    told = ask(prefect, "artifacts/filter", {"artifacts": {"key": {"any_": [f"{NAME}-retraining"]}}})
    assert alarm in json.dumps(told[0]["data"])
    assert "no snapshot of labelled rows" in json.dumps(told[0]["data"])


def test_shifted_traffic_ends_as_a_candidate_in_shadow_and_prefect_links_effect_and_cause(
    place: Path, prefect: str, log: Path
) -> None:
    """journal -> `switchyard monitor` -> alarm -> event -> automation -> retraining -> shadow, nothing faked
    but the kind of model, which trains in milliseconds."""
    env = surroundings(place, prefect)

    def switchyard(*words: str) -> Any:
        command = [sys.executable, "-m", "switchyard", *words, "--json"]
        done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    switchyard("train", TOY, "--data", "sample")
    moved = [f"customs keep my crate {n} at the airport of town {n % 7}" for n in range(200)]
    traffic = Traffic(place / "home" / "journal", TOY, "kind")
    for text in moved:
        traffic.decided({"text": text}, "broken", "local", confidence=0.4)
    traffic.close()
    said = [("r", "acme", False, 1.0, f"{n:032x}", "2026-01-01T00:00:00+00:00") for n in range(60)]
    rows = pd.DataFrame(said, columns=list(EXTRA))
    rows.insert(0, "text", moved[:60])
    rows.insert(1, "kind", "lost")
    write_snapshot(
        place / "snapshots" / TOY, rows, rows[:0], {"keep_until": None}, "2026-01-01T00:00:00+00:00"
    )

    found = switchyard("monitor", TOY)
    assert found["drifted"], found
    assert found["alarm"]["state"] == "pending"
    (run,) = wait_for("the retraining", lambda: ended_runs(prefect, TOY), log)
    assert run["state_type"] == "COMPLETED", log.read_text()[-3000:]
    assert run["parameters"] == {"usecase_name": TOY, "alarm": found["alarm"]["id"]}
    (told,) = ask(prefect, "artifacts/filter", {"artifacts": {"key": {"any_": [f"{TOY}-retraining"]}}})
    assert "is in shadow" in str(told["data"])
    assert f"/runs/flow-run/{found['prefect_run_id']}" in str(told["data"])
    wanted = {"filter": {"event": {"name": ["switchyard.drift.detected"]}}}
    events: Any = ask(prefect, "events/filter", wanted)
    related = [event["related"] for event in events["events"] if event["payload"]["use_case"] == TOY]
    assert any(
        one["prefect.resource.id"] == f"prefect.flow-run.{found['prefect_run_id']}" for one in related[0]
    )
    versions = switchyard("registry", "list")
    assert [one["aliases"] for one in versions if one["version"] == 2] == [["shadow"]], versions
