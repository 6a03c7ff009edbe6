"""What `switchyard train` and `switchyard stage` say to their user."""

import io
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from feature_checks.usecase import UseCase
from flows import cli
from flows.errors import FlowError, StepError
from flows.progress import StepEvent, listening, tell, timed
from flows.surroundings import prefect_api
from flows.train_command import StepLines, _show


def call(*words: str) -> tuple[int, str]:
    root = typer.Typer(rich_markup_mode=None)
    cli.commands(root)
    done = CliRunner().invoke(root, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_each_step_has_a_line_with_its_place_and_its_outcome() -> None:
    said = io.StringIO()
    with listening(StepLines(Console(file=said, width=80))):
        tell(StepEvent("fetch", "reused"))
        with timed("check"):
            pass
        with pytest.raises(StepError), timed("prepare"):
            raise StepError("no rows")
        with pytest.raises(KeyboardInterrupt), timed("fit"):
            raise KeyboardInterrupt
    lines = [line.split() for line in said.getvalue().splitlines()]
    assert lines[0] == ["[1/10]", "fetch", "unchanged"]
    assert lines[1] == ["[2/10]", "check", "0.0", "s"]
    assert lines[2] == ["[3/10]", "prepare", "FAILED"]
    assert lines[3] == ["[4/10]", "fit", "stopped"]


def shown(usecase: UseCase, champion: bool, threshold: float) -> str:
    said = io.StringIO()
    metrics = {
        "accuracy": 0.93, "macro_f1": 0.92, "local_coverage": 0.8, "local_error": 0.018,
        "threshold": threshold, "outside_accept_share": 0.05, "test_rows": 3080, "outside_rows": 160,
    }  # fmt: skip
    registered = {
        "name": "parcels-kind",
        "version": 3,
        "champion": champion,
        "reason": "accuracy was measured",
    }
    outcome = {
        "usecase": "parcels",
        "data": "full",
        "seconds": 12.0,
        "metrics": metrics,
        "registered": registered,
    }
    _show(outcome, usecase, Console(file=said, width=200))
    return said.getvalue()


def test_the_outcome_names_the_promise_beside_what_was_measured(parcels: UseCase) -> None:
    said = shown(parcels, True, 0.83)
    for part in ("93.00%", "80.0%", "1.8%", "at most 20.0% with 90% confidence", "confidence 0.830 or more"):
        assert part in said
    assert "parcels-kind version 3 is champion" in said
    assert "Next: bentoml serve services.orchestrator:Orchestrator" in said


def test_a_version_that_does_not_lead_says_why_and_what_next(parcels: UseCase) -> None:
    said = shown(parcels, False, 0.83)
    assert "registered and not champion: accuracy was measured" in said
    assert "Next: switchyard registry list" in said


def test_a_threshold_that_nothing_reaches_is_said_in_words(parcels: UseCase) -> None:
    assert "nothing: too few or too uncertain rows to keep the promise" in shown(parcels, True, 2.0)


def test_stage_runs_one_step(parcels: UseCase) -> None:
    code, said = call("stage", "fetch", "parcels")
    assert (code, said) == (0, "fetch: done, see build/parcels/sample/\n")
    assert Path("build/parcels/sample/raw/fetch.json").exists()


@pytest.mark.parametrize("command", ["train", "stage", "demo", "up"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    code, said = call(command, "--help")
    assert (code, f"Example: switchyard {command}" in said) == (0, True)


def test_a_prefect_server_that_is_named_and_does_not_answer_is_said_at_once(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(FlowError, match="PREFECT_API_URL does not answer"), prefect_api(place):
        pass
