"""The contract-test flow: a model that serves, or one that was just built, against its three contracts."""

from pathlib import Path
from typing import Any, Literal

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from feature_checks.datasets import default_cache_dir, load_labelled
from feature_checks.usecase import UseCase, load_usecase
from flows import artifacts
from flows.contract.serving import serving_schema
from flows.contract.subject import ROWS, Rows, of_build, of_package
from flows.errors import StepError
from flows.steps.contract import tested
from flows.steps.files import build_dir
from flows.steps.rows import inputs
from registry.contract_tests import ContractReport, as_markdown
from registry.packages import VerifiedPackage
from registry.placing import CHAMPION, bring, placed_package, placed_ref
from registry.quick_reads import QuickReads
from registry.settings import RegistrySettings

Build = Literal["sample", "full"]


@flow(name="contract-tests", flow_run_name="{usecase_name}", persist_result=False)
def contract_tests(
    usecase_name: str,
    alias: str = CHAMPION,
    build: Build | None = None,
    build_root: Path | None = None,
    version: int | None = None,
) -> dict[str, Any]:
    """Test what `alias` has placed on this machine, or with `build` what `switchyard train` left there, or
    `version` as it is registered, which is fetched and verified for that.

    Returns the report as plain values, and leaves it in Prefect as a table. Raises `StepError` without a
    local model, `ModelNotFound` and `PackageRefused` for a copy that is not there or not to be trusted.
    """
    usecase = load_usecase(usecase_name)
    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no `local:` section, so there is no model to test")
    report = test(usecase, alias, build_dir(usecase.name, build, build_root) if build else None, version)
    artifacts.publish_contract_report(as_markdown(report), usecase.name)
    tested = build or (f"version {version}" if version else alias)
    return {"usecase": usecase.name, "tested": tested, **report.model_dump(mode="json")}


@task(cache_policy=NO_CACHE, persist_result=False)
def test(usecase: UseCase, alias: str, build: Path | None, version: int | None) -> ContractReport:
    """The report on one model; see `contract_tests`."""
    settings = RegistrySettings()
    if build:
        subject = of_build(build, usecase)
    else:
        subject = of_package(_package(usecase, alias, version, settings), _rows(usecase))
    return tested(subject, usecase, serving_schema(usecase, settings), figures=True)


def _package(
    usecase: UseCase, alias: str, version: int | None, settings: RegistrySettings
) -> VerifiedPackage:
    assert usecase.local is not None  # the flow's own check
    name = usecase.local.model
    if version is None:
        return placed_package(placed_ref(name, alias, settings), settings, alias)
    registry = QuickReads(settings)
    return bring(registry.version(name, version), settings, registry, "candidate")


def _rows(usecase: UseCase) -> Rows:
    return inputs(load_labelled(usecase, "sample", default_cache_dir()).test.head(ROWS), usecase)
