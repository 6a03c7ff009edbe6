"""`switchyard registry list|verify`: what a person and a script see, and the exit code."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from registry import cli, store
from registry.errors import ModelNotFound, RegistryUnavailable
from registry.keys import SigningKeys, TrustedKey
from registry.placing import place, placed_folder
from registry.records import ModelRef, RegisteredVersion
from registry.settings import RegistrySettings
from tests.registry.conftest import NAME, MakePackage
from tests.registry.sources import FolderSource


class Listed(FolderSource):
    """A folder source that can also be listed, as MLflow can."""

    def list_models(self) -> list[RegisteredVersion]:
        if self.down:
            raise RegistryUnavailable("MLflow does not answer")
        return [
            RegisteredVersion(ref, (alias,), "k" * 16, "parcels", "constant", "2026-01-01T00:00:00+00:00")
            for (_, alias), (ref, _) in self._held.items()
        ]


@pytest.fixture
def listed(
    make_package: MakePackage,
    trusted: tuple[TrustedKey, ...],
    settings: RegistrySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Listed:
    held = Listed(trusted)
    monkeypatch.setenv("SWITCHYARD_HOME", str(settings.home))
    monkeypatch.setattr(store, "Registry", lambda settings: held)
    return held


@pytest.fixture
def folder(listed: Listed, make_package: MakePackage, settings: RegistrySettings) -> Path:
    """A registered and placed package; where MLflow keeps it."""
    made = make_package()
    listed.hold(NAME, made, 1)
    place(NAME, "champion", settings, listed)
    return made


def run(*arguments: str) -> Result:
    root = typer.Typer()
    cli.commands(root)
    return CliRunner().invoke(root, ["registry", *arguments])


@pytest.mark.parametrize("command", ["list", "verify"])
def test_help_shows_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Example: switchyard registry {command}" in result.output


def test_list_shows_every_version_in_a_table_and_as_json(listed: Listed, folder: Path) -> None:
    table = run("list").output
    ref = listed.resolve(NAME, "champion")
    assert table.splitlines()[0].split() == ["model", "version", "aliases", "digest", "registered", "signer"]
    assert table.splitlines()[1].split() == [
        NAME, "1", "champion", ref.digest[:12], "2026-01-01T00:00:00+00:00", "k" * 16,
    ]  # fmt: skip
    (row,) = json.loads(run("list", "--json").output)
    assert (row["name"], row["version"], row["aliases"], row["digest"]) == (NAME, 1, ["champion"], ref.digest)


def test_list_of_nothing_says_how_to_begin(listed: Listed) -> None:
    result = run("list")
    assert (result.exit_code, result.output) == (
        0,
        "no model is registered yet; run `switchyard train <usecase>`\n",
    )
    assert json.loads(run("list", "--json").output) == []


@pytest.mark.parametrize("asked", [[], [NAME], ["parcels"]])
def test_verify_checks_stored_and_placed_copies_of_a_model_or_use_case(
    listed: Listed, folder: Path, keys: SigningKeys, asked: list[str]
) -> None:
    result = run("verify", *asked, "--json")
    checks = json.loads(result.output)
    assert result.exit_code == 0
    assert [(c["name"], c["alias"], c["where"], c["ok"]) for c in checks] == [
        (NAME, "champion", "mlflow", True),
        (NAME, "champion", "placed", True),
    ]
    assert {c["key_id"] for c in checks} == {keys.key_id}
    assert run("verify", *asked).output.count("verified") == 2


def test_verify_fails_on_a_stored_copy_that_changed(folder: Path) -> None:
    (folder / "model_card.md").write_text("# Better\n")
    result = run("verify", "parcels")
    assert result.exit_code == 1
    assert result.output.count("REFUSED") == 1
    assert "model_card.md: expected SHA-256" in result.output


def test_verify_fails_on_a_placed_copy_that_changed(
    listed: Listed, folder: Path, settings: RegistrySettings
) -> None:
    (placed_folder(listed.resolve(NAME, "champion"), settings) / "extra.json").write_text("{}")
    checks = json.loads(run("verify", "--json").output)
    assert [(c["where"], c["ok"]) for c in checks] == [("mlflow", True), ("placed", False)]
    assert "extra.json" in checks[1]["error"]


def test_verify_fails_on_a_broken_pointer(listed: Listed, folder: Path, settings: RegistrySettings) -> None:
    (settings.models_dir / NAME / "champion.json").write_text("{")
    result = run("verify", NAME)
    assert result.exit_code == 1
    assert "champion.json is not a pointer" in result.output


def test_verify_fails_when_mlflow_names_another_digest(listed: Listed, folder: Path) -> None:
    listed._held[NAME, "champion"] = ModelRef(NAME, 1, "f" * 64), folder
    result = run("verify", NAME)
    assert result.exit_code == 1
    assert f"expected digest {'f' * 64}" in result.output


def test_verify_without_mlflow_still_checks_what_is_placed_and_fails(listed: Listed, folder: Path) -> None:
    listed.down = True
    checks = json.loads(run("verify", NAME, "--json").output)
    assert sorted((c["where"], c["ok"], c["error"]) for c in checks) == [
        ("mlflow", False, "MLflow does not answer"),
        ("placed", True, None),
    ]
    result = run("verify", NAME)
    assert result.exit_code == 1
    assert ("unreachable" in result.output, "REFUSED" in result.output) == (True, False)


def test_verify_says_when_the_placed_copy_is_behind(
    listed: Listed, folder: Path, make_package: MakePackage
) -> None:
    listed.hold(NAME, make_package(contract_version="second"), 2)
    result = run("verify", NAME)
    assert result.exit_code == 0
    assert f"MLflow has version 2: `python -m registry.sync {NAME} --alias champion`" in result.output


def test_verify_of_an_unknown_name_is_an_error_that_says_what_to_run(listed: Listed, folder: Path) -> None:
    result = run("verify", "nobody")
    assert isinstance(result.exception, ModelNotFound)
    assert "no model or use case 'nobody' has an alias" in str(result.exception)
