"""`switchyard rollout`: what a person and a script see, and the exit code."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from registry import store, versions
from registry.records import ModelRef, RegisteredVersion
from registry.rollout_errors import RolloutNotFound, RolloutRefused
from switchyard.cli import build
from tests.registry.conftest import NAME, write_package

LABELS = {9: ("card", "loan"), 8: ("loan", "card", "cash"), 7: ("cash", "card", "loan")}


def _version(number: int, *aliases: str, key: str = "k" * 16) -> RegisteredVersion:
    ref = ModelRef(NAME, number, "d" * 64)
    return RegisteredVersion(ref, aliases, key, "desk", "constant", "2026-01-01")


class Listing:
    """What of `store.Registry` is needed."""

    def list_models(self) -> list[RegisteredVersion]:
        return [_version(9), _version(8), _version(7, "champion"), _version(6, key="")]

    def download(self, ref: ModelRef, to: Path) -> Path:
        return write_package(to / "package", ref.name, labels=LABELS[ref.version])


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SWITCHYARD_HOME", str(tmp_path))
    monkeypatch.delenv("SWITCHYARD_DATABASE_URL", raising=False)
    monkeypatch.setattr(store, "Registry", lambda settings: Listing())
    monkeypatch.setattr(versions, "place_version", lambda ref, settings, source: ref)


def run(*words: str) -> Result:
    return CliRunner().invoke(build(), ["rollout", *words])


def said(*words: str) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_rollout_is_started_moved_on_and_ended_by_commands() -> None:
    begun = said("start", "desk/local", "--candidate", "8")
    assert (begun["stable"], begun["candidate"], begun["state"]) == ("7", "8", "shadow")
    assert said("promote", "desk/local")["weight_percent"] == 5
    assert [one["component"] for one in said("status")] == ["desk/local"]
    ended = said("promote", "desk/local", "--full", "--reason", "reviewed")
    assert (ended["state"], ended["weight_percent"]) == ("promoted", 100)
    assert [r["move"] for r in ended["records"]] == ["start", "advance", "promote"]
    assert ended["records"][-1]["reason"] == "reviewed"
    assert said("status") == []


def test_an_abort_may_be_repeated_and_people_can_read_it() -> None:
    said("start", "desk/local", "--candidate", "8")
    first = run("abort", "desk/local", "--reason", "complaints")
    assert first.exit_code == 0
    assert "7 -> 8, aborted" in first.stdout
    assert "complaints" in first.stdout
    assert run("abort", "desk/local").stdout == first.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--candidate", "7"), "nothing to roll out"),
        (("--candidate", "12"), "no such version"),
        (("--candidate", "6"), "no such version"),  # unsigned
        (("--candidate", "9"), "output contract"),
        (("--candidate", "8", "--steps", "50,5,100"), "ascend"),
        (("--candidate", "8", "--steps", "five"), "percentages"),
    ],
)
def test_a_rollout_that_makes_no_sense_fails_and_keeps_nothing(words: tuple[str, ...], expected: str) -> None:
    result = run("start", "desk/local", *words)
    assert result.exit_code == 1
    assert isinstance(result.exception, RolloutRefused)
    assert expected in str(result.exception)
    assert said("status") == []


def test_a_second_rollout_of_a_component_is_refused() -> None:
    said("start", "desk/local", "--candidate", "8")
    again = run("start", "desk/local", "--candidate", "8")
    assert "has one already" in str(again.exception)


def test_components_that_there_are_not_are_refused() -> None:
    assert "expected <usecase>/local" in str(run("start", "desk/rules", "--candidate", "8").exception)
    assert "--candidate N" in str(run("start", "desk/local").exception)
    assert isinstance(run("abort", "desk/cloud").exception, RolloutNotFound)


@pytest.mark.parametrize("command", ["start", "status", "promote", "resume", "abort"])
def test_each_command_shows_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Example: switchyard rollout {command}" in result.stdout
