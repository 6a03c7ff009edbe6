"""The contract with cloud endpoints: what is asked, and what comes of recorded and scripted answers."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from feature_checks.usecase import UseCase, list_usecases, load_usecase
from registry.contract_tests import ContractCheck
from services.endpoint_contract import endpoint_checks, main
from tests.fakes import REPOSITORY, support

RESPONSES = "contract/responses"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the use case to break."""
    return Path(shutil.copytree(REPOSITORY / "usecases" / support().name, tmp_path / support().name))


def loaded(folder: Path) -> UseCase:
    return load_usecase(folder.name, folder.parent)


def failed(checks: list[ContractCheck]) -> list[str]:
    return [check.name for check in checks if not check.passed]


async def test_every_shipped_use_case_keeps_the_contract_with_its_endpoints() -> None:
    for name in list_usecases(REPOSITORY / "usecases"):
        usecase = load_usecase(name, REPOSITORY / "usecases")
        if usecase.cloud is not None:
            checks = await endpoint_checks(usecase)
            assert failed(checks) == []
            assert {check.between for check in checks} == {"orchestrator-endpoint"}


async def test_each_endpoint_is_checked_with_every_recording_that_is_for_it(copied: Path) -> None:
    file = copied / "usecase.yaml"
    file.write_text(file.read_text().replace("endpoints: [primary]", "endpoints: [primary, second]"))
    one = copied / RESPONSES / "fenced.json"
    one.write_text(json.dumps({**json.loads(one.read_text()), "endpoints": ["second"]}))
    names = {check.name for check in await endpoint_checks(loaded(copied))}
    assert {"primary: answered.json", "second: answered.json", "second: fenced.json"} <= names
    assert "primary: fenced.json" not in names


async def test_an_endpoint_that_answers_otherwise_than_recorded_is_named(copied: Path) -> None:
    """A vendor changed its answers, the recording was made anew: the break is seen before a deployment."""
    one = copied / RESPONSES / "answered.json"
    recorded: dict[str, Any] = json.loads(one.read_text())
    recorded["body"]["choices"][0]["message"]["content"] = json.dumps({"answer": "renamed"})
    one.write_text(json.dumps(recorded))
    assert failed(await endpoint_checks(loaded(copied))) == ["primary: answered.json"]


async def test_a_schema_that_the_recordings_no_longer_fit_is_named(copied: Path) -> None:
    schema = json.loads((copied / "reply.schema.json").read_text())
    schema["properties"]["reply"]["maxLength"] = 20
    (copied / "reply.schema.json").write_text(json.dumps(schema))
    assert "primary: answered.json" in failed(await endpoint_checks(loaded(copied)))


async def test_a_prompt_that_lost_its_input_is_named(copied: Path) -> None:
    prompt = copied / "prompts" / "reply.md"
    prompt.write_text(prompt.read_text().replace("{{ text }}", "nothing"))
    assert failed(await endpoint_checks(loaded(copied))) == ["primary: the question"]


def test_the_command_prints_checks_as_json_and_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWITCHYARD_USECASES", str(REPOSITORY / "usecases"))
    assert main([support().name]) == 0
    checks = [ContractCheck.model_validate(each) for each in json.loads(capsys.readouterr().out)]
    assert failed(checks) == []
    assert main(["nowhere"]) == 1
    assert "no such use case" in capsys.readouterr().err
    assert main([]) == 2
