"""contract: the three contracts of a model, tested before it is packaged; the report goes with it."""

from pathlib import Path
from typing import Any

from feature_checks.contract_cases import load_cases
from feature_checks.usecase import UseCase
from flows.contract.data import data_checks
from flows.contract.endpoints import endpoint_checks
from flows.contract.footprint import measure
from flows.contract.prediction import prediction_checks
from flows.contract.serving import serving_schema
from flows.contract.subject import Subject, of_build
from flows.steps.files import fresh, write_json
from registry.contract_tests import CONTRACT_TESTS, ContractReport, as_markdown, report_of
from registry.model_schema import ModelSchema
from registry.placing import PackageSource
from registry.settings import RegistrySettings


def contract(
    build: Path,
    usecase: UseCase,
    settings: RegistrySettings,
    source: PackageSource | None = None,
    figures: bool = False,
) -> dict[str, Any]:
    """Test what lies in the build folder; write contract/ and return the report as plain values.

    A failed check stops nothing here: it is signed with the rest, and keeps the version from leading.
    `figures` puts what was measured into the report; without, equal inputs give equal bytes.
    """
    report = tested(of_build(build, usecase), usecase, serving_schema(usecase, settings, source), figures)
    write_report(fresh(build / "contract"), report)
    return report.model_dump(mode="json")


def tested(subject: Subject, usecase: UseCase, serving: ModelSchema | None, figures: bool) -> ContractReport:
    """The report on one model, against the version that serves."""
    checks = (
        *data_checks(subject, usecase, load_cases(usecase)),
        *prediction_checks(subject, usecase, measure(subject), serving, figures),
        *endpoint_checks(usecase),
    )
    return report_of(checks)


def write_report(folder: Path, report: ContractReport) -> None:
    """contract-tests.json, and the same as a table."""
    write_json(folder / CONTRACT_TESTS, report.model_dump(mode="json"))
    (folder / "contract-tests.md").write_text(as_markdown(report), encoding="utf-8")
