"""Prepared rows in the two forms that steps need: input fields for a predictor, label positions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.steps.files import need

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd


def read_rows(build: Path, part: str) -> "pd.DataFrame":
    """prepared/<part>.parquet."""
    import pandas as pd

    return pd.read_parquet(need(build / "prepared" / f"{part}.parquet", "prepare"))


def inputs(rows: "pd.DataFrame", usecase: UseCase) -> list[Mapping[str, object]]:
    """What the model sees of each row: input fields as a request brings them, or the features of it."""
    found: list[Any] = rows[list(usecase.model_inputs)].to_dict("records")
    return found


def positions(values: Sequence[str], labels: Sequence[str]) -> "npt.NDArray[np.int64]":
    """(n,) index of each value in `labels`. Raises `StepError` for one that is not there."""
    import numpy as np

    position = {label: index for index, label in enumerate(labels)}
    if unknown := {value for value in values if value not in position}:
        raise StepError(f"{len(unknown)} of the rows' labels were not learned by the model")
    return np.array([position[value] for value in values], dtype=np.int64)
