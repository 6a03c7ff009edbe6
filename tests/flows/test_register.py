"""A new version leads only if it is not worse on the same rows, and loses no label."""

import json
from pathlib import Path
from typing import Any

import pytest

from feature_checks.promotion_spec import PromotionSpec
from feature_checks.usecase import UseCase
from flows.stages import run_stage
from flows.steps.package import package
from registry.loading import load_placed
from registry.log import read_log
from registry.settings import RegistrySettings
from tests.flows.shelf import publish, worsened


def test_the_first_version_is_champion_and_its_verified_copy_answers(
    built: Path, parcels: UseCase, shelf: Any
) -> None:
    found = publish(built, parcels, shelf)
    loaded = load_placed("parcels-kind", "champion", RegistrySettings())
    assert (found["version"], found["champion"], loaded.ref.digest) == (1, True, found["digest"])
    assert loaded.predictor.predict({"text": "it arrived in pieces"}).label == "broken"
    assert loaded.labels == ("broken", "late", "lost")


def test_a_worse_version_is_registered_without_an_alias_and_says_why(
    built: Path, parcels: UseCase, shelf: Any
) -> None:
    publish(built, parcels, shelf)
    worsened(built)
    found = publish(built, parcels, shelf)
    assert (found["version"], found["champion"]) == (2, False)
    assert "accepted answers are wrong, promised is" in found["reason"]
    assert "of accuracy, allowed is 0.02" in next(
        g["said"] for g in found["gates"] if g["name"] == "accuracy"
    )
    kinds = [(entry.kind, entry.body["version"]) for entry in read_log(RegistrySettings())]
    assert kinds == [("promotion", 1), ("refusal", 2)]
    assert shelf.aliases == {"champion": 1}
    assert load_placed("parcels-kind", "champion", RegistrySettings()).ref.version == 1


def test_a_better_version_takes_the_lead(built: Path, parcels: UseCase, shelf: Any) -> None:
    good = (built / "model" / "toy.json").read_bytes()
    worsened(built)
    publish(built, parcels, shelf)
    (built / "model" / "toy.json").write_bytes(good)
    run_stage("evaluate", "parcels", "sample")
    assert publish(built, parcels, shelf)["champion"] is True
    assert shelf.aliases == {"champion": 2}


def test_the_same_package_again_is_the_same_version(built: Path, parcels: UseCase, shelf: Any) -> None:
    first, second = publish(built, parcels, shelf), publish(built, parcels, shelf)
    assert (second["version"], second["champion"]) == (first["version"], True)
    assert len(shelf.versions) == 1


def test_a_champion_that_cannot_be_verified_leaves_the_gate_to_a_person(
    built: Path, parcels: UseCase, shelf: Any
) -> None:
    publish(built, parcels, shelf)
    (shelf.versions[0][0] / "toy.json").write_text("{}")
    for copy in (RegistrySettings().models_dir / "parcels-kind").glob("1-*/toy.json"):
        copy.chmod(0o644)
        copy.write_text("{}")
    worsened(built)
    found = publish(built, parcels, shelf)
    assert (found["champion"], shelf.aliases) == (False, {"champion": 1})
    assert "version 1 leads, and no copy of it can be verified here" in found["reason"]


def test_tags_say_on_which_rows_it_was_tested_and_how_it_did(
    built: Path, parcels: UseCase, shelf: Any
) -> None:
    publish(built, parcels, shelf)
    prepared = json.loads((built / "prepared" / "prepare.json").read_text())
    assert shelf.tags[1]["test_sha256"] == prepared["test"]["sha256"]
    assert float(shelf.tags[1]["accuracy"]) > 0.9


def test_the_package_holds_its_evidence_and_nothing_that_is_pickled(built: Path, parcels: UseCase) -> None:
    package(built, parcels)
    folder = built / "package"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "package.json", "toy.json", "calibration.json", "contract-tests.json", "evidence.json",
        "model_card.md",
        "plots/confusion.png", "plots/coverage.png", "reference.json", "reference.npz",
    }  # fmt: skip
    evidence = json.loads((folder / "evidence.json").read_text())["predicate"]
    sources = {d["name"]: d["digest"] for d in evidence["buildDefinition"]["resolvedDependencies"]}
    raw = json.loads((built / "raw" / "fetch.json").read_text())["files"][0]["sha256"]
    assert sources["data/sample-file"] == {"sha256": raw}
    assert evidence["switchyard_model"]["check"]["passed"] is True
    metrics = json.loads((built / "report" / "metrics.json").read_text())
    assert evidence["switchyard_model"]["metrics"]["local_error"] == metrics["local_error"]


def test_a_key_that_may_not_sign_for_champions_registers_a_version_that_does_not_lead(
    built: Path, parcels: UseCase, shelf: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "strict.yaml"
    policy.write_text("format_version: 1\nsigners: [{key: own, stages: [candidate]}]\n")
    monkeypatch.setenv("SWITCHYARD_TRUST", str(policy))
    found = publish(built, parcels, shelf)
    assert found["champion"] is False
    assert "may not sign for stage 'champion'" in found["reason"]
    assert shelf.aliases == {}


def test_a_frozen_use_case_promotes_nothing_and_the_log_says_so(
    built: Path, parcels: UseCase, shelf: Any
) -> None:
    frozen = parcels.model_copy(update={"promotion": PromotionSpec(freeze="end of year")})
    assert publish(built, frozen, shelf)["champion"] is False
    (entry,) = read_log(RegistrySettings())
    assert (entry.kind, shelf.aliases) == ("refusal", {})
    assert "end of year" in str(entry.body["gates"])
