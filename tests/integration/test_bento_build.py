"""`bentoml build`: one bento with both services and the use cases, which serves from anywhere."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from bench.sample_model import place_sample_model
from tests.fakes import REPOSITORY, support
from tests.integration.serving import only, serving
from tests.integration.test_serve import decide, known_text

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Bento:
    tag: str
    folder: Path
    store: Path


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Bento:
    """Built as a user would, into a store of its own. Nothing of it needs a network."""
    store = tmp_path_factory.mktemp("bentoml")
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", ".", "--output", "tag"],
        cwd=REPOSITORY,
        env=only({"BENTOML_HOME": str(store), "BENTOML_DO_NOT_TRACK": "True"}),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    tag = done.stdout.strip().splitlines()[-1].removeprefix("__tag__:")
    return Bento(tag, store / "bentos" / tag.replace(":", "/"), store)


def test_it_holds_both_services_the_use_cases_and_pinned_requirements(bento: Bento) -> None:
    """And neither secrets, nor caches, nor an index address."""
    source = bento.folder / "src"
    for file in ("services/orchestrator.py", "services/local_models.py", "usecases/support/usecase.yaml"):
        assert (source / file).is_file()
    assert (source / "services" / "access_policy.cedarschema").is_file()
    assert (source / "services" / "state" / "migrations" / "env.py").is_file()
    assert not list(source.rglob("__pycache__"))
    assert not list(source.rglob("*.key"))
    pinned = (bento.folder / "env" / "python" / "requirements.txt").read_text()
    assert "\nbentoml==" in pinned
    assert "--hash=sha256:" in pinned
    lines = [line for line in pinned.splitlines() if not line.lstrip().startswith("#")]
    assert not [line for line in lines if "index-url" in line or "://" in line]
    described = yaml.safe_load((bento.folder / "bento.yaml").read_text())
    assert described["service"] == "services.orchestrator:Orchestrator"


NOT_INSTALLED = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in repr(finder)]
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is not the repository, on a machine where our packages are not installed."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NOT_INSTALLED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_the_bento_our_packages_are_not_there(elsewhere: Path) -> None:
    """So that the next tests show what they say."""
    done = subprocess.run([sys.executable, "-c", "import services"], capture_output=True, text=True)
    assert "ModuleNotFoundError" in done.stderr


def test_the_built_bento_serves_with_the_models_of_its_home(bento: Bento, elsewhere: Path) -> None:
    """`bentoml serve <tag>`: code and use cases from the bento, models and state from SWITCHYARD_HOME."""
    home = elsewhere / "home"
    place_sample_model(home, support(), elsewhere / "model", threshold=0.9, labels=8)
    _link_store(bento, elsewhere)
    with serving(elsewhere, home, bento.tag) as server, server.client() as client:
        answer = decide(client, known_text())
    assert answer["route"] == "local"
    assert answer["versions"]["config"] == support().version  # type: ignore[index]  # parsed JSON


def test_the_bento_serves_its_local_models_too(bento: Bento, elsewhere: Path) -> None:
    """The second service, from the same bento."""
    home = elsewhere / "home"
    place_sample_model(home, support(), elsewhere / "model", threshold=0.9, labels=8)
    source = str(bento.folder / "src")
    with serving(elsewhere, home, "services.local_models:LocalModels", "--working-dir", source) as server:
        body = {"usecase": "support", "fields": {"text": known_text()}}
        said = httpx.post(f"{server.url}/predict", json=body, timeout=30, trust_env=False).json()
    assert said["label"] in support().labels
    assert said["confidence"] > 0.9


def _link_store(bento: Bento, scratch: Path) -> None:
    """`serving` keeps BentoML's home in its scratch folder; the built bento must be found there."""
    (scratch / "bentoml").mkdir()
    (scratch / "bentoml" / "bentos").symlink_to(bento.store / "bentos")
