"""Evidence and model card: what is known at signing time, complete and without surprises."""

import hashlib
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from registry.evidence import (
    CheckEvidence,
    DataEvidence,
    Evidence,
    model_card,
    statement,
    write_evidence,
)
from registry.records import Acceptance


def evidence(**changes: object) -> Evidence:
    known: dict[str, object] = {
        "use_case": "parcels",
        "model": "parcels-intent",
        "kind": "constant",
        "summary": "Where is my parcel?",
        "labels": ("lost", "late"),
        "data": (
            DataEvidence(role="train", sha256="a" * 64, rows=900, uri="https://example.org/train.csv"),
            DataEvidence(role="test", sha256="b" * 64, rows=100),
        ),
        "check": CheckEvidence(contract_version="0123456789ab", passed=True, checks=14),
        "params": {"C": 4.0, "ngrams": [1, 2]},
        "seed": 7,
        "metrics": {"accuracy": 0.93125},
        "slices": {"label=lost": {"recall": 0.9}},
        "acceptance": Acceptance(threshold=0.83, max_error=0.02, confidence=0.95, method="Clopper-Pearson"),
        "calibration": {"answered": 0.81},
        "code_commit": "c" * 40,
        "lock_sha256": "d" * 64,
        "mlflow_run_id": "run-1",
        **changes,
    }
    return Evidence.model_validate(known)


def test_the_statement_is_in_toto_with_slsa_provenance_and_names_every_input() -> None:
    made = statement(evidence(), {"model.onnx": "e" * 64})
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    assert made["subject"] == [{"name": "model.onnx", "digest": {"sha256": "e" * 64}}]
    build = made["predicate"]["buildDefinition"]
    assert build["externalParameters"] == {
        "use_case": "parcels",
        "params": {"C": 4.0, "ngrams": [1, 2]},
        "seed": 7,
    }
    digests = {item["name"]: item["digest"] for item in build["resolvedDependencies"]}
    assert digests == {
        "data/train": {"sha256": "a" * 64},
        "data/test": {"sha256": "b" * 64},
        "code": {"gitCommit": "c" * 40},
        "requirements.lock": {"sha256": "d" * 64},
    }


def test_the_statement_holds_checks_metrics_slices_calibration_and_run_ids() -> None:
    held = statement(evidence(prefect_run_id="p-1"), {})["predicate"]["switchyard_model"]
    assert held["check"] == {"contract_version": "0123456789ab", "passed": True, "checks": 14, "failed": []}
    assert held["metrics"] == {"accuracy": 0.93125}
    assert held["slices"] == {"label=lost": {"recall": 0.9}}
    assert held["calibration"] == {"answered": 0.81}
    assert (held["prefect_run_id"], held["mlflow_run_id"]) == ("p-1", "run-1")


def test_unknown_commit_lock_and_runs_are_left_out_or_null_and_never_invented() -> None:
    made = statement(evidence(code_commit=None, lock_sha256=None, mlflow_run_id=None), {})["predicate"]
    assert [d["name"] for d in made["buildDefinition"]["resolvedDependencies"]] == ["data/train", "data/test"]
    assert made["switchyard_model"]["mlflow_run_id"] is None
    assert "code | unknown" in model_card(evidence(code_commit=None))


def test_the_card_says_when_it_may_answer_how_good_it_is_and_what_it_learned_from() -> None:
    card = model_card(evidence(code_dirty=True))
    for said in (
        "# parcels-intent",
        "at least 0.83: then, with 95% confidence, at most 2.0% of its answers are wrong (Clopper-Pearson)",
        "| accuracy | 0.9313 |",
        "| label=lost | recall | 0.9000 |",
        f"| train | 900 | `{'a' * 64}` | https://example.org/train.csv |",
        "14 checks, passed",
        f"| code | {'c' * 40} with uncommitted changes |",
        "2: lost, late",
    ):
        assert said in card


def test_the_card_of_a_model_that_may_answer_nothing_says_so() -> None:
    bound = Acceptance(threshold=2.0, max_error=0.02, confidence=0.95, method="Clopper-Pearson")
    card = model_card(evidence(acceptance=bound))
    assert "Never by itself: no threshold keeps the promise that with 95% confidence, at most 2.0%" in card
    assert "at least 2" not in card


def test_a_failed_check_cannot_be_overlooked_in_the_card() -> None:
    failed = CheckEvidence(contract_version="1", passed=False, checks=14, failed=("no_duplicates",))
    assert "FAILED: no_duplicates" in model_card(evidence(check=failed))


def test_a_label_cannot_break_the_cards_tables() -> None:
    assert "a\\|b c" in model_card(evidence(labels=("a|b\nc",)))


def test_both_files_are_written_about_the_files_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")
    (tmp_path / "package.json").write_text("{}")
    assert write_evidence(tmp_path, evidence()) == ["evidence.json", "model_card.md"]
    first = (tmp_path / "evidence.json").read_bytes()
    assert json.loads(first)["subject"] == [
        {"name": "model.onnx", "digest": {"sha256": hashlib.sha256(b"model").hexdigest()}}
    ]
    write_evidence(tmp_path, evidence())
    assert (tmp_path / "evidence.json").read_bytes() == first


@pytest.mark.parametrize(
    "changes", [{"surprise": 1}, {"metrics": {"accuracy": float("nan")}}, {"data": ()}, {"use_case": "../x"}]
)
def test_evidence_with_unknown_missing_or_impossible_values_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        evidence(**changes)


def test_the_card_says_what_the_threshold_is_on_where_deferral_is_learned() -> None:
    assert "learned deferral" in model_card(evidence(calibration={"deferral": "learned"}))
    assert "learned deferral" not in model_card(evidence(calibration={"deferral": "confidence"}))
