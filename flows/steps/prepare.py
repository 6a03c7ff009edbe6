"""prepare: checked rows as typed Parquet files: train, test, and those that no label fits."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_checks.datasets import read_splits, training_rows
from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.steps.fetch import fetched_files
from flows.steps.files import fresh, read_json, write_json
from flows.steps.prepared_rows import digested, features_digest

if TYPE_CHECKING:
    import pandas as pd


def prepare(build: Path, usecase: UseCase) -> dict[str, Any]:
    """Write prepared/{train,test,outside}.parquet and prepare.json; returns what that holds.

    Training rows that repeat a test row, or an earlier training row, but for case and spaces are left
    out, and listed by line. The rows are those of `load_labelled`, so replays see the same test set.
    """
    if not read_json(build / "checked" / "check.json", "check")["passed"]:
        raise StepError("the data did not pass step 'check'; correct it, or the contract, and run that again")
    data, repeats = training_rows(usecase, read_splits(usecase, fetched_files(build)))
    folder = fresh(build / "prepared")
    columns = digested(usecase)  # features are worked out from these
    prepared: dict[str, Any] = {
        "left_out": {"repeats_test": list(repeats.leaked), "repeats_train": list(repeats.repeated)}
    }
    for name, rows in (("train", data.train), ("test", data.test), ("outside", data.outside)):
        rows.to_parquet(folder / f"{name}.parquet", index=False)
        prepared[name] = {"rows": len(rows), "sha256": rows_digest(rows[columns])}
        if usecase.features:
            numbers = {feature: rows[feature].to_numpy() for feature in usecase.model_inputs}
            prepared[name]["features_sha256"] = features_digest(numbers)
    prepared["labels"] = sorted(set(data.train[usecase.label].tolist()))
    write_json(folder / "prepare.json", prepared)
    return prepared


def rows_digest(rows: "pd.DataFrame") -> str:
    """SHA-256 of the rows as canonical CSV: equal for equal rows, whatever wrote the file."""
    text = rows.to_csv(index=False, lineterminator="\n", float_format="%.17g")
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
