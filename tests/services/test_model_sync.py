"""Fetching models before a server starts: only where one is missing, within its time, with the reason."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.settings import RegistrySettings
from services import model_sync, preflight
from services.settings import load_settings
from tests.fakes import REPOSITORY

Program = Callable[[str], None]
PYTHON = sys.executable


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Program:
    """What runs instead of `python -m registry.sync`."""

    def replace(code: str) -> None:
        file = tmp_path / "stand_in.py"
        file.write_text(code)
        starter = tmp_path / "python"
        starter.write_text(f"#!/bin/sh\nexec {PYTHON} {file}\n")
        starter.chmod(0o755)
        monkeypatch.setattr(model_sync.sys, "executable", str(starter))

    return replace


def registry(home: Path) -> RegistrySettings:
    return RegistrySettings(home=home, mlflow_tracking_uri="http://127.0.0.1:9")


def test_where_no_mlflow_was_ever_used_nothing_is_asked(home: Path, program: Program) -> None:
    """A first start is not slowed by a registry that cannot have anything."""
    program("raise SystemExit('it was asked')")
    assert model_sync.sync(["m"], RegistrySettings(home=home), 5) == "no model was trained here yet"


def test_what_was_placed_is_a_success(home: Path, program: Program) -> None:
    """Exit code 0 says that all names are placed."""
    program('print(\'{"name": "m", "error": null}\')')
    assert model_sync.sync(["m"], registry(home), 20) is None


def test_a_failure_is_told_in_the_registrys_own_words(home: Path, program: Program) -> None:
    """The JSON lines hold the reason; noise between them does no harm."""
    program('print(\'noise\'); print(\'{"name": "m", "error": "MLflow is away"}\'); raise SystemExit(1)')
    assert model_sync.sync(["m"], registry(home), 20) == "MLflow is away"
    program("raise SystemExit(1)")
    assert "python -m registry.sync m" in (model_sync.sync(["m"], registry(home), 20) or "")


def test_a_registry_that_hangs_costs_its_time_limit(home: Path, program: Program) -> None:
    """And leaves no process behind."""
    program("import time; time.sleep(600)")
    assert model_sync.sync(["m"], registry(home), 0.3) == "MLflow did not answer within 0.3 s"


def test_the_preflight_starts_without_a_model_and_says_why(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLflow away and nothing placed: exit code 0, and standard error names reason and remedy."""
    monkeypatch.setenv("SWITCHYARD_USECASES", str(REPOSITORY / "usecases"))
    monkeypatch.setattr(preflight, "sync", lambda *_: "MLflow is away")
    assert preflight.main() == 0
    told = capsys.readouterr().err
    assert "models could not be fetched: MLflow is away" in told
    assert "support: local is left out: no copy of" in told
    assert "switchyard keys create" in told


def test_nothing_is_fetched_when_local_models_run_elsewhere(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then this machine needs no copy."""
    monkeypatch.setattr(preflight, "sync", lambda *_: pytest.fail("it was asked"))
    settings = load_settings(usecases_dir=REPOSITORY / "usecases", local_models_url="http://127.0.0.1:9")
    assert preflight.fetch_models(settings) is None
