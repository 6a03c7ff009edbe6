"""One module for each kind of model: how it is fitted, and exported to what its runtime reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

KINDS: Mapping[str, str] = {
    "text_classifier": "flows.kinds.text_classifier",
    "tabular_classifier": "flows.kinds.tabular_classifier",
}
"""Model kind -> the module that fits it; each has `fit(rows, usecase, params, seed) -> Fitted`."""


class Fitted(Protocol):
    """A fitted model of any kind."""

    labels: tuple[str, ...]
    oof: np.ndarray  # (n, k): probabilities of each training row by models that did not see it
    folds: np.ndarray  # (n,): rows of the same number were held out together

    def probabilities(self, rows: pd.DataFrame) -> np.ndarray:
        """Probabilities by the original model: shape (n, k)."""

    def export(self, folder: Path) -> list[str]:
        """Write what the runtime reads; returns the file names. Never a pickle."""
