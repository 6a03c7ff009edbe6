"""`dvc repro` does the flow's work, and nothing twice."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.stages import STAGES
from tests.integration.light import write_light_params

ROOT = Path(__file__).parents[2]
NAME = "support"

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the stages depend on."""
    place = tmp_path_factory.mktemp("project")
    for name in ("feature_checks", "flows", "registry", "services", "switchyard", "usecases"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", "requirements.lock"):
        shutil.copyfile(ROOT / name, place / name)
    write_light_params(ROOT / "params.yaml", place / "params.yaml")
    (place / ".dvc").mkdir()
    shutil.copyfile(ROOT / ".dvc" / "config", place / ".dvc" / "config")
    return place


def dvc(project: Path, *words: str) -> str:
    binaries = Path(sys.executable).parent
    env = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("PREFECT_", "SWITCHYARD_", "MLFLOW_", "DVC_"))
    }
    env |= {
        "PATH": f"{binaries}{os.pathsep}{env['PATH']}",
        "PYTHONPATH": str(project),
        "SWITCHYARD_HOME": str(project / "home"),
        "DVC_SITE_CACHE_DIR": str(project / "site-cache"),
        "DVC_NO_ANALYTICS": "1",
    }
    done = subprocess.run(
        [str(binaries / "dvc"), *words], cwd=project, env=env, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_repro_runs_every_step_once_and_then_only_what_changed(project: Path) -> None:
    first = dvc(project, "repro")
    for step in STAGES:
        assert f"switchyard stage {step} {NAME} --data sample" in first
    registered = json.loads((project / "build" / NAME / "sample/registered/register.json").read_text())
    assert registered["champion"] is True

    second = dvc(project, "repro")
    assert "Data and pipelines are up to date." in second
    assert "Running stage" not in second

    shown = json.loads(dvc(project, "metrics", "show", "--json"))
    [metrics] = shown[""]["data"].values()
    assert 0.3 < metrics["data"]["accuracy"] <= 1

    pages = dvc(project, "plots", "show", "-o", "plots-page")
    assert (project / "plots-page" / "index.html").exists(), pages
    assert "evaluation_confusion_csv" in (project / "plots-page" / "index.html").read_text()

    changed = project / "flows/steps/plots.py"
    changed.write_text(changed.read_text() + "# changed\n")
    status = dvc(project, "status")
    assert f"evaluate@{NAME}-sample" in status
    assert f"fit@{NAME}-sample" not in status
