"""register: the signed package becomes a version in MLflow, champion if it may, and is placed here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.steps.files import fresh, need, read_json, write_json
from flows.steps.rows import inputs, read_rows
from registry.errors import ModelNotFound, PackageInvalid, PackageRefused
from registry.loading import LoadedModel, load_verified, place
from registry.settings import RegistrySettings
from registry.store import CHAMPION, Registry


@dataclass(frozen=True, slots=True)
class Lead:
    """Whether a new version may become champion, and why."""

    granted: bool
    reason: str


def may_lead(
    accuracy: float,
    labels: tuple[str, ...],
    champion_accuracy: float | None,
    champion_labels: tuple[str, ...] = (),
) -> Lead:
    """The first rule of promotion, until there is a statistical one. Pure.

    Both accuracies are of the same test rows; None stands for no champion that can be verified.
    """
    if champion_accuracy is None:
        return Lead(True, "there is no champion that can be verified")
    if lost := sorted(set(champion_labels) - set(labels)):
        return Lead(False, f"it cannot answer {len(lost)} of the champion's labels, such as '{lost[0]}'")
    if accuracy < champion_accuracy:
        return Lead(
            False, f"accuracy {accuracy:.4f} is below the champion's {champion_accuracy:.4f}, same rows"
        )
    return Lead(True, f"accuracy {accuracy:.4f}, the champion's {champion_accuracy:.4f}, same rows")


def open_run(usecase: UseCase, params: Mapping[str, Any], seed: int, which: str, registry: Registry) -> str:
    """Open the MLflow run whose id goes into the evidence; returns the id."""
    kind = usecase.local.kind if usecase.local else ""
    flat = {"kind": kind, "data": which, "seed": seed, **params}
    return registry.start_run(usecase.name, f"{usecase.name}-{which}", flat)


def register(
    build: Path, usecase: UseCase, settings: RegistrySettings, registry: Registry, run_id: str | None = None
) -> dict[str, Any]:
    """Register signed/, move `champion` if `may_lead` says so, place the champion; write registered/.

    The alias moves last, so that a crash before leaves what serves as it was, and the same package
    registered again is the same version. Raises `RegistryError`.
    """
    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no local model to register")
    name = usecase.local.model
    signed = need(build / "signed", "sign")
    metrics = read_json(build / "report" / "metrics.json", "package")
    prepared = read_json(build / "prepared" / "prepare.json", "prepare")
    fitted = read_json(build / "fit" / "fit.json", "fit")
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
        lead = Lead(True, "the same package is champion already")
    elif champion is None:
        lead = may_lead(metrics["accuracy"], tuple(fitted["labels"]), None)
    else:
        theirs = _accuracy(champion, build, usecase)
        lead = may_lead(metrics["accuracy"], tuple(fitted["labels"]), theirs, champion.labels)
    if lead.granted:
        registry.set_alias(name, CHAMPION, ref.version)
        place(name, CHAMPION, settings, registry)
    found = {
        "name": name,
        "version": ref.version,
        "digest": ref.digest,
        "champion": lead.granted,
        "reason": lead.reason,
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


def _accuracy(champion: LoadedModel, build: Path, usecase: UseCase) -> float:
    """The champion's accuracy on this build's test rows, run now: a tag would only be a claim."""
    test = read_rows(build, "test")
    guess = champion.predictor.probabilities(inputs(test, usecase)).argmax(axis=1)
    said = [champion.labels[int(index)] for index in guess]
    truth: list[str] = test[usecase.label].tolist()
    return sum(a == b for a, b in zip(said, truth, strict=True)) / len(truth)
