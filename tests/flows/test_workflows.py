"""Every step of each GitHub workflow is a command of ours that runs here, in its order, on a small use case.

By name only, here: `make setup` and what CI itself runs. Training and contract tests do without Prefect's
server. `tests/soak/test_workflows.py` runs every line by the shell, with Prefect and MLflow (`make soak`).
"""

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from feature_checks.usecase import UseCase, load_usecase
from flows import artifacts, contract_command, contract_flow, promotion_commands, train_command
from flows.stages import run_stage
from registry import store
from registry.contract_tests import ContractReport, report_of
from registry.loading import load_placed
from registry.log import read_log
from registry.rollout import Move, State
from registry.rollout_moves import ask
from registry.rollout_store import Rollouts, RolloutSettings
from registry.settings import RegistrySettings
from switchyard.cli import build
from tests.flows.shelf import Shelf, publish

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GIVEN = {
    "vars.SWITCHYARD_HOME": "home",
    "inputs.usecase || vars.SWITCHYARD_USECASE": "parcels",
    "inputs.data || 'full'": "sample",
    "inputs.usecase": "parcels",
    "inputs.version": "2",
    "inputs.data": "sample",
    "inputs.watch_s": "60",
    "github.run_id": "1",
}
BY_NAME = ("make setup", 'sudo --preserve-env env "PATH=$PATH" .ci/run')
SWITCHYARD = ".venv/bin/switchyard"


def parsed(name: str) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return found


def environment(job: Mapping[str, Any]) -> dict[str, str]:
    def value(match: re.Match[str]) -> str:
        return GIVEN[match[1].strip()]

    return {k: re.sub(r"\$\{\{(.*?)\}\}", value, v) for k, v in job.get("env", {}).items()}


def lines(step: Mapping[str, Any]) -> list[str]:
    return [line.strip() for line in step.get("run", "").splitlines() if line.strip()]


def expanded(line: str, values: Mapping[str, str]) -> list[str]:
    return [re.sub(r"\$([A-Z_]+)", lambda m: values[m[1]], word) for word in shlex.split(line)]


def run_workflow(name: str, before: Mapping[str, Callable[[], None]] | None = None) -> Iterator[str]:
    """Run all jobs in the order of the file; yields the name of each step that ran. As on GitHub, a failed
    step ends its job but for the steps that ask for that, and the jobs that need it."""
    broken = False
    for job in parsed(name)["jobs"].values():
        if broken:
            return
        values = environment(job)
        for step in job["steps"]:
            if ("failure()" in step.get("if", "")) != broken:
                continue
            for line in lines(step):
                if line in BY_NAME:
                    continue
                words = expanded(line.removesuffix("|| true"), values)
                assert words[0] == SWITCHYARD, line
                for begin, then in (before or {}).items():
                    if " ".join(words[1:]).startswith(begin):
                        then()
                done = CliRunner().invoke(build(), words[1:])
                if done.exit_code != 0 and not line.endswith("|| true"):
                    broken = True
                    break
            yield step["name"]


@pytest.fixture
def ready(built: Path, parcels: UseCase, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A use case whose version 1 leads; training and contract tests that take no server of Prefect's."""
    monkeypatch.delenv("SWITCHYARD_DATABASE_URL", raising=False)
    for reads in ("Registry", "QuickReads"):
        monkeypatch.setattr(promotion_commands, reads, lambda settings: shelf)
    monkeypatch.setattr(store, "Registry", lambda settings: shelf)
    monkeypatch.setattr(contract_flow, "QuickReads", lambda settings: shelf)
    publish(built, parcels, shelf)

    def train(name: str, data: str, as_json: bool, go_on: bool, hold: bool) -> None:
        usecase = load_usecase(name)
        for step in ("fetch", "check", "prepare", "fit", "evaluate", "calibrate"):
            run_stage(step, name, data)  # type: ignore[arg-type]  # sample or full
        file = Path("build") / name / data / "fit" / "fit.json"
        fitted = json.loads(file.read_text())
        file.write_text(json.dumps(fitted | {"params": {"note": "another run, the same guesses"}}))
        publish(Path("build") / name / data, usecase, shelf, hold)

    monkeypatch.setattr(train_command, "run", train)
    monkeypatch.setattr(contract_command, "prefect_api", lambda home: nullcontext(lambda: None))
    monkeypatch.setattr(contract_flow, "contract_tests", contract_flow.contract_tests.fn)
    monkeypatch.setattr(contract_flow, "test", contract_flow.test.fn)
    monkeypatch.setattr(artifacts, "publish_contract_report", lambda *_: None)
    return shelf


def moves(*wishes: Move, component: str = "parcels/local") -> Callable[[], None]:
    """What the numbers of a canary would ask for, at once."""

    def carried_out() -> None:
        with Rollouts(RolloutSettings().rollouts) as kept:
            for wish in wishes:
                ask(kept, component, wish, by="numbers", reason="enough seen", at_s=0)

    return carried_out


def test_what_is_trained_by_one_workflow_leads_by_the_other(ready: Shelf) -> None:
    ran = list(run_workflow("train.yml"))
    assert ran[-2:] == ["Train, sign, register", "What may it do?"]
    assert (len(ready.versions), ready.aliases) == (2, {"champion": 1})

    watch = {"rollout wait": moves(Move.ADVANCE, Move.PROMOTE)}
    ran = list(run_workflow("promote.yml", watch))
    assert ran[-2:] == ["Watch", "Promote to champion"]
    assert load_placed("parcels-kind", "champion", RegistrySettings()).ref.version == 2
    assert [(e.kind, e.body["alias"]) for e in read_log(RegistrySettings())][-2:] == [
        ("promotion", "canary"),
        ("promotion", "champion"),
    ]


def test_a_canary_that_is_worse_is_rolled_back_and_what_led_goes_on(ready: Shelf) -> None:
    list(run_workflow("train.yml"))
    ran = list(run_workflow("promote.yml", {"rollout wait": moves(Move.ADVANCE, Move.ROLL_BACK)}))
    assert ran[-2:] == ["Watch", "Roll back"]
    assert ready.aliases == {"champion": 1}
    assert read_log(RegistrySettings())[-1].kind == "withdrawal"
    with Rollouts(RolloutSettings().rollouts) as kept:
        assert kept.latest("parcels/local").state is State.ROLLED_BACK


def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a contract test fails, as when an endpoint answers otherwise than it did."""
    passed = contract_flow.test

    def broken(*given: Any) -> ContractReport:
        first, *rest = passed(*given).checks
        return report_of((first.model_copy(update={"passed": False}), *rest))

    monkeypatch.setattr(contract_flow, "test", broken)


def test_a_version_whose_contracts_fail_comes_before_no_gate_and_no_reviewer(
    ready: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(run_workflow("train.yml"))
    failing(monkeypatch)
    ran = list(run_workflow("promote.yml"))
    assert ran[-1].startswith("Contract tests of the version that is asked for")
    assert ready.aliases == {"champion": 1}


def test_a_canary_whose_contracts_fail_gets_no_request_and_is_withdrawn(
    ready: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(run_workflow("train.yml"))
    ran = list(run_workflow("promote.yml", {"registry promote": lambda: failing(monkeypatch)}))
    assert ran[-2:] == ["Contract tests of the copy that is placed, before it gets a request", "Roll back"]
    assert ready.aliases == {"champion": 1}


def test_a_shut_gate_ends_the_workflow_before_any_reviewer_is_asked(ready: Shelf) -> None:
    list(run_workflow("train.yml"))
    assert CliRunner().invoke(build(), ["registry", "freeze", "parcels", "--reason", "audit"]).exit_code == 0
    assert list(run_workflow("promote.yml"))[-1] == "Gate"
    assert ready.aliases == {"champion": 1}


def test_ci_runs_what_a_laptop_runs() -> None:
    (job,) = parsed("ci.yml")["jobs"].values()
    assert [line for step in job["steps"] for line in lines(step)] == [BY_NAME[1]]
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert {"make check", "make test"} <= set(script.read_text().splitlines())
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"setup", "check", "test"} <= targets


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_hold_no_more_rights_than_they_need_and_pin_what_they_run(file: Path) -> None:
    """zizmor and the schema, in `make check`, look for far more."""
    workflow = parsed(file.name)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
        for step in job["steps"]:
            if uses := step.get("uses"):
                assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", uses)
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
            assert "${{" not in step.get("run", "")
    assert "secrets." not in file.read_text()
