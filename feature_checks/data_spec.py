"""What `data:` of usecase.yaml may say: where labelled rows come from, and how events are split by time."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from feature_checks.strict_model import Strict

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MADE = (".yaml", ".yml")
"""A sample whose file ends so holds no rows: it says how they are made (`made_rows.py`)."""


class SimulatedScore(Strict):
    """A score from 0 to 1 that no file holds: made by `seed` for a `share` of the rows, from normal log-odds
    around `usual` or, where the label is positive, around `misuse`."""

    seed: int = Field(ge=0)
    share: float = Field(default=0.5, gt=0, le=1)
    usual: float = -2.5
    misuse: float = 1.0
    spread: float = Field(default=1.2, gt=0)


class RemoteFile(Strict):
    """A public data file, known by address and content. `columns` renames its columns to ours, `labels` its
    labels, and `drop` names columns that are left out, such as one that explains the label. `simulated` are
    fields that it lacks and that are made up: learned from, and left out where the model is judged."""

    url: str = Field(pattern=r"^https://")
    sha256: Sha256
    format: Literal["csv", "parquet"] = "csv"
    columns: Mapping[str, str] = Field(default_factory=dict)
    labels: Mapping[str, str] = Field(default_factory=dict)
    drop: tuple[str, ...] = Field(default=(), strict=False)
    simulated: Mapping[str, SimulatedScore] = Field(default_factory=dict)


class TimeSplit(Strict):
    """Days (UTC, both ends included) that are trained and tested on. All other rows are history: they shape
    features and are never learned from. `known_from` (default: `train_from`): since when positive labels
    count for leaving out test rows of what is known as compromised."""

    train_from: date = Field(strict=False)
    train_to: date = Field(strict=False)
    test_from: date = Field(strict=False)
    test_to: date = Field(strict=False)
    known_from: date | None = Field(default=None, strict=False)

    @model_validator(mode="after")
    def _in_order(self) -> "TimeSplit":
        if not self.train_from <= self.train_to < self.test_from <= self.test_to:
            raise ValueError("expected train_from <= train_to < test_from <= test_to")
        return self


class FullData(Strict):
    """The full data set: published train and test files, or one table of events that is split by time."""

    train: RemoteFile | None = None
    test: RemoteFile | None = None
    table: RemoteFile | None = None
    split: TimeSplit | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "FullData":
        files, table = (self.train, self.test), (self.table, self.split)
        if not ((all(files) and not any(table)) or (all(table) and not any(files))):
            raise ValueError("expected either `train` and `test`, or `table` and `split`")
        return self


class DataSpec(Strict):
    """Where training data comes from. The sample ships with the repository, or is made by its recipe.

    `sample_split` splits a sample of events by time; without it rows are split by a hash. `leave_out_known`
    names a field: test rows of one whose positive label was known by then are left out, as history.
    """

    sample: str
    sample_split: TimeSplit | None = None
    full: FullData | None = None
    min_rows_per_label: int = Field(default=5, ge=2)
    leave_out_known: str | None = None
