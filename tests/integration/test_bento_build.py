"""`bentoml build`: one bento with both services and the use cases, which serves from anywhere.

`switchyard bento build`: the same with verified models inside, which are verified again where it starts.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from bench.sample_model import place_sample_model
from registry.bundles import INDEX
from registry.placing import placed_folder
from registry.records import ModelRef
from registry.settings import RegistrySettings
from registry.store import Registry
from tests.fakes import REPOSITORY, support
from tests.integration.serving import Serving, only, serving
from tests.integration.test_serve import decide, known_text
from tests.registry.vouching import move

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


@dataclass(frozen=True)
class Maker:
    """Who trained, promoted and built: its bento, and the public key that others may trust."""

    bento: Bento
    ref: ModelRef
    public_key: Path
    sbom: Path

    @property
    def bundle(self) -> Path:
        return self.bento.folder / "src" / "bundle"


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """A version in a real MLflow, promoted and taken into a bento by the command that users have."""
    scratch = tmp_path_factory.mktemp("maker")
    settings, store = RegistrySettings(home=scratch / "home"), scratch / "bentoml"
    ref = place_sample_model(settings.home, support(), scratch / "model", threshold=0.9, labels=8)
    registry = Registry(settings)
    ref = registry.register(placed_folder(ref, settings), ref.name, {}, {"use_case": "support"})
    move(registry, settings, ref)
    environment = {"SWITCHYARD_HOME": str(settings.home), "BENTOML_HOME": str(store)}
    words = ["--usecase", "support", "--alias", "champion", "--sbom", str(scratch / "sbom.json"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "switchyard", "bento", "build", *words],
        cwd=REPOSITORY, env=only(environment), capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["models"] == [{"name": ref.name, "version": 1, "digest": ref.digest, "alias": "champion"}]
    folder = store / "bentos" / said["tag"].replace(":", "/")
    public_key = settings.keys_dir / "model-signing.pub.pem"
    return Maker(Bento(said["tag"], folder, store), ref, public_key, scratch / "sbom.json")


def fresh_home(maker: Maker, elsewhere: Path) -> Path:
    """It has nothing but the public key that it trusts: no model, no MLflow."""
    home = elsewhere / "home"
    (home / "keys" / "trusted").mkdir(parents=True)
    (home / "keys" / "trusted" / "maker.pem").write_bytes(maker.public_key.read_bytes())
    _link_store(maker.bento, elsewhere)
    return home


def missing(server: Serving) -> str:
    ready = httpx.get(f"{server.url}/readyz", timeout=30, trust_env=False).json()
    return str(ready["use_cases"]["support"]["missing"].get("local", ""))


def test_a_bento_with_a_model_serves_it_in_a_fresh_home_and_its_sbom_names_the_digest(
    maker: Maker, elsewhere: Path
) -> None:
    """The digest of the bill of materials, of the bento's label and of the answer is one and the same."""
    with (
        serving(elsewhere, fresh_home(maker, elsewhere), maker.bento.tag) as server,
        server.client() as client,
    ):
        answer = decide(client, known_text())
    assert answer["route"] == "local"
    assert answer["versions"]["model"] == maker.ref.digest  # type: ignore[index]  # parsed JSON
    made = json.loads(maker.sbom.read_text())
    (model,) = [one for one in made["components"] if one["type"] == "machine-learning-model"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": maker.ref.digest}]
    assert (maker.bundle / "sbom.cdx.json").read_text() == maker.sbom.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(maker.sbom.read_text()) is None
    labels = yaml.safe_load((maker.bento.folder / "bento.yaml").read_text())["labels"]
    assert labels == {f"{maker.ref.name}.champion": f"1-{maker.ref.digest[:12]}"}


def test_a_built_bento_that_was_tampered_with_does_not_serve_that_model_and_says_why(
    maker: Maker, elsewhere: Path
) -> None:
    """The answer goes on down the plan; nothing is left half-placed."""
    (index,) = json.loads((maker.bundle / INDEX).read_text())["models"]
    file = maker.bundle / maker.ref.name / f"1-{index['digest'][:12]}" / "model.onnx"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    home = fresh_home(maker, elsewhere)
    with serving(elsewhere, home, maker.bento.tag) as server, server.client() as client:
        answer = decide(client, known_text())
        why = missing(server)
    assert answer["route"] != "local"
    assert "model.onnx: expected SHA-256" in why
    assert "the copy in this bento is not used" in server.logged()
    assert not list((home / "models").rglob("model.onnx"))


def _link_store(bento: Bento, scratch: Path) -> None:
    """`serving` keeps BentoML's home in its scratch folder; the built bento must be found there."""
    (scratch / "bentoml").mkdir()
    (scratch / "bentoml" / "bentos").symlink_to(bento.store / "bentos")
