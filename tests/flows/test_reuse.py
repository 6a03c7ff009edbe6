"""`--reuse` skips a step only when everything that shapes it is unchanged."""

from collections.abc import Callable
from pathlib import Path

import pytest

from feature_checks.usecase import UseCase, load_usecase
from flows.params import Params
from flows.reuse import REUSABLE, fingerprint, finished, note
from tests.toy import text_rows, write_csv

BUILD = Path("build")


def leave(step: str) -> None:
    for path in REUSABLE[step]:
        (BUILD / path).parent.mkdir(parents=True, exist_ok=True)
        (BUILD / path).touch()


def all_done(wanted: str) -> None:
    for step in REUSABLE:
        leave(step)
        note(BUILD, step, wanted)


def test_steps_hold_in_order_as_far_as_they_were_finished(place: Path) -> None:
    for step in ("fetch", "check"):
        leave(step)
        note(BUILD, step, "x")
    assert finished(BUILD, "x") == ["fetch", "check"]


def test_nothing_holds_when_what_shapes_it_changed(place: Path) -> None:
    all_done("x")
    assert finished(BUILD, "y") == []


def test_a_step_whose_files_are_gone_does_not_hold_nor_what_came_after_it(place: Path) -> None:
    all_done("x")
    (BUILD / "prepared/prepare.json").unlink()
    assert finished(BUILD, "x") == ["fetch", "check"]


def test_a_step_that_ran_again_ends_what_came_after_it(place: Path) -> None:
    all_done("x")
    note(BUILD, "check", "x")
    assert finished(BUILD, "x") == ["fetch", "check"]


def test_damaged_notes_mean_that_nothing_holds(place: Path) -> None:
    all_done("x")
    (BUILD / "steps.json").write_text("{")
    assert finished(BUILD, "x") == []


def new_row(usecase: UseCase) -> None:
    write_csv(usecase.path("data/rows.csv"), [*text_rows(), ("one more", "lost")])


def new_policy(usecase: UseCase) -> None:
    usecase.path("policy.cedar").write_text("forbid (principal, action, resource);\n")


@pytest.mark.parametrize("change", [new_row, new_policy])
def test_a_change_of_the_use_case_or_its_data_changes_the_fingerprint(
    parcels: UseCase, change: Callable[[UseCase], None]
) -> None:
    before = fingerprint(parcels, "sample", Params())
    change(parcels)
    assert fingerprint(load_usecase("parcels"), "sample", Params()) != before


def test_parameters_change_the_fingerprint_and_the_list_of_use_cases_does_not(parcels: UseCase) -> None:
    before = fingerprint(parcels, "sample", Params())
    assert fingerprint(parcels, "sample", Params(seed=8)) != before
    assert fingerprint(parcels, "sample", Params(kinds={"toy": {"a": 1}})) != before
    assert fingerprint(parcels, "sample", Params.model_validate({"pipeline": {"usecases": ["x"]}})) == before
