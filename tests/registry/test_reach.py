"""Is MLflow's store there: said within seconds, before MLflow is imported, and without its password."""

import subprocess
import sys
from pathlib import Path

import pytest

from registry.errors import RegistryUnavailable
from registry.reach import check_reachable, shown, sqlite_file


def test_a_database_file_that_is_yet_to_be_made_is_reachable_and_not_made_by_asking(tmp_path: Path) -> None:
    check_reachable(f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_where_the_database_should_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryUnavailable, match="cannot be opened"):
        check_reachable(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://user:secret@host:5000/path", "http://host:5000/path"),
        (
            "postgresql://u:p%40ss@db.example/mlflow?sslmode=require&password=secret",
            "postgresql://db.example/mlflow",
        ),
        ("sqlite:////var/mlflow.db", "sqlite:////var/mlflow.db"),
        ("mlruns", "mlruns"),
    ],
)
def test_a_uri_is_shown_without_what_is_secret_in_it(uri: str, said: str) -> None:
    assert shown(uri) == said


def test_only_sqlite_has_a_file() -> None:
    assert sqlite_file("sqlite:////var/mlflow.db") == Path("/var/mlflow.db")
    assert sqlite_file("postgresql://db/x") is None


def test_loading_and_asking_never_import_mlflow() -> None:
    code = (
        "import sys, registry.loading, registry.sync, registry.cli, registry.audit, registry.store\n"
        "print([m for m in ('mlflow', 'model_signing', 'pandas', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
