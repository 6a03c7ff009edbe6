"""train.yml and promote.yml by the shell: every `run:` step as it stands, with real Prefect and MLflow."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from registry.loading import load_placed
from registry.log import read_log
from registry.rollout import Move
from registry.settings import RegistrySettings
from tests.flows.test_workflows import ROOT, moves, parsed
from tests.integration.light import write_light_params

VALUES = {"USECASE": "support", "VERSION": "2", "DATA": "sample", "WATCH_S": "120", "RUN": "1"}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `actions/checkout` leaves, with this environment, and training made small."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shutil.copytree(ROOT / "usecases", tmp_path / "usecases")
    write_light_params(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.setenv("SWITCHYARD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SWITCHYARD_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sh(command: str) -> None:
    """As GitHub runs a step."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")} | VALUES
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", command], env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def steps(workflow: str) -> Iterator[Mapping[str, Any]]:
    for job in parsed(workflow)["jobs"].values():
        yield from (step for step in job["steps"] if "run" in step)


def run(workflow: str, usecase: str) -> list[str]:
    ran = []
    for step in steps(workflow):
        if "failure()" in step.get("if", ""):
            continue
        if step["name"] == "Watch":  # what the numbers of a canary would ask for
            moves(Move.ADVANCE, Move.PROMOTE, component=f"{usecase}/local")()
        sh(step["run"])
        ran.append(step["name"])
    return ran


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_both_workflows_run_line_by_line_from_training_to_champion(checkout: Path) -> None:
    sh(".venv/bin/switchyard train support --data sample")
    assert run("train.yml", "support")[-2:] == ["Train, sign, register", "What may it do?"]
    assert run("promote.yml", "support")[-1] == "Promote to champion"
    settings = RegistrySettings()
    assert load_placed("support-intent", "champion", settings).ref.version == 2
    assert [entry.body["alias"] for entry in read_log(settings)] == ["champion", "canary", "champion"]
