"""Runs a verified package: bytes in, predictions out. One module for each model kind.

A runtime gets every byte through `package.read`, which refuses what was not verified, and needs no
training library and no pickle. Training opens what it exported by the same code.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from registry.errors import PackageInvalid
from registry.packages import PackageManifest
from registry.records import Prediction
from registry.runtimes.deferral import ROWS, RULE, DeferringPredictor, with_deferral
from registry.runtimes.federated import FEDERATED, combined_with

RUNTIMES: Mapping[str, str] = {
    "text_classifier": "registry.runtimes.text_classifier",
    "tabular_classifier": "registry.runtimes.tabular_classifier",
}
"""Model kind -> the module that runs it; each has `open_package(package) -> Predictor`."""


class Package(Protocol):
    """What a runtime may ask of a package."""

    @property
    def manifest(self) -> PackageManifest: ...

    def read(self, name: str) -> bytes: ...


class Predictor(Protocol):
    """A loaded model of any kind."""

    labels: tuple[str, ...]

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        """The most probable label of one request, and its probability."""

    def probabilities(self, rows: Sequence[Mapping[str, object]]) -> np.ndarray:
        """Probabilities of all labels: shape (n, k), each row sums to 1."""


def open_predictor(package: Package) -> Predictor:
    """The predictor of a package, by its kind. Raises `PackageInvalid` for a kind that is not known."""
    kind = package.manifest.kind
    if kind not in RUNTIMES:
        raise PackageInvalid(
            f"package.json: kind: expected one of {', '.join(sorted(RUNTIMES))}, got '{kind}'"
        )
    module: Any = import_module(RUNTIMES[kind])
    return completed(cast(Predictor, module.open_package(package)), package)


def completed(predictor: Predictor, package: Package) -> Predictor:
    """With what its package has beside the model: weights for a sender's score, or a learned deferral.

    Raises `PackageInvalid`."""
    if FEDERATED in package.manifest.files:
        return combined_with(predictor, package.read(FEDERATED))
    if (RULE in package.manifest.files) is not (package.manifest.format_version == 2):
        raise PackageInvalid(
            f"package.json: expected format_version 2 with {RULE}, and 1 without; train it again"
        )
    if RULE not in package.manifest.files:
        return predictor
    shown = f"'{package.manifest.name}'"
    return with_deferral(predictor, package.read(RULE), package.read(ROWS), shown)


def judged(
    predictor: Predictor, rows: Sequence[Mapping[str, object]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Probabilities of all labels (n, k), and the confidence of each row's answer as `predict` says it
    (n,)."""
    if isinstance(predictor, DeferringPredictor):
        return predictor.judged(rows)
    found = np.asarray(predictor.probabilities(rows), np.float64)
    return found, found.max(axis=1) if len(found) else np.zeros(0)
