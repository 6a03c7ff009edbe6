"""Lets a runtime of the registry open what was just exported here, before it is packaged and signed."""

from collections.abc import Sequence
from pathlib import Path

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.steps.files import need, read_json
from registry.packages import PackageManifest
from registry.records import Acceptance
from registry.runtimes import Predictor, open_predictor
from registry.runtimes.deferral import RULE

_ACCEPTS_NOTHING = Acceptance(threshold=2.0, max_error=0.5, confidence=0.5, method="not calibrated yet")


class LocalBuild:
    """An unverified local build, read like a package. It never leaves the machine that trained it."""

    def __init__(self, folder: Path, manifest: PackageManifest) -> None:
        self.manifest = manifest
        self._folder = folder

    def read(self, name: str) -> bytes:
        """The bytes of one exported file."""
        if name not in self.manifest.files:
            raise StepError(f"the model's runtime asks for '{name}', which step 'fit' did not export")
        return need(self._folder / name, "fit").read_bytes()


def open_local_build(build: Path, usecase: UseCase) -> Predictor:
    """The exported model of this build folder, run by the same code that will serve it."""
    fitted = read_json(build / "fit" / "fit.json", "fit")
    return open_exported(build / "model", usecase, fitted["labels"], fitted["files"])


def open_exported(folder: Path, usecase: UseCase, labels: Sequence[str], files: Sequence[str]) -> Predictor:
    """Open exported files that lie in `folder`."""
    return open_predictor(LocalBuild(folder, build_manifest(usecase, labels, files)))


def build_manifest(usecase: UseCase, labels: Sequence[str], files: Sequence[str]) -> PackageManifest:
    """The manifest of a model that is not calibrated or packaged yet."""
    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no local model")
    return PackageManifest(
        format_version=2 if RULE in files else 1,
        name=usecase.local.model,
        kind=usecase.local.kind,
        labels=tuple(labels),
        inputs=tuple(usecase.model_inputs),
        acceptance=_ACCEPTS_NOTHING,
        contract_version=usecase.version,
        files=tuple(files),
    )
