"""The bill of materials names every pinned package and the model that was verified, or is not written."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from registry.errors import PackageRefused, RegistryError
from registry.keys import TrustedKey
from registry.placing import place, placed_folder
from registry.records import ModelRef
from registry.settings import RegistrySettings
from switchyard.cli import build
from tests.registry.conftest import NAME, MakePackage
from tests.registry.sources import FolderSource

LOCK = f"some-package==1.2.3 \\\n    --hash=sha256:{'a' * 64}\n"


@pytest.fixture
def placed(
    make_package: MakePackage,
    trusted: tuple[TrustedKey, ...],
    settings: RegistrySettings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> ModelRef:
    source = FolderSource(trusted)
    source.hold(NAME, make_package(), 3)
    monkeypatch.setenv("SWITCHYARD_HOME", str(settings.home))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.lock").write_text(LOCK)
    return place(NAME, "champion", settings, source)


def test_it_holds_the_locked_packages_with_hashes_and_the_verified_model(placed: ModelRef) -> None:
    done = CliRunner().invoke(build(), ["registry", "sbom", NAME, "--output", "out/sbom.cdx.json"])
    assert done.exit_code == 0, (done.output, done.exception)
    made = json.loads(Path("out/sbom.cdx.json").read_text())
    assert made["bomFormat"] == "CycloneDX"
    library, model = made["components"]
    assert (library["name"], library["version"]) == ("some-package", "1.2.3")
    assert "a" * 64 in json.dumps(library)
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", NAME, "3")
    assert model["hashes"] == [{"alg": "SHA-256", "content": placed.digest}]
    assert "model.onnx" in {file["name"] for file in model["components"]}


def test_a_model_that_does_not_verify_or_a_lock_that_is_missing_gets_none(
    placed: ModelRef, settings: RegistrySettings
) -> None:
    Path("requirements.lock").rename("elsewhere.lock")
    done = CliRunner().invoke(build(), ["registry", "sbom", NAME])
    assert isinstance(done.exception, RegistryError)
    assert "requirements.lock: expected a lock" in str(done.exception)
    file = placed_folder(placed, settings) / "model.onnx"
    file.chmod(0o644)
    file.write_bytes(b"changed")
    done = CliRunner().invoke(build(), ["registry", "sbom", NAME, "--lock", "elsewhere.lock"])
    assert isinstance(done.exception, PackageRefused)
    assert not Path("sbom.cdx.json").exists()
