"""package: everything that is served, and the evidence for it, in one folder that can be signed."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_checks.usecase import UseCase
from flows.contract.prediction import model_schema
from flows.errors import StepError
from flows.provenance import builder, code_state, lock_sha256
from flows.steps.files import fresh, need, read_json, write_json
from flows.steps.prepared_rows import FEATURES, TEST
from flows.steps.reference import keep_reference
from flows.steps.report import acceptance_of, report
from registry.contract_tests import CONTRACT_TESTS, parse_report
from registry.evidence import CheckEvidence, ContractEvidence, DataEvidence, Evidence, write_evidence
from registry.packages import MANIFEST, PackageManifest
from registry.runtimes.deferral import RULE


@dataclass(frozen=True, slots=True)
class RunIds:
    """The runs that a package comes from. All None in a DVC stage, so that equal inputs give equal bytes."""

    prefect: str | None = None
    mlflow: str | None = None
    started_at: str | None = None  # ISO 8601, UTC
    finished_at: str | None = None


def package(build: Path, usecase: UseCase, runs: RunIds | None = None) -> dict[str, Any]:
    """Write report/ and package/; returns the metrics. The package is complete but for its signature."""
    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no local model to package")
    metrics = report(build, usecase)
    fitted = read_json(build / "fit" / "fit.json", "fit")
    folder = fresh(build / "package")
    for name in fitted["files"]:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(need(build / "model" / name, "fit"), target)
    shutil.copyfile(
        need(build / "calibration" / "calibration.json", "calibrate"), folder / "calibration.json"
    )
    shutil.copyfile(need(build / "contract" / CONTRACT_TESTS, "contract"), folder / CONTRACT_TESTS)
    (folder / "plots").mkdir()
    for made in (build / "evaluation" / "confusion.png", build / "report" / "coverage.png"):
        shutil.copyfile(need(made, "evaluate"), folder / "plots" / made.name)
    keep_reference(build, usecase, folder)
    write_evidence(folder, _evidence(build, usecase, metrics, runs or RunIds()))
    manifest = PackageManifest(
        format_version=2 if RULE in fitted["files"] else 1,
        name=usecase.local.model,
        kind=usecase.local.kind,
        labels=tuple(fitted["labels"]),
        inputs=tuple(usecase.model_inputs),
        acceptance=acceptance_of(build),
        contract_version=usecase.version,
        files=tuple(fitted["files"]),
    )
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    return metrics


def _evidence(build: Path, usecase: UseCase, metrics: dict[str, Any], runs: RunIds) -> Evidence:
    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no local model")
    fitted = read_json(build / "fit" / "fit.json", "fit")
    checked = read_json(build / "checked" / "check.json", "check")
    evaluation = read_json(build / "evaluation" / "evaluation.json", "evaluate")
    commit, dirty = code_state()
    return Evidence(
        use_case=usecase.name,
        model=usecase.local.model,
        kind=usecase.local.kind,
        summary=usecase.summary,
        labels=tuple(fitted["labels"]),
        data=tuple(_data(build)),
        check=CheckEvidence(
            contract_version=checked["contract_version"],
            passed=checked["passed"],
            checks=len(checked["results"]),
            failed=tuple(r["check"] for r in checked["results"] if not r["passed"]),
        ),
        params=fitted["params"],
        seed=fitted["seed"],
        metrics={name: float(value) for name, value in metrics.items()},
        slices={
            f"{usecase.label}={label}": {name: float(value) for name, value in scores.items()}
            for label, scores in evaluation["labels"].items()
        },
        acceptance=acceptance_of(build),
        calibration=read_json(build / "calibration" / "calibration.json", "calibrate"),
        parity=fitted["parity"],
        contract_tests=_contract_tests(build),
        model_schema=model_schema(usecase, tuple(fitted["labels"])),
        builder=builder(),
        code_commit=commit,
        code_dirty=dirty,
        lock_sha256=lock_sha256(),
        prefect_run_id=runs.prefect,
        mlflow_run_id=runs.mlflow,
        started_at=runs.started_at,
        finished_at=runs.finished_at,
    )


def _contract_tests(build: Path) -> ContractEvidence:
    raw = need(build / "contract" / CONTRACT_TESTS, "contract").read_bytes()
    report = parse_report(raw)
    return ContractEvidence(
        file=CONTRACT_TESTS,
        sha256=hashlib.sha256(raw).hexdigest(),
        passed=report.passed,
        checks=len(report.checks),
        failed=tuple(check.name for check in report.failed),
    )


def _data(build: Path) -> list[DataEvidence]:
    """The prepared rows, and the files from which they come with the rows that were read from each."""
    prepared = read_json(build / "prepared" / "prepare.json", "prepare")
    fetched = read_json(build / "raw" / "fetch.json", "fetch")
    rows = [
        DataEvidence(role=part, sha256=prepared[part]["sha256"], rows=prepared[part]["rows"])
        for part in ("train", "test", "outside")
    ]
    if "features_sha256" in (test := prepared[TEST]):
        rows.append(DataEvidence(role=FEATURES, sha256=test["features_sha256"], rows=test["rows"]))
    counts = read_json(build / "checked" / "check.json", "check")["counts"]
    added = sum(one.get("rows", 0) for one in fetched["files"] if one["role"] == "added")
    counts = {**counts, "train": counts.get("train", 0) - added}  # the gate counts them together
    if fetched["data"] == "sample":
        counts = {**counts, "sample": sum(counts.values())}
    else:
        # Of a table of events this counts the rows that were checked; the others are history.
        counts = {**counts, "sample": counts.get("outside", 0), "table": counts["train"] + counts["test"]}
    counts["added"] = added
    files = [
        DataEvidence(
            role=f"{entry['role']}-file",
            sha256=entry["sha256"],
            rows=counts[entry["role"]],
            dvc_md5=entry["md5"],
            uri=entry["uri"],
        )
        for entry in fetched["files"]
    ]
    return rows + files
