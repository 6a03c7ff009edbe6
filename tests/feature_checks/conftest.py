"""Use cases that the tests of this room share."""

from pathlib import Path

import pytest

from feature_checks.usecase import UseCase, load_usecase
from tests.toy import write_number_usecase, write_text_usecase


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SWITCHYARD_DATA_MIRROR", raising=False)
    monkeypatch.setenv("SWITCHYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SWITCHYARD_USECASES", str(tmp_path / "usecases"))


@pytest.fixture
def usecases(tmp_path: Path) -> Path:
    """The folder of use cases that `SWITCHYARD_USECASES` names; empty."""
    folder = tmp_path / "usecases"
    folder.mkdir()
    return folder


@pytest.fixture
def parcels(usecases: Path) -> UseCase:
    write_text_usecase(usecases)
    return load_usecase("parcels")


@pytest.fixture
def sums(usecases: Path) -> UseCase:
    write_number_usecase(usecases)
    return load_usecase("sums")
