"""Tables of events: read or made, split by time, and given the features that the use case declares."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from feature_checks.data_spec import MADE, RemoteFile, TimeSplit
from feature_checks.errors import DatasetError
from feature_checks.feature_engine import FeatureEngine
from feature_checks.feature_table import feature_table
from feature_checks.labelled import LabelledData
from feature_checks.made_rows import make_rows, read_recipe
from feature_checks.simulated_scores import simulated_scores
from feature_checks.tables import describe_columns, read_table
from feature_checks.time_split import known_positives, split_by_time
from feature_checks.usecase import UseCase

if TYPE_CHECKING:
    import pandas as pd


def read_events(usecase: UseCase, path: Path, remote: RemoteFile | None, strict: bool) -> "pd.DataFrame":
    """The events of a file, or of a recipe. An optional field that the table lacks is empty in every row.

    Raises `DatasetError`; with `strict` for other columns than the use case's, too.
    """
    if path.suffix in MADE:
        frame = make_rows(read_recipe(path))
    else:
        frame = read_table(path, remote.format if remote else _form(path), remote.columns if remote else None)
    if remote is not None:
        frame = frame.drop(columns=[name for name in remote.drop if name in frame.columns])
        if remote.labels and usecase.label in frame.columns:
            frame[usecase.label] = frame[usecase.label].map(str).map(dict(remote.labels))
        _simulate(usecase, remote, frame)
    for name, spec in usecase.input.items():
        if name not in frame.columns and not spec.required:
            frame[name] = None
    columns = [*usecase.input, usecase.label]
    if strict and set(frame.columns) != set(columns):
        found = [str(column) for column in frame.columns]
        raise DatasetError(f"{path.name}: {describe_columns(found, columns)}")
    return frame


def _simulate(usecase: UseCase, remote: RemoteFile, frame: "pd.DataFrame") -> None:
    """Put in the scores that the file lacks; a column that is there already stays as it is."""
    import numpy as np
    import pandas as pd

    if usecase.features is None or usecase.label not in frame.columns:
        return
    positive = (frame[usecase.label] == usecase.features.positive).to_numpy(dtype=bool)
    for name, made in remote.simulated.items():
        if name not in frame.columns:
            scores = simulated_scores(np.random.default_rng(made.seed), positive, made)
            frame[name] = pd.arrays.FloatingArray(np.nan_to_num(scores), np.isnan(scores))


def split_events(usecase: UseCase, frame: "pd.DataFrame", which: Literal["sample", "full"]) -> LabelledData:
    """Train and test by the days that the use case names; the rest is history."""
    split, spec = _split(usecase, which), usecase.features
    if spec is None or spec.time not in frame.columns or usecase.label not in frame.columns:
        empty = frame.iloc[:0]
        return LabelledData(frame, empty, empty, empty)  # the gate says what is wrong with it
    times = _times(frame, spec.time)
    train, test = split_by_time(times, split)
    if (key := usecase.data.leave_out_known) and key in frame.columns:
        seen = frame[[key]].assign(**{spec.time: times})
        positive = frame[usecase.label] == spec.positive
        test &= ~known_positives(seen, spec.time, key, positive, split, spec.delay_days)
    return LabelledData(frame[train], frame[test], frame.iloc[:0], frame[~train & ~test])


def with_features(usecase: UseCase, data: LabelledData) -> LabelledData:
    """Train and test with the features of their rows, each worked out from all that came before it."""
    import pandas as pd

    assert usecase.features is not None
    parts = {"train": data.train, "test": data.test, "history": data.history}
    held = {name: part for name, part in parts.items() if part is not None and len(part)}
    whole = pd.concat(held.values()).sort_index()
    wanted = (whole.index.isin(data.train.index) | whole.index.isin(data.test.index)) if held else None
    found = feature_table(whole, FeatureEngine(usecase.features), usecase.label, wanted)

    def joined(part: "pd.DataFrame") -> "pd.DataFrame":
        return (
            pd.concat([part, found.loc[part.index]], axis=1)
            if len(part)
            else part.reindex(columns=[*part.columns, *found.columns])
        )

    return LabelledData(joined(data.train), joined(data.test), joined(data.outside), data.history)


def _split(usecase: UseCase, which: Literal["sample", "full"]) -> TimeSplit:
    found = usecase.data.sample_split
    if which == "full" and usecase.data.full is not None:
        found = usecase.data.full.split
    if found is None:
        raise DatasetError(f"use case '{usecase.name}' does not say how its {which} events are split by time")
    return found


def _times(frame: "pd.DataFrame", name: str) -> "pd.Series[pd.Timestamp]":
    import pandas as pd

    return pd.to_datetime(frame[name], utc=True, errors="coerce", format="ISO8601")


def _form(path: Path) -> Literal["csv", "parquet"]:
    return "parquet" if path.suffix == ".parquet" else "csv"
