"""register: the signed package becomes a version in MLflow, champion if it may, and is placed here."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.steps.files import fresh, need, read_json, write_json
from flows.steps.rows import inputs, read_rows
from registry import log
from registry.errors import ModelNotFound, PackageInvalid, PackageRefused
from registry.loading import LoadedModel, load_verified, place
from registry.packages import VerifiedPackage
from registry.placing import checked_package
from registry.promotion import Candidate, Champion, PromotionDecision, PromotionPolicy, decide
from registry.runtimes import Predictor, open_predictor
from registry.settings import RegistrySettings
from registry.store import CHAMPION, Registry
from registry.trust_files import keys_for


def open_run(usecase: UseCase, params: Mapping[str, Any], seed: int, which: str, registry: Registry) -> str:
    """Open the MLflow run whose id goes into the evidence; returns the id."""
    kind = usecase.local.kind if usecase.local else ""
    flat = {"kind": kind, "data": which, "seed": seed, **params}
    return registry.start_run(usecase.name, f"{usecase.name}-{which}", flat)


def register(
    build: Path, usecase: UseCase, settings: RegistrySettings, registry: Registry, run_id: str | None = None
) -> dict[str, Any]:
    """Register signed/, move `champion` if the rule of promotion says so, and place it; write registered/.

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
    champion = _champion(name, settings, registry)
    if champion is not None and champion.ref == ref:
        granted, reason, gates = True, "the same package is champion already", []
    else:
        decision = _decide(build, name, usecase, settings, champion)
        granted, reason, gates = decision.open, decision.reason, [asdict(gate) for gate in decision.gates]
        body = {
            **asdict(ref),
            "alias": CHAMPION,
            "before": asdict(champion.ref) if champion else None,
            "gates": gates,
        }
        # Written first: a promotion that then failed can be seen, one that nobody wrote down cannot.
        log.append("promotion" if granted else "refusal", body, settings)
    if granted:
        registry.set_alias(name, CHAMPION, ref.version)
        place(name, CHAMPION, settings, registry)
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


def _champion(name: str, settings: RegistrySettings, registry: Registry) -> LoadedModel | None:
    """The champion, verified and loaded, or None. One that cannot be verified is none: nobody may load it."""
    try:
        return load_verified(name, CHAMPION, settings, registry)
    except (ModelNotFound, PackageRefused, PackageInvalid):
        return None


def _decide(
    build: Path, name: str, usecase: UseCase, settings: RegistrySettings, champion: LoadedModel | None
) -> PromotionDecision:
    """Both models on this build's test rows; the champion's run now: a tag would only be a claim."""
    package = checked_package(build / "signed", name, settings, "candidate")  # the very bytes that would lead
    test = read_rows(build, "test")
    truth: list[str] = test[usecase.label].tolist()
    candidate = Candidate(
        labels=package.manifest.labels,
        right=_right(open_predictor(package), test, truth, usecase),
        slices=truth,
        data_checks_passed=read_json(build / "checked" / "check.json", "check")["passed"] is True,
        barred=_barred(package, settings),
    )
    leads = None
    if champion is not None:
        leads = Champion(champion.labels, _right(champion.predictor, test, truth, usecase))
    return decide(candidate, leads, PromotionPolicy(**usecase.promotion.model_dump()))


def _barred(package: VerifiedPackage, settings: RegistrySettings) -> str | None:
    keys = keys_for(settings, "champion")
    return next((key.barred for key in keys if key.key_id == package.key_id), "is not known")


def _right(predictor: Predictor, test: Any, truth: list[str], usecase: UseCase) -> list[bool]:
    guess = predictor.probabilities(inputs(test, usecase)).argmax(axis=1)
    return [predictor.labels[int(index)] == label for index, label in zip(guess, truth, strict=True)]
