"""register: the signed package becomes a version in MLflow, champion if it may, and is placed here."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.promotion import CHAMPION, champion_of, judge
from flows.steps.files import fresh, need, read_json, write_json
from flows.steps.fit import kind_module
from registry.placing import bring, place
from registry.promoting import meant, promote, promoting, who
from registry.settings import RegistrySettings
from registry.store import Registry


def open_run(usecase: UseCase, params: Mapping[str, Any], seed: int, which: str, registry: Registry) -> str:
    """Open the MLflow run whose id goes into the evidence, with every setting; returns the id."""
    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no local model to register")
    kind = usecase.local.kind
    flat = {"kind": kind, "data": which, "seed": seed, **kind_module(kind).settings(params)}
    return registry.start_run(usecase.name, f"{usecase.name}-{which}", flat)


def register(
    build: Path,
    usecase: UseCase,
    settings: RegistrySettings,
    registry: Registry,
    run_id: str | None = None,
    hold: bool = False,
) -> dict[str, Any]:
    """Register signed/, move `champion` if the rule of promotion says so, and place it; write registered/.
    With `hold` nothing is judged and no alias moves.

    The alias moves last, so that a crash before leaves what serves as it was, and the same package
    registered again is the same version. Raises `RegistryError`.
    """
    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no local model to register")
    name = usecase.local.model
    signed = need(build / "signed", "sign")
    metrics = read_json(build / "report" / "metrics.json", "package")
    prepared = read_json(build / "prepared" / "prepare.json", "prepare")
    tags = {
        "use_case": usecase.name,
        "data": read_json(build / "raw" / "fetch.json", "fetch")["data"],
        "accuracy": f"{metrics['accuracy']:.6f}",
        "local_coverage": f"{metrics['local_coverage']:.6f}",
        "test_sha256": prepared["test"]["sha256"],
        "contract_version": usecase.version,
    }
    ref = registry.register(signed, name, metrics, tags, run_id)
    gates: list[dict[str, Any]] = []
    with promoting(name, settings, wait=True):
        before, leading = meant(name, CHAMPION, registry), champion_of(name, settings, registry)
        if hold:
            bring(ref, settings, registry, "candidate")  # so that the gate need not fetch it
            granted, reason = False, "it was to be registered only"
        elif before == ref and leading.model is not None and leading.model.ref == ref:
            granted, reason = True, "the same package is champion already"
            place(name, CHAMPION, settings, registry)
        else:
            package = bring(ref, settings, registry, "candidate")  # the very bytes that would lead
            judged = judge(package, CHAMPION, usecase, settings, leading, [build])
            reason, gates = judged.decision.reason, [asdict(gate) for gate in judged.decision.gates]
            granted = promote(ref, CHAMPION, judged.decision, before, settings, registry, by=who())
    found = {
        "name": name,
        "version": ref.version,
        "digest": ref.digest,
        "champion": granted,
        "reason": reason,
        "gates": gates,
        "mlflow_run_id": run_id,
    }
    write_json(fresh(build / "registered") / "register.json", found)
    return found
