"""A use case's labelled rows, as training, checks and replays all see them.

The sample ships with the use case and is split by a stable hash; the full data has published train
and test files. `fetching.py` gets the files, `tables.py` reads them, `splits.py` splits.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from feature_checks.contracts import feature_contract, identity_fields
from feature_checks.data_spec import RemoteFile
from feature_checks.errors import DatasetError
from feature_checks.events import read_events, split_events, with_features
from feature_checks.fetching import DOWNLOAD_TIMEOUT_S, fetch_file
from feature_checks.labelled import LabelledData
from feature_checks.splits import Repeats, drop_repeats, split_sample
from feature_checks.tables import read_table
from feature_checks.usecase import UseCase
from feature_checks.values import typed_columns

if TYPE_CHECKING:
    import pandas as pd

Which = Literal["sample", "full"]
AUTO_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class DataFiles:
    """Where the bytes lie. Without other files, the sample is split into train and test; a `table` of
    events is split by time."""

    sample: Path
    train: Path | None = None
    test: Path | None = None
    added: Path | None = None  # rows to learn from beside those, of our own columns
    table: Path | None = None

    def names(self) -> dict[str, str]:
        """The file of each split, for people."""
        whole = self.table or self.sample
        train, test = self.train or whole, self.test or whole
        return {"train": train.name, "test": test.name, "outside": self.sample.name}


def data_files(
    usecase: UseCase, which: Which, cache_dir: Path, timeout_s: float = DOWNLOAD_TIMEOUT_S
) -> DataFiles:
    """The files of one data set, fetched within `timeout_s` in all. Raises `DatasetError`."""
    sample = usecase.path(usecase.data.sample)
    if which == "sample":
        return DataFiles(sample)
    deadline = time.monotonic() + timeout_s
    found = {
        role: fetch_file(remote, cache_dir, max(0.1, deadline - time.monotonic()))
        for role, remote in full(usecase).items()
    }
    return DataFiles(sample, **found)


def read_splits(usecase: UseCase, files: DataFiles, strict: bool = True) -> LabelledData:
    """Read and split the files; outside rows always come from the sample.

    With `strict`, other columns than the use case's are a `DatasetError`; without, they are left for
    the gate to name.
    """
    columns = [*usecase.input, usecase.label]
    expected = columns if strict else None
    if files.table:
        remotes = full(usecase)
        return split_events(usecase, read_events(usecase, files.table, remotes["table"], strict), "full")
    if usecase.data.sample_split:
        return split_events(usecase, read_events(usecase, files.sample, None, strict), "sample")
    outside_label = usecase.local.outside if usecase.local else None
    sample = read_table(files.sample, expected=expected)
    train, test, outside = split_sample(sample, identity_fields(usecase), usecase.label, outside_label)
    if files.train and files.test:
        remotes = full(usecase)
        ours, theirs = remotes["train"], remotes["test"]
        train = read_table(files.train, ours.format, ours.columns, expected)
        test = read_table(files.test, theirs.format, theirs.columns, expected)
    if files.added:
        train = _joined(train, read_table(files.added, expected=expected))
    return LabelledData(train, test, outside)


def _joined(train: "pd.DataFrame", added: "pd.DataFrame") -> "pd.DataFrame":
    """Both, the added ones behind: their places count on from the last line of the first file."""
    import pandas as pd

    behind = added.set_axis(added.index + int(train.index.max() if len(train) else 0))
    joined: pd.DataFrame = pd.concat([train, behind])
    joined.index.name = train.index.name
    return joined


def training_rows(usecase: UseCase, data: LabelledData) -> tuple[LabelledData, Repeats]:
    """Checked rows, typed, in the contract's columns, without repeats; and which rows those were."""
    contract = feature_contract(usecase)
    train, repeats = drop_repeats(data.train, data.test, contract.identity)
    typed = LabelledData(
        train=typed_columns(train, contract),
        test=typed_columns(data.test, contract),
        outside=typed_columns(data.outside, contract),
        history=None if data.history is None else typed_columns(data.history, contract),
    )
    return (with_features(usecase, typed) if usecase.features else typed), repeats


def load_labelled(usecase: UseCase, which: Which, cache_dir: Path) -> LabelledData:
    """The rows as training sees them: the same split, the same types, the same rows left out.

    Raises `DatasetError` for a file that cannot be had, or has other columns.
    """
    data = read_splits(usecase, data_files(usecase, which, cache_dir))
    return training_rows(usecase, data)[0]


def full(usecase: UseCase) -> dict[str, RemoteFile]:
    """The files of the full data by role. Raises `DatasetError` when the use case names none."""
    found = usecase.data.full
    if found is None:
        raise DatasetError(f"use case '{usecase.name}' names no full data (`data.full`); use `--data sample`")
    roles = {"train": found.train, "test": found.test, "table": found.table}
    return {role: remote for role, remote in roles.items() if remote is not None}


def choose_data(usecase: UseCase, cache_dir: Path, timeout_s: float = AUTO_TIMEOUT_S) -> tuple[Which, str]:
    """`full` if its files can be had within `timeout_s`, else `sample`; and the reason, for people."""
    try:
        data_files(usecase, "full", cache_dir, timeout_s)
    except DatasetError as error:
        return "sample", f"the sample, since the full data cannot be had: {error}"
    return "full", "the full data"


def default_cache_dir() -> Path:
    """`data/` of the state folder that `SWITCHYARD_HOME` names."""
    return Path(os.environ.get("SWITCHYARD_HOME") or ".switchyard") / "data"
