"""Settings of this room: one home for everything, and no secret shown."""

from pathlib import Path

import pytest

from registry.settings import RegistrySettings


def test_all_state_lies_under_home_and_reading_settings_makes_nothing(tmp_path: Path) -> None:
    settings = RegistrySettings(home=tmp_path / "state")
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/state/mlflow.db"
    for folder in (settings.artifacts_dir, settings.keys_dir, settings.models_dir):
        assert folder.parent == tmp_path / "state"
    assert list(tmp_path.iterdir()) == []


def test_home_stays_where_it_was_when_the_working_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = RegistrySettings()
    monkeypatch.chdir("/")
    assert settings.home == tmp_path / ".switchyard"


def test_the_environment_sets_home_and_tracking_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHYARD_HOME", str(tmp_path))
    monkeypatch.setenv("SWITCHYARD_MLFLOW_TRACKING_URI", "postgresql://u:secret@db/x")
    settings = RegistrySettings()
    assert (settings.home, settings.tracking_uri) == (tmp_path, "postgresql+psycopg://u:secret@db/x")
    assert "secret" not in repr(settings)


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHYARD_MLFLOW_TRACKING_URI", "")
    assert RegistrySettings().tracking_uri.startswith("sqlite:///")
