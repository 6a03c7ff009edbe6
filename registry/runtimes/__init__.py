"""Runs a verified package: bytes in, predictions out. One module for each model kind.

A runtime gets every byte through `package.read`, which refuses what was not verified, and needs no
training library and no pickle. Training opens what it exported by the same code.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np

from registry.errors import PackageInvalid
from registry.packages import PackageManifest
from registry.records import Prediction
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
    predictor = cast(Predictor, module.open_package(package))
    if FEDERATED in package.manifest.files:
        return combined_with(predictor, package.read(FEDERATED))
    return predictor
