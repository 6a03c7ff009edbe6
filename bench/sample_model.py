"""A real, signed and placed model of a use case's sample, made in seconds without Prefect and MLflow.

For measuring and for tests: its threshold is given, not calibrated, so it promises nothing.
"""

import json
from importlib import import_module
from pathlib import Path
from shutil import copytree

from bench.plain_evidence import write_plain_evidence
from feature_checks.datasets import load_labelled
from feature_checks.usecase import UseCase
from registry.keys import ensure_signing_keys
from registry.packages import MANIFEST, PackageManifest
from registry.placing import checked_package, place
from registry.records import Acceptance, ModelRef
from registry.settings import RegistrySettings
from registry.signing import sign_package


class Folder:
    """`registry.placing.PackageSource` over one signed folder."""

    def __init__(self, folder: Path, ref: ModelRef) -> None:
        self._folder = folder
        self._ref = ref

    def resolve(self, name: str, alias: str) -> ModelRef:
        return self._ref

    def download(self, ref: ModelRef, to: Path) -> Path:
        return Path(copytree(self._folder, to / "package"))


def place_sample_model(
    home: Path,
    usecase: UseCase,
    scratch: Path,
    threshold: float = 0.3,
    version: int = 1,
    labels: int | None = None,
) -> ModelRef:
    """Fit the sample (or its first `labels` labels), sign with this home's key, and place the package."""
    folder = make_sample_package(home, usecase, scratch, threshold, version, labels)
    settings = RegistrySettings(home=home)
    package = checked_package(
        folder, json.loads((folder / MANIFEST).read_text())["name"], settings, "champion"
    )
    ref = ModelRef(package.manifest.name, version, package.digest)
    place(ref.name, "champion", settings, Folder(folder, ref))
    return ref


def make_sample_package(
    home: Path,
    usecase: UseCase,
    scratch: Path,
    threshold: float = 0.3,
    version: int = 1,
    labels: int | None = None,
) -> Path:
    """The signed package of such a model, not yet placed."""
    if usecase.local is None:
        raise ValueError(f"use case '{usecase.name}' has no local model")
    rows = load_labelled(usecase, "sample", scratch / "data").train
    few = sorted(set(rows[usecase.label]))[:labels]
    rows = rows[rows[usecase.label].isin(few)]
    fitted = import_module("flows.kinds." + usecase.local.kind).fit(rows, usecase, {}, seed=1)
    folder = scratch / f"package-{version}"
    folder.mkdir(parents=True)
    files = fitted.export(folder)
    manifest = PackageManifest(
        format_version=1,
        name=usecase.local.model,
        kind=usecase.local.kind,
        labels=tuple(fitted.labels),
        inputs=tuple(usecase.model_inputs),
        acceptance=Acceptance(
            threshold=threshold,
            max_error=usecase.local.risk.max_error,  # a weaker promise than the use case's answers nothing
            confidence=usecase.local.risk.confidence,
            method="none: not calibrated",
        ),
        contract_version=usecase.version,
        files=tuple(files),
    )
    (folder / MANIFEST).write_text(json.dumps(manifest.model_dump(mode="json")))
    write_plain_evidence(folder)
    sign_package(folder, ensure_signing_keys(RegistrySettings(home=home).keys_dir).private_key)
    return folder
