"""Prepared rows as the gate of promotion reads them: by pyarrow alone, for pandas is slow to import."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.steps.files import need

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TEST, FEATURES = "test", "test-features"
"""Roles in the evidence: the rows that were tested on, and the features that were worked out from them."""


@dataclass(frozen=True)
class JudgedRows:
    """`inputs` are what a model sees of each row, `truth` its label; in the order of the file."""

    inputs: list[Mapping[str, object]]
    truth: list[str]


def judged_rows(build: Path, usecase: UseCase, named: Mapping[str, str]) -> JudgedRows | None:
    """The test rows of a build folder if they are those of `named` (role -> SHA-256); None if not, or if none
    can be read there."""
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(need(build / "prepared" / f"{TEST}.parquet", "prepare"))
        columns = {name: table[name].to_pylist() for name in dict.fromkeys(_needed(usecase))}
    except (StepError, OSError, ValueError, KeyError):  # none there, no Parquet, or another use case's
        return None
    if csv_digest({name: columns[name] for name in digested(usecase)}) != named[TEST]:
        return None
    names = usecase.model_inputs
    if FEATURES in named:
        numbers = {name: table[name].to_numpy() for name in names}
        if features_digest(numbers) != named[FEATURES]:
            return None
    rows: list[Mapping[str, object]] = [
        dict(zip(names, values, strict=True)) for values in zip(*(columns[n] for n in names), strict=True)
    ]
    return JudgedRows(rows, columns[usecase.label])


def digested(usecase: UseCase) -> list[str]:
    """The columns that a digest of rows is of: what came in and its label."""
    return [*usecase.input, usecase.label]


def csv_digest(columns: Mapping[str, Sequence[object]]) -> str:
    """SHA-256 of the rows as canonical CSV: what `flows.steps.prepare.rows_digest` says of the same rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(map(_cell, values) for values in columns.values()), strict=True))
    return sha256(text.getvalue().encode(errors="surrogatepass")).hexdigest()


def features_digest(columns: "Mapping[str, npt.NDArray[np.float64]]") -> str:
    """SHA-256 of features: of each column its name, a zero byte, and its numbers as little-endian doubles."""
    import numpy as np

    found = sha256()
    for name, values in columns.items():
        numbers = np.asarray(values, "<f8")
        found.update(name.encode() + b"\0" + np.where(np.isnan(numbers), np.nan, numbers).tobytes())
    return found.hexdigest()


def _needed(usecase: UseCase) -> list[str]:
    return [*digested(usecase), *usecase.model_inputs]


def _cell(value: Any) -> object:
    """As pandas writes it: floats with all their digits, and nothing for what is missing."""
    if value is None or value != value:
        return ""
    return f"{value:.17g}" if isinstance(value, float) else value
