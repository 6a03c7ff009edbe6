"""`python -m registry.sync`: one line a name, and an exit code that says whether all are up to date."""

import json

import pytest

from registry import store, sync
from registry.keys import TrustedKey
from registry.placing import placed_folder, placed_ref
from registry.settings import RegistrySettings
from tests.registry.conftest import NAME, MakePackage
from tests.registry.sources import FolderSource


@pytest.fixture
def source(
    make_package: MakePackage,
    trusted: tuple[TrustedKey, ...],
    settings: RegistrySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> FolderSource:
    held = FolderSource(trusted)
    held.hold(NAME, make_package(), 1)
    monkeypatch.setenv("SWITCHYARD_HOME", str(settings.home))
    monkeypatch.setattr(store, "Registry", lambda settings: held)
    return held


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_placed_model_is_one_line_and_exit_code_0(
    source: FolderSource, settings: RegistrySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync.main([NAME]) == 0
    ref = placed_ref(NAME, "champion", settings)
    line = {
        "name": NAME,
        "alias": "champion",
        "version": 1,
        "digest": ref.digest,
        "status": "placed",
        "error": None,
    }
    assert _lines(capsys) == [line]
    assert sync.main([NAME]) == 0
    assert _lines(capsys) == [{**line, "status": "unchanged"}]


def test_one_failure_is_exit_code_1_and_the_others_are_placed(
    source: FolderSource, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync.main(["nobody", NAME]) == 1
    first, second = _lines(capsys)
    assert (first["name"], first["status"], first["version"]) == ("nobody", "failed", None)
    assert "no alias 'champion'" in str(first["error"])
    assert (second["name"], second["status"]) == (NAME, "placed")


def test_after_a_failure_the_line_names_what_still_serves(
    source: FolderSource, capsys: pytest.CaptureFixture[str]
) -> None:
    sync.main([NAME])
    source.down = True
    assert sync.main([NAME]) == 1
    line = _lines(capsys)[-1]
    assert (line["status"], line["version"], line["error"]) == ("failed", 1, "MLflow does not answer")


def test_a_spoilt_copy_is_placed_anew_and_the_line_says_so(
    source: FolderSource, settings: RegistrySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    sync.main([NAME])
    (placed_folder(placed_ref(NAME, "champion", settings), settings) / "extra.json").write_text("{}")
    assert sync.main([NAME]) == 0
    assert [line["status"] for line in _lines(capsys)] == ["placed", "placed"]


def test_another_alias_is_placed_beside_champion(
    source: FolderSource, settings: RegistrySettings, make_package: MakePackage
) -> None:
    ref = source.hold(NAME, make_package(contract_version="second"), 2, alias="canary")
    assert sync.main([NAME, "--alias", "canary"]) == 0
    assert placed_ref(NAME, "canary", settings) == ref


def test_without_a_name_the_usage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        sync.main([])
    assert ended.value.code == 2
    assert "NAME" in capsys.readouterr().err
