"""One step by its name, as DVC stages and `switchyard stage` run it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from feature_checks.datasets import Which
from feature_checks.usecase import UseCase, load_usecase
from flows.errors import StepError
from flows.params import Params, read_params
from flows.steps.files import build_dir


@dataclass(frozen=True, slots=True)
class Job:
    """What a step works on."""

    build: Path
    usecase: UseCase
    which: Which
    params: Params


def _fetch(job: Job) -> Mapping[str, Any]:
    return _step("fetch")(job.build, job.usecase, job.which)


def _plain(name: str) -> Callable[[Job], Mapping[str, Any]]:
    return lambda job: _step(name)(job.build, job.usecase)


def _fit(job: Job) -> Mapping[str, Any]:
    kind = job.usecase.local.kind if job.usecase.local else ""
    return _step("fit")(job.build, job.usecase, job.params.of_kind(kind), job.params.seed)


def _sign(job: Job) -> Mapping[str, Any]:
    from registry.settings import RegistrySettings

    return _step("sign")(job.build, RegistrySettings())


def _contract(job: Job) -> Mapping[str, Any]:
    from registry.settings import RegistrySettings

    return _step("contract")(job.build, job.usecase, RegistrySettings())


def _register(job: Job) -> Mapping[str, Any]:
    from registry.settings import RegistrySettings
    from registry.store import Registry

    settings = RegistrySettings()
    return _step("register")(job.build, job.usecase, settings, Registry(settings))


STAGES: Mapping[str, Callable[[Job], Mapping[str, Any]]] = {
    "fetch": _fetch,
    "check": _plain("check"),
    "prepare": _plain("prepare"),
    "fit": _fit,
    "evaluate": _plain("evaluate"),
    "calibrate": _plain("calibrate"),
    "contract": _contract,
    "package": _plain("package"),
    "sign": _sign,
    "register": _register,
}
"""In the order in which they run; flows/training.py is the same recipe as a Prefect flow."""

BESIDE: Mapping[str, Callable[[Job], Mapping[str, Any]]] = {"defer": _plain("defer")}
"""Reports that no model depends on."""


def run_stage(name: str, usecase_name: str, which: Which, root: Path | None = None) -> Mapping[str, Any]:
    """Run one step in the build folder of a use case. Raises `StepError` for a step that is not known."""
    known = {**STAGES, **BESIDE}
    if name not in known:
        raise StepError(f"no step '{name}'; steps in order: {', '.join(known)}")
    usecase = load_usecase(usecase_name)
    return known[name](Job(build_dir(usecase_name, which, root), usecase, which, read_params()))


def _step(name: str) -> Callable[..., Mapping[str, Any]]:
    """The function of a step; imported only now, since each brings other heavy libraries."""
    function: Callable[..., Mapping[str, Any]] = getattr(import_module(f"flows.steps.{name}"), name)
    return function
