"""`switchyard usecase` and `switchyard checks`, as a user calls them."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from feature_checks import cli
from feature_checks.errors import CheckFailed, UseCaseError
from feature_checks.usecase import load_usecase
from tests.toy import text_rows, write_number_usecase, write_text_usecase


def call(*words: str) -> tuple[int, str]:
    """(exit code, all output); our own errors come through, as the console script gets them."""
    root = typer.Typer(rich_markup_mode=None)
    cli.commands(root)
    done = CliRunner().invoke(root, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_check_says_that_a_good_folder_is_good(usecases: Path) -> None:
    write_text_usecase(usecases)
    code, said = call("usecase", "check", "parcels")
    assert (code, "parcels: good, version" in said) == (0, True)


def test_check_without_a_name_checks_all_and_fails_if_one_is_broken(usecases: Path) -> None:
    write_text_usecase(usecases)
    (write_number_usecase(usecases) / "labels.txt").unlink()
    code, said = call("usecase", "check")
    assert code == 1
    assert "parcels: good" in said
    assert "sums: " in said
    assert "sums/usecase.yaml: output.verdict.values: there is no file 'labels.txt'" in said


def test_check_of_an_empty_folder_fails(usecases: Path) -> None:
    with pytest.raises(UseCaseError, match="no use case here"):
        call("usecase", "check")


def test_list_names_every_use_case_and_marks_broken_ones(usecases: Path) -> None:
    write_text_usecase(usecases)
    assert json.loads(call("usecase", "list", "--json")[1])[0]["model"] == "parcels-kind"
    (usecases / "parcels" / "labels.txt").unlink()
    code, said = call("usecase", "list")
    assert (code, "there is no file 'labels.txt'" in said) == (1, True)


def test_new_copies_a_folder_and_gives_it_and_its_model_names_of_their_own(usecases: Path) -> None:
    write_text_usecase(usecases)
    code, _ = call("usecase", "new", "letters", "--from", "parcels")
    made = load_usecase("letters")
    assert code == 0
    assert made.local
    assert made.local.model == "letters-kind"
    assert (made.root / "data" / "rows.csv").read_bytes() == (
        usecases / "parcels" / "data" / "rows.csv"
    ).read_bytes()


def test_new_overwrites_nothing(usecases: Path) -> None:
    write_text_usecase(usecases)
    (usecases / "letters").mkdir()
    (usecases / "letters" / "mine.txt").write_text("mine")
    with pytest.raises(UseCaseError, match="usecases/letters is there already"):
        call("usecase", "new", "letters", "--from", "parcels")
    assert [path.name for path in (usecases / "letters").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["../out", "Letters", "a b", "9lives", "x" * 65])
def test_new_refuses_a_name_that_is_no_name_and_leaves_nothing(usecases: Path, name: str) -> None:
    write_text_usecase(usecases)
    with pytest.raises(UseCaseError, match="starts with a lower-case letter"):
        call("usecase", "new", name, "--from", "parcels")
    assert [path.name for path in usecases.iterdir()] == ["parcels"]


def test_new_from_a_use_case_that_is_not_there_is_refused(usecases: Path) -> None:
    with pytest.raises(UseCaseError, match="no such use case"):
        call("usecase", "new", "letters", "--from", "parcels")


def test_new_leaves_nothing_when_the_copy_would_not_be_valid(usecases: Path) -> None:
    root = write_text_usecase(usecases)
    text = (root / "usecase.yaml").read_text()
    (root / "usecase.yaml").write_text(text.replace("model: parcels-kind", "model: &m parcels-kind"))
    with pytest.raises(UseCaseError, match=r"local.model"):
        call("usecase", "new", "letters", "--from", "parcels")
    assert [path.name for path in usecases.iterdir()] == ["parcels"]


def test_checks_run_reports_good_data(usecases: Path) -> None:
    write_text_usecase(usecases)
    code, said = call("checks", "run", "parcels")
    assert (code, "sample data is fit to use" in said) == (0, True)


def test_checks_run_fails_with_the_list_and_in_json_with_the_report(usecases: Path) -> None:
    write_text_usecase(usecases, rows=[*text_rows(), ("", "lost")])
    with pytest.raises(CheckFailed, match="text is not empty, every row: line 68"):
        call("checks", "run", "parcels")
    code, said = call("checks", "run", "parcels", "--json")
    report = json.loads(said)
    assert (code, report["passed"]) == (1, False)
    assert [r["rows"] for r in report["results"] if not r["passed"]] == [[68]]


@pytest.mark.parametrize("command", ["usecase check", "usecase list", "usecase new", "checks run"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    code, said = call(*command.split(), "--help")
    assert (code, f"Example: switchyard {command}" in said) == (0, True)
