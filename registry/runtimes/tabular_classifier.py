"""Runs a packaged tabular classifier: numbers in, one ONNX graph, and what each number added."""

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession

from registry.errors import PackageInvalid, RegistryError
from registry.records import Contribution, Prediction
from registry.runtimes import Package
from registry.runtimes.onnx_session import open_session
from registry.runtimes.tree_reasons import TREES, TreeReasons

MODEL, COLUMNS = "model.onnx", "columns.json"
_LARGEST = float(np.finfo(np.float32).max)
REASONS = 6
"""So many contributions are told, the largest first."""


class TabularPredictor:
    """One row at a time on one thread: serving has a worker for each core."""

    def __init__(
        self,
        labels: tuple[str, ...],
        columns: tuple[str, ...],
        reasons: TreeReasons,
        session: InferenceSession,
    ) -> None:
        self.labels = labels
        self._columns = columns
        self._reasons = reasons
        self._session = session

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        """The most probable label of one request, its probability, and the reasons, largest first.

        A contribution is in log-odds of that label. Raises `ValueError` for a number that is not there.
        """
        row = self._row(fields)
        found = self._session.run(None, {"features": row[None, :]})[0][0]
        best = int(found.argmax())
        added = self._reasons(row) * (1.0 if best == 1 else -1.0)
        # Rounded first, so that equal ones keep the order of their columns.
        order = np.argsort(-np.abs(added.round(9)), kind="stable")[:REASONS]
        told = tuple(
            Contribution(self._columns[at], float(row[at]), float(added[at])) for at in order if added[at]
        )
        return Prediction(self.labels[best], float(found[best]), told)

    def probabilities(self, rows: Sequence[Mapping[str, object]]) -> np.ndarray:
        """Probabilities of all labels: shape (n, k), each row sums to 1."""
        if not rows:
            return np.zeros((0, len(self.labels)), np.float32)
        found: np.ndarray = self._session.run(None, {"features": np.stack([self._row(r) for r in rows])})[0]
        return found

    def contributions(self, fields: Mapping[str, object]) -> tuple[npt.NDArray[np.float64], float]:
        """What every column added to the log-odds of the second label, and what is there without any."""
        return self._reasons(self._row(fields)), self._reasons.base

    def _row(self, fields: Mapping[str, object]) -> npt.NDArray[np.float32]:
        values = [fields.get(name) for name in self._columns]
        for name, value in zip(self._columns, values, strict=True):
            if not isinstance(value, bool | int | float | np.number) or not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number, got {type(value).__name__}")
        return np.clip(np.array(values, np.float64), -_LARGEST, _LARGEST).astype(np.float32)


def open_package(package: Package) -> TabularPredictor:
    """Build the predictor from verified bytes. Raises `PackageInvalid` when they do not fit together."""
    manifest = package.manifest
    try:
        session = open_session(package.read(MODEL), f"'{manifest.name}': {MODEL}")
        columns = tuple(json.loads(package.read(COLUMNS))["columns"])
        reasons = TreeReasons(package.read(TREES), len(columns))
        predictor = TabularPredictor(manifest.labels, columns, reasons, session)
        width = predictor.probabilities([dict.fromkeys(columns, 0.0)]).shape[1]
    except RegistryError:
        raise
    except Exception as error:  # json and onnxruntime raise what they like
        raise PackageInvalid(f"'{manifest.name}' is no tabular classifier: {type(error).__name__}") from error
    if width != len(manifest.labels) or set(columns) - set(manifest.inputs):
        raise PackageInvalid(
            f"'{manifest.name}': expected {len(manifest.labels)} labels and columns among its inputs, the "
            f"model has {width} labels and {len(columns)} columns"
        )
    return predictor
