"""The training flow: from a use case's data to a signed, registered and placed champion.

fetch -> check -> prepare -> fit -> evaluate -> calibrate -> contract -> package -> sign -> register

Each task is the plain function of the same name in flows/steps/, which `dvc.yaml` calls as well. What
they make are files in the build folder, so Prefect stores no results.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task, flow
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from feature_checks.datasets import Which
from feature_checks.usecase import UseCase, load_usecase
from flows import artifacts, reuse
from flows.errors import StepError
from flows.params import Params, read_params
from flows.progress import StepEvent, tell, timed
from flows.steps import calibrate as calibrate_step
from flows.steps import check as check_step
from flows.steps import contract as contract_step
from flows.steps import evaluate as evaluate_step
from flows.steps import fetch as fetch_step
from flows.steps import fit as fit_step
from flows.steps import package as package_step
from flows.steps import prepare as prepare_step
from flows.steps import register as register_step
from flows.steps import sign as sign_step
from flows.steps.files import build_dir, locked
from flows.steps.package import RunIds
from flows.surroundings import require_mlflow
from registry.errors import RegistryError
from registry.settings import RegistrySettings
from registry.store import Registry

P = ParamSpec("P")
R = TypeVar("R")


def as_task(function: Callable[P, R]) -> Task[P, R]:
    """A Prefect task of one step, which also tells how long it took."""

    @wraps(function)
    def step(*args: P.args, **kwargs: P.kwargs) -> R:
        with timed(function.__name__):
            return function(*args, **kwargs)

    return Task(step, name=function.__name__, cache_policy=NO_CACHE, persist_result=False)


fetch = as_task(fetch_step.fetch)
check = as_task(check_step.check)
prepare = as_task(prepare_step.prepare)
fit = as_task(fit_step.fit)
evaluate = as_task(evaluate_step.evaluate)
calibrate = as_task(calibrate_step.calibrate)
contract = as_task(contract_step.contract)
package = as_task(package_step.package)
sign = as_task(sign_step.sign)
register = as_task(register_step.register)


@flow(name="training", flow_run_name="{usecase_name}-{data}", persist_result=False)
def training(
    usecase_name: str, data: Which, build_root: Path | None = None, go_on: bool = False, hold: bool = False
) -> dict[str, Any]:
    """Train one use case's local model; returns metrics and what was registered, as plain values.

    `go_on` skips the steps that an earlier run of exactly the same inputs finished; `hold` promotes nothing.
    Raises `CheckFailed` for data that is not fit to use, and the errors of the steps.
    """
    usecase = load_usecase(usecase_name)
    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no `local:` section, so there is no model to train")
    params = read_params()
    settings = RegistrySettings()
    registry = Registry(settings)
    require_mlflow(settings)
    build = build_dir(usecase.name, data, build_root)
    started_at = _now()
    with locked(build):
        run = Reusable(build, usecase, data, params, go_on)
        run(fetch, build, usecase, data)
        try:
            run(check, build, usecase)
        finally:
            artifacts.publish_data_check(build, usecase.name)
        run(prepare, build, usecase)
        run(fit, build, usecase, params.of_kind(usecase.local.kind), params.seed)
        run(evaluate, build, usecase)
        artifacts.publish_evaluation(build, usecase.name)
        run(calibrate, build, usecase)
        contract(build, usecase, settings, registry, figures=True)
        artifacts.publish_contract_tests(build, usecase.name)

        # Opened before anything is signed, so that the signed evidence can name it.
        run_id = register_step.open_run(
            usecase, params.of_kind(usecase.local.kind), params.seed, data, registry
        )
        try:
            metrics = package(build, usecase, RunIds(str(flow_run.id), run_id, started_at, _now()))
            artifacts.publish_metrics(build, usecase.name, metrics)
            sign(build, settings)
            registered = register(build, usecase, settings, registry, run_id, hold)
        except BaseException:
            with suppress(RegistryError):  # what went wrong first is what counts
                registry.end_run(run_id, failed=True)
            raise
    artifacts.publish_registered(usecase.name, registered)
    return {
        "usecase": usecase.name,
        "data": data,
        "metrics": metrics,
        "registered": registered,
        "prefect_run_id": str(flow_run.id),
    }


class Reusable:
    """Runs a step, unless an earlier run finished it and nothing that shapes it has changed."""

    def __init__(self, build: Path, usecase: UseCase, data: Which, params: Params, go_on: bool) -> None:
        self._build = build
        self._wanted = reuse.fingerprint(usecase, data, params)
        self._held = reuse.finished(build, self._wanted) if go_on else []

    def __call__(self, step: Task[P, R], *args: P.args, **kwargs: P.kwargs) -> None:
        if step.name in self._held:
            tell(StepEvent(step.name, "reused"))
            return
        step(*args, **kwargs)
        reuse.note(self._build, step.name, self._wanted)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
