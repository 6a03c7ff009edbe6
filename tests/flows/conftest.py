"""Use cases, a tiny model kind and a state folder of their own for the tests of this room."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from feature_checks.usecase import UseCase, load_usecase
from flows.kinds import KINDS
from flows.stages import run_stage
from registry.runtimes import RUNTIMES
from tests.flows.shelf import Shelf
from tests.toy import write_number_usecase, write_text_usecase

TOY = "tests.flows.toy_kind"


@pytest.fixture
def toy_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "toy", TOY)  # type: ignore[arg-type]  # a plain dict at run time
    monkeypatch.setitem(RUNTIMES, "toy", TOY)  # type: ignore[arg-type]  # a plain dict at run time


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder, with state and use cases below it."""
    monkeypatch.delenv("SWITCHYARD_DATA_MIRROR", raising=False)
    monkeypatch.delenv("SWITCHYARD_MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SWITCHYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SWITCHYARD_USECASES", str(tmp_path / "usecases"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "usecases").mkdir()
    return tmp_path


@pytest.fixture
def parcels(place: Path, toy_kind: None) -> UseCase:
    write_text_usecase(place / "usecases")
    return load_usecase("parcels")


@pytest.fixture
def sums(place: Path, toy_kind: None) -> UseCase:
    write_number_usecase(place / "usecases")
    return load_usecase("sums")


@pytest.fixture(scope="session")
def kept_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first build of the small use case is kept for the tests that follow: equal inputs."""
    return tmp_path_factory.mktemp("built") / "sample"


@pytest.fixture
def built(parcels: UseCase, kept_build: Path) -> Path:
    """A build folder that is ready to be packaged."""
    build = Path("build/parcels/sample")
    if not kept_build.exists():
        for step in ("fetch", "check", "prepare", "fit", "evaluate", "calibrate", "contract"):
            run_stage(step, "parcels", "sample")
        shutil.copytree(build, kept_build)
    else:
        shutil.copytree(kept_build, build)
    return build


@pytest.fixture
def shelf(place: Path) -> Any:
    (place / "shelf").mkdir()
    return Shelf(place / "shelf")
