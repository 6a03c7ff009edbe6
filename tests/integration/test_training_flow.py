"""`switchyard train` on a sample, as a process of its own, with real Prefect and MLflow."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from feature_checks.usecase import load_usecase
from flows.processes import free_port, prefect_server
from flows.stages import STAGES
from registry.loading import load_placed
from registry.settings import RegistrySettings
from tests.integration.light import write_light_params
from tests.toy import write_csv

ROOT = Path(__file__).parents[2]
NAME = "support"
SECRET = "PLANTED-4111"

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Trained:
    """A finished run: where it ran, what it printed on stdout as JSON, and its stderr."""

    place: Path
    outcome: dict[str, Any]
    progress: str

    @property
    def home(self) -> Path:
        return self.place / "home"


def switchyard(place: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "SWITCHYARD_", "MLFLOW_"))}
    env |= {
        "SWITCHYARD_HOME": str(place / "home"),
        "SWITCHYARD_USECASES": str(place / "usecases"),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "160",
        **more,
    }
    command = [sys.executable, "-m", "switchyard", *words]
    return subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One training run on the sample, without any server set up beforehand."""
    place = tmp_path_factory.mktemp("training")
    shutil.copytree(ROOT / "usecases" / NAME, place / "usecases" / NAME)
    write_light_params(ROOT / "params.yaml", place / "params.yaml")
    done = switchyard(place, "train", NAME, "--data", "sample", "--json")
    assert done.returncode == 0, done.stderr
    return Trained(place, json.loads(done.stdout), done.stderr)


@pytest.fixture(scope="module")
def prefect_url(trained: Trained) -> Iterator[str]:
    """A Prefect server over the state that the run left."""
    port = free_port(0)
    with prefect_server(trained.home, port) as server:
        server.wait_ready()
        yield f"http://127.0.0.1:{port}/api"


def rows(trained: Trained, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(trained.home / "prefect" / "prefect.db") as database:
        return database.execute(query).fetchall()


def test_training_prints_one_json_document_and_its_progress_apart(trained: Trained) -> None:
    assert trained.outcome["data"] == "sample"
    assert 0.3 < trained.outcome["metrics"]["accuracy"] <= 1
    for place, step in enumerate(STAGES, 1):
        assert f"[{place}/10] {step}" in trained.progress
    assert "Traceback" not in trained.progress


def test_every_step_is_a_task_of_one_completed_prefect_run(trained: Trained) -> None:
    assert rows(trained, "select name, state_type from flow_run") == [(f"{NAME}-sample", "COMPLETED")]
    tasks = rows(trained, "select name, state_type from task_run order by start_time")
    assert {state for _, state in tasks} == {"COMPLETED"}
    names = [name.rpartition("-")[0] for name, _ in tasks]
    assert names == list(STAGES)


def test_the_run_leaves_what_a_person_would_open(trained: Trained) -> None:
    kept = dict(rows(trained, "select key, type from artifact where key is not null"))
    assert kept == {
        f"{NAME}-data-check": "markdown",
        f"{NAME}-confusion": "markdown",
        f"{NAME}-contract-tests": "markdown",
        f"{NAME}-metrics": "table",
        f"{NAME}-coverage": "markdown",
        f"{NAME}-mlflow-run": "markdown",
    }
    pictures = rows(
        trained, "select data from artifact where key like '%-confusion' or key like '%-coverage'"
    )
    assert all("](data:image/png;base64,iVBOR" in data for (data,) in pictures)


def test_prefect_keeps_no_results_and_no_pickles(trained: Trained) -> None:
    storage = trained.home / "prefect" / "storage"
    assert not storage.exists() or not any(path.is_file() for path in storage.rglob("*"))


def test_the_champion_is_verified_placed_and_answers(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    usecase = load_usecase(NAME, ROOT / "usecases")
    assert usecase.local
    loaded = load_placed(usecase.local.model, "champion", RegistrySettings(home=trained.home))
    registered = trained.outcome["registered"]
    assert (loaded.ref.digest, loaded.ref.version) == (registered["digest"], registered["version"])
    fields = dict.fromkeys(usecase.input, "Where is my new card?")
    assert loaded.predictor.predict(fields).label in usecase.labels


def test_the_signed_evidence_names_both_runs(trained: Trained) -> None:
    signed = trained.place / "build" / NAME / "sample" / "signed" / "evidence.json"
    said = json.loads(signed.read_text())["predicate"]["switchyard_model"]
    assert said["prefect_run_id"] == trained.outcome["prefect_run_id"]
    assert said["mlflow_run_id"] == trained.outcome["registered"]["mlflow_run_id"]


def test_mlflow_leads_from_the_data_by_its_dvc_hash_to_the_run_the_version_and_the_alias(
    trained: Trained,
) -> None:
    """What MLflow's own pages show: inputs of the run, the run of the version, tags and alias of that."""
    usecase = load_usecase(NAME, ROOT / "usecases")
    md5 = hashlib.md5(usecase.path(usecase.data.sample).read_bytes(), usedforsecurity=False).hexdigest()
    registered = trained.outcome["registered"]
    with sqlite3.connect(trained.home / "mlflow.db") as database:
        inputs = database.execute(
            "select d.name, d.digest, i.destination_id from inputs i join datasets d on d.dataset_uuid = "
            "i.source_id where i.destination_type = 'RUN'"
        ).fetchall()
        ((run, description),) = database.execute("select run_id, description from model_versions").fetchall()
        tags = dict(database.execute("select key, value from model_version_tags").fetchall())
        aliases = database.execute("select alias, version from registered_model_aliases").fetchall()
    assert (f"{NAME}/sample-file", md5, run) in inputs
    assert {(name, of) for name, _, of in inputs} >= {(f"{NAME}/train", run), (f"{NAME}/test", run)}
    assert run == registered["mlflow_run_id"]
    assert md5 in description
    signed = trained.place / "build" / NAME / "sample" / "signed" / "evidence.json"
    assert tags["evidence"] == hashlib.sha256(signed.read_bytes()).hexdigest()
    assert tags["digest"] == registered["digest"]
    assert tags["gate.champion"].startswith("open: ")
    assert {"signer_key_id", "move.champion"} <= tags.keys()
    assert aliases == [("champion", registered["version"])]


def test_a_run_that_goes_on_skips_what_is_unchanged_and_links_to_mlflow(
    trained: Trained, prefect_url: str
) -> None:
    env = {"PREFECT_API_URL": prefect_url, "SWITCHYARD_MLFLOW_URL": "http://mlflow.example"}
    done = switchyard(trained.place, "train", NAME, "--data", "sample", "--reuse", **env)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("unchanged") == 6
    assert "is champion, signed, verified and placed" in done.stdout
    links = rows(trained, "select data from artifact where key like '%-mlflow-run'")
    assert any("(http://mlflow.example/#/runs/" in data for (data,) in links)


def test_bad_data_ends_it_with_the_list_once_and_without_a_traceback(
    trained: Trained, prefect_url: str
) -> None:
    shutil.copytree(trained.place / "usecases" / NAME, trained.place / "usecases" / "spoilt")
    folder = trained.place / "usecases" / "spoilt"
    text = (folder / "usecase.yaml").read_text()
    (folder / "usecase.yaml").write_text(text.replace(f"name: {NAME}", "name: spoilt", 1))
    usecase = load_usecase("spoilt", trained.place / "usecases")
    header = [*usecase.input, usecase.label]
    write_csv(usecase.path(usecase.data.sample), [[SECRET] * len(header)], header)
    done = switchyard(trained.place, "train", "spoilt", "--data", "sample", PREFECT_API_URL=prefect_url)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("data of 'spoilt' is not fit to use") == 1
    assert "is a known label, one of" in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr
    assert [s for (s,) in rows(trained, "select state_type from flow_run where name = 'spoilt-sample'")] == [
        "FAILED"
    ]
    kept = rows(trained, "select data from artifact where key = 'spoilt-data-check'")
    assert "not fit to use" in kept[0][0]
    assert not any(SECRET in str(row) for row in rows(trained, "select message from log"))


def test_mlflow_that_is_not_there_ends_it_before_any_work(trained: Trained, prefect_url: str) -> None:
    env = {"PREFECT_API_URL": prefect_url, "SWITCHYARD_MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = switchyard(trained.place, "train", NAME, "--data", "sample", **env)
    assert done.returncode == 1
    assert "SWITCHYARD_MLFLOW_TRACKING_URI" in done.stderr
    assert "Traceback" not in done.stderr
    assert "fetch" not in done.stderr
