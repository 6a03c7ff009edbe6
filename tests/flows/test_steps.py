"""Each step reads and writes plain files, and works for text and for numbers alike."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feature_checks.datasets import load_labelled
from feature_checks.errors import CheckFailed
from feature_checks.usecase import UseCase, load_usecase
from flows.errors import StepError
from flows.stages import STAGES, run_stage
from flows.steps.files import locked, read_json, write_json
from tests.toy import text_rows, write_text_usecase


def run(usecase: UseCase, upto: str) -> Path:
    """Run every step as far as `upto`; returns the build folder."""
    for name in STAGES:
        run_stage(name, usecase.name, "sample")
        if name == upto:
            break
    return Path("build") / usecase.name / "sample"


def test_fetch_copies_the_file_byte_for_byte_and_notes_its_hash(parcels: UseCase) -> None:
    build = run(parcels, "fetch")
    listed = json.loads((build / "raw" / "fetch.json").read_text())
    copy = build / "raw" / listed["files"][0]["file"]
    assert copy.read_bytes() == parcels.path("data/rows.csv").read_bytes()
    assert listed["files"][0]["role"] == "sample"


def test_a_step_without_what_it_needs_says_which_step_makes_it(parcels: UseCase) -> None:
    with pytest.raises(StepError, match=r"raw/fetch.json is missing; run step 'fetch' first"):
        run_stage("check", "parcels", "sample")


def test_check_writes_the_report_also_when_it_stops_the_flow(place: Path, toy_kind: None) -> None:
    write_text_usecase(place / "usecases", rows=[*text_rows(), ("", "lost")])
    run_stage("fetch", "parcels", "sample")
    with pytest.raises(CheckFailed, match="line 68"):
        run_stage("check", "parcels", "sample")
    folder = Path("build/parcels/sample/checked")
    assert json.loads((folder / "check.json").read_text())["passed"] is False
    assert "not fit to use" in (folder / "check.md").read_text()
    with pytest.raises(StepError, match="did not pass step 'check'"):
        run_stage("prepare", "parcels", "sample")


def test_prepare_keeps_the_rows_of_a_replay_and_names_those_left_out(place: Path, toy_kind: None) -> None:
    again = str(text_rows()[0][0]).upper()
    write_text_usecase(place / "usecases", rows=[*text_rows(), (again, "lost")])
    usecase = load_usecase("parcels")
    build = run(usecase, "prepare")
    replay = load_labelled(usecase, "sample", place / "cache")
    for part in ("train", "test", "outside"):
        prepared = pd.read_parquet(build / "prepared" / f"{part}.parquet")
        assert prepared.to_numpy().tolist() == getattr(replay, part).to_numpy().tolist()
    left_out = read_json(build / "prepared" / "prepare.json", "prepare")["left_out"]
    test = pd.read_parquet(build / "prepared" / "test.parquet")
    # Copies of a text are never parted, so either both are test rows or the second is left out.
    in_test = again.lower() in set(test["text"].str.lower())
    assert left_out == {"repeats_test": [], "repeats_train": [] if in_test else [68]}


def test_fit_leaves_cross_fitted_probabilities_for_every_training_row(parcels: UseCase) -> None:
    build = run(parcels, "fit")
    with np.load(build / "fit" / "oof.npz", allow_pickle=False) as arrays:
        assert arrays["probabilities"].shape == (48, 3)
        assert arrays["truth"].shape == (48,)
        np.testing.assert_allclose(arrays["probabilities"].sum(axis=1), 1)
    assert read_json(build / "fit" / "fit.json", "fit")["parity"]["max_abs_difference"] <= 1e-4


def test_a_model_that_was_exported_wrongly_is_refused(parcels: UseCase) -> None:
    run(parcels, "prepare")
    Path("params.yaml").write_text("kinds: {toy: {BREAK_EXPORT: true}}\n")
    with pytest.raises(StepError, match="exported and original model differ by"):
        run_stage("fit", "parcels", "sample")


def test_an_unknown_kind_is_refused_with_those_that_are_known(place: Path) -> None:
    write_text_usecase(place / "usecases")
    run(load_usecase("parcels"), "prepare")
    with pytest.raises(
        StepError, match="kind 'toy' is not known; expected one of tabular_classifier, text_classifier"
    ):
        run_stage("fit", "parcels", "sample")


@pytest.mark.parametrize("name", ["parcels", "sums"])
def test_evaluate_runs_the_exported_model_on_every_test_and_outside_row(
    name: str, request: pytest.FixtureRequest
) -> None:
    usecase: UseCase = request.getfixturevalue(name)
    build = run(usecase, "evaluate")
    found = read_json(build / "evaluation" / "evaluation.json", "evaluate")
    with np.load(build / "evaluation" / "predictions.npz", allow_pickle=False) as arrays:
        right = arrays["test_probabilities"].argmax(axis=1) == arrays["test_truth"]
        assert found["accuracy"] == right.mean() > 0.9
        assert len(arrays["outside_probabilities"]) == found["outside_rows"]
    with (build / "evaluation" / "confusion.csv").open() as file:
        assert len(list(csv.DictReader(file))) == found["test_rows"]
    assert (build / "evaluation" / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_inputs_give_the_same_bytes(parcels: UseCase) -> None:
    def bytes_of(build: Path) -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in sorted(build.rglob("*")) if p.is_file()}

    first = bytes_of(run(parcels, "package"))
    assert bytes_of(run(parcels, "package")) == first


def test_an_unknown_step_is_refused_with_the_steps_in_order(parcels: UseCase) -> None:
    with pytest.raises(StepError, match="steps in order: fetch, check, prepare, fit, evaluate, calibrate"):
        run_stage("bake", "parcels", "sample")


def test_what_a_step_wrote_is_refused_when_it_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(StepError, match=r"a.json of step 'fit' is not JSON; run that step again"):
        read_json(tmp_path / "a.json", "fit")


def test_a_number_that_is_none_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"error": float("nan")})


def test_two_trainings_do_not_share_a_build_folder(tmp_path: Path) -> None:
    again = pytest.raises(StepError, match="another training works in")
    with locked(tmp_path / "build"), again, locked(tmp_path / "build"):
        pass
    with locked(tmp_path / "build"):
        pass
