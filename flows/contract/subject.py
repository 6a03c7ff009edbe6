"""What contract tests look at: a model that was just exported here, or a verified copy that is placed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.steps.files import read_json
from flows.steps.local_build import build_manifest, open_exported
from flows.steps.report import acceptance_of
from flows.steps.rows import inputs, read_rows
from registry.evidence import STATEMENT
from registry.packages import VerifiedPackage
from registry.records import Acceptance
from registry.runtimes import Predictor, open_predictor

ROWS = 500

Rows = Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class Subject:
    """A model with what is known of it. `rows` are inputs that it should handle; `data_check` and `parity`
    are what the steps of its training reported (None when nothing did)."""

    predictor: Predictor
    kind: str
    inputs: tuple[str, ...]
    files: tuple[str, ...]
    folder: Path
    manifest: Mapping[str, Any]
    acceptance: Acceptance
    rows: Rows
    data_check: Mapping[str, Any] | None
    parity: Mapping[str, Any] | None


def of_build(build: Path, usecase: UseCase) -> Subject:
    """The model of a build folder, up to step `calibrate`."""
    fitted = read_json(build / "fit" / "fit.json", "fit")
    checked = read_json(build / "checked" / "check.json", "check")
    manifest = build_manifest(usecase, fitted["labels"], fitted["files"])
    return Subject(
        predictor=open_exported(build / "model", usecase, fitted["labels"], fitted["files"]),
        kind=manifest.kind,
        inputs=manifest.inputs,
        files=manifest.files,
        folder=build / "model",
        manifest=manifest.model_dump(mode="json"),
        acceptance=acceptance_of(build),
        rows=inputs(read_rows(build, "test").head(ROWS), usecase),
        data_check={"passed": checked["passed"], "checks": len(checked["results"])},
        parity=fitted["parity"],
    )


def of_package(package: VerifiedPackage, rows: Rows) -> Subject:
    """A verified copy: what its training reported is read from its signed evidence."""
    if STATEMENT not in package.files:
        raise StepError(f"'{package.manifest.name}' holds no {STATEMENT}; train it again")
    said = json.loads(package.read(STATEMENT)).get("predicate", {}).get("switchyard_model", {})
    return Subject(
        predictor=open_predictor(package),
        kind=package.manifest.kind,
        inputs=package.manifest.inputs,
        files=package.manifest.files,
        folder=package.root,
        manifest=package.manifest.model_dump(mode="json"),
        acceptance=package.manifest.acceptance,
        rows=rows,
        data_check=said.get("check"),
        parity=said.get("parity"),
    )
